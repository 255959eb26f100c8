"""Ask a model the questions of a set, with a plain prompt and with rsql, and compare what the answers give.

    make eval URL=http://127.0.0.1:22700 MODEL=qwen
    make eval URL=https://api.groq.com/openai MODEL=llama-3.3-70b-versatile TOKEN_FROM=GROQ_API_KEY LIMIT=100

Replies are kept in build/eval: a question whose prompt is unchanged is not asked again.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter, defaultdict
from contextlib import ExitStack
from functools import cache
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from evaluation import page
from evaluation.databases import opened
from evaluation.frames import KINDS, UnavailableError
from evaluation.frames import opened as frames_of
from evaluation.questions import Record, ask_plainly, ask_rsql, judged, read, spread
from evaluation.replies import Replies
from evaluation.results import mcnemar
from rsql_magic.assistant import of_process
from rsql_magic.options import LOOKS
from rsql_magic.text2sql import Verified, keep_verified, verified_paths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from evaluation.questions import Outcome, Question

OWN = Path(__file__).parent / "sets" / "sql"


def main() -> None:
    """Run the evaluation that the command line asks for."""
    parser = argparse.ArgumentParser(prog="make eval", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--url", required=True, help="base URL of an OpenAI-compatible server, without /v1")
    parser.add_argument("--model", required=True)
    parser.add_argument("--token-from", default="", help="environment variable that holds the server's key")
    parser.add_argument("--set", type=Path, default=OWN, help="folder with questions.jsonl and databases/ or frames/")
    parser.add_argument("--limit", type=int, default=sys.maxsize, help="most questions, spread over the databases")
    parser.add_argument("--look", choices=LOOKS, default="auto", help="whether the model may call tools first")
    parser.add_argument("--drafts", type=int, default=0, help="drafts compared for each question; 0: where in doubt")
    parser.add_argument(
        "--examples", action="store_true", help="the other questions of a database stand as verified ones"
    )
    parser.add_argument("--to", type=Path, default=Path("build/eval"), help="where replies and results go")
    options = parser.parse_args()
    every = read(options.set / "questions.jsonl")
    questions = spread(every, options.limit)
    replies = Replies(options.url.rstrip("/").removesuffix("/v1") + "/", options.to / "replies")
    token = os.environ[options.token_from] if options.token_from else ""
    records = []
    of_process().settings.look, of_process().settings.drafts = options.look, options.drafts
    with replies.served() as proxy, ExitStack() as stack:
        # What the person who runs this has verified is no part of it.
        config = stack.enter_context(TemporaryDirectory())
        os.environ |= {"RSQL_GATEWAY_URL": f"{proxy}v1", "RSQL_GATEWAY_TOKEN": token, "XDG_CONFIG_HOME": config}
        known, server = every if options.examples else [], _server(stack)
        asked = _asked(questions, options.set, replies, options.model, token=token, server=server, known=known)
        for record in asked:
            records.append(record)
            print(_line(record), flush=True)
    way = ("" if options.look == "auto" else f"-look-{options.look}") + "-examples" * options.examples
    results = options.to / f"{options.set.resolve().name}-{options.model.replace('/', '-')}{way}"
    results.mkdir(parents=True, exist_ok=True)
    (results / "results.jsonl").write_text("".join(f"{record.line()}\n" for record in records), encoding="utf-8")
    (results / "index.html").write_text(page.html(records, options.model), encoding="utf-8")
    print(summary(records))
    print(f"\n{results / 'index.html'} shows wins and losses side by side.")


def _asked(
    questions: Sequence[Question],
    folder: Path,
    replies: Replies,
    model: str,
    *,
    token: str,
    server: Callable[[], str],
    known: Sequence[Question],
) -> Iterator[Record]:
    databases = next((path for name in ("databases", "database") if (path := folder / name).is_dir()), folder)
    for name, some in groupby(questions, key=lambda question: question.database):
        with ExitStack() as stack:
            try:
                frames, _, kind = name.rpartition(".")
                database = stack.enter_context(
                    frames_of(folder / "frames" / frames, kind) if kind in KINDS else opened(databases, name, server)
                )
            except UnavailableError as problem:
                print(f"{name}: {len(list(some))} questions are left out: {problem}", file=sys.stderr)
                continue
            for question in some:
                ended, why = judged(question.gold, question, database)
                if ended != "right":
                    print(f"{question.number} {name}: left out, as the gold query is no answer: {why}", file=sys.stderr)
                    continue
                plain = ask_plainly(question, database, replies, model, token)
                _verify(one for one in known if one.database == name and one != question)
                yield Record(question, plain, ask_rsql(question, database, replies, model))


def _verify(questions: Iterable[Question]) -> None:
    """Have these questions, and no others, as the verified ones of the user's own file."""
    path = verified_paths()[1]
    path.unlink(missing_ok=True)
    for one in questions:
        keep_verified(Verified(one.text, one.gold), path)


def _server(stack: ExitStack) -> Callable[[], str]:
    """Starts one PostgreSQL server for all that need one, or takes that of EVAL_POSTGRESQL."""

    @cache
    def url() -> str:
        if given := os.environ.get("EVAL_POSTGRESQL"):
            return given
        from tests.servers import postgresql

        return stack.enter_context(postgresql()).url

    return url


def _line(record: Record) -> str:
    question, plain, ours = record.question, record.plain, record.ours
    return (
        f"{question.number:4} {question.database:20} plain {plain.ended:8} {plain.seconds:5.1f} s   "
        f"rsql {ours.ended:8} {ours.seconds:5.1f} s  first {ours.first:8} {ours.rounds} rounds"
    )


def summary(records: Sequence[Record]) -> str:
    """The figures of a run as a table of text."""
    ways: dict[str, list[tuple[str, Outcome, str]]] = defaultdict(list)
    for record in records:
        hardness = record.question.hardness
        ways["plain prompt"].append((hardness, record.plain, record.plain.ended))
        ways["rsql, first draft"].append((hardness, record.ours, record.ours.first))
        ways["rsql"].append((hardness, record.ours, record.ours.ended))
    levels = sorted({record.question.hardness for record in records})
    head = ("right", "wrong", "fails", "refused", "crash")
    lines = [f"{'':18}{''.join(f'{name:>9}' for name in (*head, *levels))}"]
    for way, some in ways.items():
        ends = Counter(ended for _, _, ended in some)
        by_level = Counter(level for level, _, ended in some if ended == "right")
        totals = Counter(level for level, _, _ in some)
        shares = (f"{by_level[level]}/{totals[level]}" for level in levels)
        lines.append(f"{way:18}{''.join(f'{value:>9}' for value in (*(ends[name] for name in head), *shares))}")
    lines += ["", *_paired("first draft", [(one.plain.ended, one.ours.first) for one in records])]
    lines += [*_paired("final", [(one.plain.ended, one.ours.ended) for one in records]), ""]
    repaired = [one.ours.ended for one in records if one.ours.first == "fails"]
    lines.append(f"{len(repaired)} first drafts did not run, of which {repaired.count('right')} ended right.")
    trusted = defaultdict(list)
    for one in records:
        if one.ours.drafts:
            trusted["corrected" if one.ours.drafts > 1 else one.ours.trust or "alone"].append(one.ours.ended)
    shares = (f"{name} {ends.count('right')} of {len(ends)}" for name, ends in sorted(trusted.items()))
    if trusted:
        lines.append(f"Right, by what drafts said of each other: {', '.join(shares)}.")
    for name, outcomes in (("plain", [one.plain for one in records]), ("rsql", [one.ours for one in records])):
        lines.append(f"{name}: {_cost(outcomes)}")
    return "\n".join(lines)


def _paired(name: str, ends: Sequence[tuple[str, str]]) -> list[str]:
    won = sum(ours == "right" != plain for plain, ours in ends)
    lost = sum(plain == "right" != ours for plain, ours in ends)
    only = f"rsql alone is right {won} times, the plain prompt alone {lost} times"
    return [f"{name}: {only} (McNemar p = {mcnemar(won, lost):.3f})"]


def _cost(outcomes: Sequence[Outcome]) -> str:
    many = max(1, len(outcomes))

    def mean(name: str) -> float:
        return float(sum(getattr(outcome, name) for outcome in outcomes)) / many

    return (
        f"{mean('rounds'):.2f} requests a question, {mean('prompt_tokens'):.0f} prompt tokens "
        f"({mean('cached_tokens'):.0f} cached), {mean('answer_tokens'):.0f} answer tokens, "
        f"{mean('first_seconds'):.2f} s to the first draft, {mean('seconds'):.2f} s in all, "
        f"{mean('own_seconds'):.2f} s beside the model"
    )


if __name__ == "__main__":
    main()
