"""The reports of ``%rsql`` and the ``rsql`` command: status, usage, models, and the doctor's findings."""

from __future__ import annotations

import importlib.util
import platform
import re
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from fnmatch import fnmatch
from itertools import groupby
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeAlias

from rsql_magic import diagnostics, plugins
from rsql_magic.display import CellOutput, listing, plain_markdown
from rsql_magic.errors import BadInput, GatewayError, RsqlError
from rsql_magic.gateway import Text
from rsql_magic.plain_text import html_text
from rsql_magic.sql import one_line, own_trees

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rsql_magic.assistant import Assistant
    from rsql_magic.context import Context
    from rsql_magic.databases import Coverage, ValueKeeper
    from rsql_magic.gateway import Chat, LLMClient
    from rsql_magic.knowledge import Added, Hits, Library, Misfit, Passage, QueryEvidence
    from rsql_magic.sql import Catalog

Report: TypeAlias = "Mapping[str, Any]"  # a report as the gateway gives it
Row = tuple[str, str]  # the subject of a row, and its text

_SEE_KEYS = "%rsql status shows its keys; check their text and base_url."


def status(assistant: Assistant) -> CellOutput:
    """The gateway: where it is, its keys by state, its queue, its models."""
    report = _report(assistant.locator.gateway, "status")
    rows = [("gateway", str(assistant.locator.address)), *status_rows(report)]
    return listing(rows, ("what", "state"))


def good_until(assistant: Assistant, expires: str) -> str:
    """The last day of a virtual key, which does not outlive the gateway of one kernel."""
    address, day = assistant.locator.address, expires[:10]
    return f"this kernel ends, at most until {day}" if address and address.how == "embedded" else day


def usage(assistant: Assistant) -> CellOutput:
    """The caller's limits, tokens and money, as the gateway counts them; then this notebook's own conversation."""
    return listing([*_limit_rows(assistant), ("this notebook", _taken([assistant.chat]))], ("what", "used"))


def limits(assistant: Assistant) -> CellOutput:
    """``usage`` where there is no conversation, as in a terminal."""
    return listing(_limit_rows(assistant), ("what", "used"))


def usage_rows(assistant: Assistant, shown: Chat, every: Sequence[Chat]) -> list[tuple[str, str]]:
    """The rows of ``usage`` where one of several conversations is shown: its own, and what all took together."""
    rows = [*_limit_rows(assistant), ("this conversation", _taken([shown]))]
    return [*rows, (f"all {len(every):,} conversations", _taken(every))] if len(every) > 1 else rows


def _limit_rows(assistant: Assistant) -> list[tuple[str, str]]:
    return limit_rows(_report(assistant.locator.gateway, "stats"))


def _taken(chats: Sequence[Chat]) -> str:
    count, totals = sum(len(chat.turns) for chat in chats), [chat.usage for chat in chats]
    if not count:
        return "nothing asked yet"
    costs = [total.cost_usd for total in totals if total.cost_usd is not None]
    cost = f", ${sum(costs):.2f}" if costs else ""
    prompt, completion = sum(total.prompt_tokens for total in totals), sum(total.completion_tokens for total in totals)
    return f"{count:,} question{'' if count == 1 else 's'}, {prompt:,} + {completion:,} tokens{cost}"


def models(assistant: Assistant) -> CellOutput:
    """The models there are, and the short names for them."""
    default = assistant.settings.resolve(None) or _report(assistant.locator.gateway, "status").get("default_model")
    short = {name: alias for alias, name in assistant.settings.aliases.items()}
    gateway = assistant.locator.gateway
    pictures = gateway.pictures()
    words = {True: "yes", False: "no", None: ""}
    columns = ("model", "alias", "", *(["pictures"] if pictures else []))
    rows = [
        (name, short.get(name, ""), "default" if name == default else "", words[pictures.get(name)])
        for name in gateway.models()
    ]
    return listing([row[: len(columns)] for row in rows], columns)


def keys(assistant: Assistant) -> CellOutput:
    """The caller's virtual API keys, without their texts."""
    report = _report(assistant.locator.gateway, "keys")
    rows = []
    for key in report.get("keys", []):
        limits = ", ".join(f"{name} {value:,}" for name, value in key["limits"].items())
        rows.append((key["name"], key["id"], good_until(assistant, key["expires"]), limits))
    if not rows:
        return CellOutput("", report.get("note", "You have no keys."))
    return listing(rows, ("key", "id", "until", "limits"))


def context(gathered: Context) -> CellOutput:
    """The notebook's context, ranked."""
    plain = str(gathered)
    head, *rest = plain.splitlines()
    sentences = rest[len(gathered.rows()) + 1 :]
    table = listing(gathered.rows(), ("kind", "name", "tokens", "why"))
    parts = [f"*{plain_markdown(head[1:-1])}*", table.markdown, *map(plain_markdown, sentences)]
    return CellOutput("\n\n".join(parts), plain)


MOST_MISFITS = 100  # that are shown of what does not fit in a dictionary


def catalog(tables: Catalog, pattern: str = "", evidence: QueryEvidence | None = None) -> CellOutput:
    """Tables and columns whose names hold the pattern (``*``, ``%``, ``?`` stand for any), and what cannot be read.

    A pattern that is the name of a table gives all that is known of it, by earlier queries (``evidence``) too.
    """
    if pattern and (table := tables.get(pattern)) is not None:
        from rsql_magic.text2sql import known_of

        whole = evidence.with_keys(tables.tables) if evidence else tables
        return known_of(next((one for one in whole if one.full_name == table.full_name), table), tables)
    pattern = pattern.replace("%", "*")
    wanted = f"*{pattern.lower()}*" if pattern and not set(pattern) & set("*?[") else pattern.lower() or "*"
    rows = []
    for table in tables:
        columns = [column.name for column in table.columns]
        if fnmatch(table.full_name.lower(), wanted) or any(fnmatch(name.lower(), wanted) for name in columns):
            rows.append((table.full_name, "" if table.rows is None else f"{table.rows:,}", ", ".join(columns)))
    if not rows and pattern:
        return CellOutput("", f"No table or column is called {pattern}.")
    shown, sentences = (
        listing(rows, ("table", "rows", "columns")),
        [f"⚠ {problem}" for problem in (*tables.problems, *filter(None, [evidence.note if evidence else ""]))],
    )
    markdown = "".join(f"<p>{html_text(line)}</p>" for line in sentences)
    return replace(shown, markdown=shown.markdown + markdown, plain="\n".join([shown.plain, *sentences]))


def misfits(found: Sequence[Misfit], path: str, database: str = "") -> CellOutput:
    """What does not fit in a dictionary: the file first, then the schema of a database, then its data."""
    compared = f" with {database}" if database else "; without a connection only the file was looked at"
    if not found:
        return CellOutput("", f"{path} fits{compared}.")
    levels = ("spec", "schema", "data")
    called = {"spec": "file", "schema": "schema", "data": "data"}
    ordered = sorted(found, key=lambda each: (levels.index(each.level), not each.error, each.line))
    errors = sum(each.error for each in found)
    rows = [
        ("✗" if each.error else "–", called[each.level], str(each.line or ""), each.code, each.message)
        for each in ordered[:MOST_MISFITS]
    ]
    shown = listing(rows, ("ok", "in", "line", "code", "what"))
    counts = f"{errors:,} error{'s' * (errors != 1)}, {len(found) - errors:,} warning{'s' * (len(found) - errors != 1)}"
    more = f"; the first {MOST_MISFITS} are shown" if len(found) > MOST_MISFITS else ""
    line = f"{path}, compared{compared}: {counts}{more}." if database else f"{path}: {counts}{more}{compared}."
    return replace(shown, markdown=f"{shown.markdown}<p>{html_text(line)}</p>", plain=f"{shown.plain}\n{line}")


def documents(library: Library) -> CellOutput:
    """The documents that questions are answered from: the notebook's own, and those that the gateway shares."""
    if not (there := library.all_documents()):
        return CellOutput("", "There are no documents. %rsql docs add PATH, a folder, or an address.")
    rows = [
        (one.name, one.kind, f"{one.passages:,}", f"shared with {one.owner}" if one.owner else one.origin)
        for one in there
    ]
    return listing(rows, _DOCUMENT)


def added(what: Added) -> CellOutput:
    """What was added, and what is to be said about it."""
    names = [each.name for each in what.documents]
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    passages = f"{what.passages:,} passage{'' if what.passages == 1 else 's'}"
    line = f"Added {', '.join(names[:3])}{more}: {passages}."
    notes = [f"⚠ {note}" for note in what.notes[:10]]
    notes += [f"⚠ … and {len(what.notes) - 10:,} more" for _ in range(len(what.notes) > 10)]
    return CellOutput("", "\n".join([line, *notes]))


def found(hits: Hits, words: str) -> CellOutput:
    """The passages that a search found."""
    if not hits.passages:
        return CellOutput("", "\n".join([f"No document says anything of {one_line(words)}.", *hits.notes]))
    rows = [
        (f"{one.document} ({one.owner})" if one.owner else one.document, one.heading, one.place, _excerpt(one, words))
        for one in hits.passages
    ]
    shown = listing(rows, _PASSAGE)
    notes = "".join(f"<p>{html_text(note)}</p>" for note in hits.notes)
    return replace(shown, markdown=shown.markdown + notes, plain="\n".join([shown.plain, *hits.notes]))


_DOCUMENT = ("document", "format", "passages", "from")
_PASSAGE = ("document", "heading", "place", "says")
_EXCERPT = 160  # characters


def _excerpt(passage: Passage, words: str) -> str:
    """The line of a passage that has most of the words, from the first of them on where it is long."""
    from rsql_magic.knowledge import terms

    wanted = set(terms(words))
    line = max(passage.text.split("\n"), key=lambda each: len(wanted & set(terms(each))))
    first = next((place.start() for place in re.finditer(r"\w+", line) if wanted & set(terms(place[0]))), 0)
    start = max(first - 40, 0) if len(line) > _EXCERPT else 0
    return ("…" if start else "") + one_line(line[start:], _EXCERPT)


def progress_bar(
    status: Callable[[str], None], clock: Callable[[], float] = time.monotonic
) -> Callable[[int, int, str], None]:
    """What draws how far it is, ten times a second at most: a bar, the numbers, and what is read."""
    drawn = float("-inf")

    def draw(done: int, all_: int, what: str) -> None:
        nonlocal drawn
        if clock() - drawn < 0.1:
            return
        drawn = clock()
        full = round(20 * done / max(all_, 1))
        status(f"{'█' * full}{'░' * (20 - full)} {done:,} of {all_:,} · {one_line(what, 60)}")

    return draw


def values(keeper: ValueKeeper, word: str = "") -> CellOutput:
    """The columns that hold a word, with the value as it is stored; without a word, how far the index is."""
    rows = list(_held(keeper, word)) if word else _covered(keeper.coverage)
    header = ("column", "value", "how") if word else ("table", "covered", "left out")
    sentences = [*_said(keeper.coverage)]
    if not rows:
        none = f"No column that is covered holds {one_line(word)!r}." if word else "Nothing is covered yet."
        return CellOutput("", "\n".join([none, *sentences]))
    shown = listing(rows, header)
    markdown = "".join(f"<p>{html_text(line)}</p>" for line in sentences)
    return replace(shown, markdown=shown.markdown + markdown, plain="\n".join([shown.plain, *sentences]))


def _held(keeper: ValueKeeper, word: str) -> Iterator[tuple[str, str, str]]:
    if (index := keeper.index) is None:
        return
    found = index.same([word])
    for one in [*found, *(each for each in index.containing(word) if each.value not in {same.value for same in found})]:
        how = "the word" if one.same else "another form of it" if one in found else "holds it"
        yield f"{one.table}.{one.column}", one_line(one.value), how


def _covered(coverage: Coverage) -> list[tuple[str, str, str]]:
    rows = []
    for table, columns in groupby(coverage.columns, lambda kept: kept.table):
        known = list(columns)
        covered = ", ".join(f"{one.column} ({one.values:,})" for one in known if not one.note)
        rows.append((table, covered, "; ".join(f"{one.column}: {one.note}" for one in known if one.note)))
    return rows


def _said(coverage: Coverage) -> Iterator[str]:
    covered = [one for one in coverage.columns if not one.note]
    kept = f"{sum(one.values for one in covered):,} values of {len(covered):,} columns, {coverage.megabytes:.1f} MB"
    yield f"{kept} ({coverage.place})."
    if coverage.total:
        yield f"Being built: {coverage.done:,} of {coverage.total:,} columns are looked at."
    if coverage.problem:
        yield coverage.problem


def transpile(sql: str, read: str, write: str) -> str:
    """A query in another dialect, by sqlglot, without a model."""
    from sqlglot.dialects import Dialects
    from sqlglot.errors import SqlglotError

    known = [name.value for name in Dialects if name.value]
    for dialect in (read, write):
        if dialect.lower() not in known:
            raise BadInput(f"There is no SQL dialect {dialect!r}.", hint=f"There are: {', '.join(known)}.")
    try:
        return ";\n".join(tree.sql(write.lower(), pretty=True) for tree in own_trees(sql, read.lower()))
    except (SqlglotError, ValueError) as error:
        hint = f"It was read as {read}; --from names another dialect."
        raise BadInput(str(error).splitlines()[0], hint=hint) from None


# A report of the gateway; an endpoint that is no gateway of ours has none.
def _report(gateway: LLMClient, path: str) -> dict[str, Any]:
    try:
        report = gateway.get(path, timeout=10.0)
    except GatewayError as error:
        if error.status == 404:
            return {"note": "This endpoint is not an rsql gateway; it keeps no such figures."}
        raise
    return report if isinstance(report, dict) else {"note": str(report)}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing the doctor looked at; ``well`` is None when it does not matter, ``fix`` is what to do."""

    what: str
    well: bool | None
    found: str
    fix: str = ""


def doctor(assistant: Assistant) -> list[Finding]:
    """Look at everything a question needs: gateway, token, streaming, models, R, versions."""
    from importlib.metadata import version

    names = ("rsql-jupyter", "ipython", "ipykernel", "duckdb", "pandas", "sqlglot")
    versions = [f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in names)]
    found = [Finding("versions", True, ", ".join(versions))]
    try:
        gateway = assistant.locator.gateway
        found += [_reachable(gateway, str(assistant.locator.address)), *_serves(gateway)]
    except RsqlError as error:
        found.append(Finding("gateway", False, error.message, error.hint or "%rsql connect URL names one."))
    # What the embedded gateway complained of; another gateway's log is its administrator's.
    address = assistant.locator.address
    if address and address.how == "embedded" and (words := assistant.locator.embedded.last_words(3)):
        found.append(Finding("its log", None, " / ".join(words)))
    return [*found, *_packages(), r_session(), *plug_ins()]


def _reachable(gateway: LLMClient, address: str) -> Finding:
    started = perf_counter()
    try:
        report = gateway.get("health", timeout=5.0)
    except GatewayError as error:
        if error.status == 404:
            return Finding("gateway", None, f"{address} answers, and is not an rsql gateway", "")
        return Finding("gateway", False, f"{address}: {error.message}", error.hint or _SEE_KEYS)
    version = report.get("version", "?") if isinstance(report, dict) else "?"
    state = report.get("status", "?") if isinstance(report, dict) else "?"
    well, checks = state in {"ok", "healthy"}, report.get("checks", {}) if isinstance(report, dict) else {}
    fix = "rsql config check names the plug-in that is left out." if "plugins" in checks else _SEE_KEYS
    found = f"{address}, version {version}, {state}, {1000 * (perf_counter() - started):.0f} ms"
    return Finding("gateway", well, found, "" if well else fix)


# Models and one streamed answer; a proxy that holds a stream back shows as words that all come at once.
def _serves(gateway: LLMClient) -> list[Finding]:
    try:
        names = gateway.models()
    except GatewayError as error:
        return [Finding("models", False, error.message, error.hint)]
    shown = f"{', '.join(names[:5])}{f' and {len(names) - 5} more' if len(names) > 5 else ''}"
    fix = "" if names else "Put a provider's key into the environment of the gateway."
    listed = Finding("models", bool(names), shown or "none", fix)
    keys = None
    with suppress(GatewayError):  # an endpoint without that report may have a key that is ready
        keys = _report(gateway, "status").get("keys")
    if isinstance(keys, dict) and not keys.get("ready", True):
        return [listed, Finding("stream", False, "not tried, as no key is ready", _SEE_KEYS)]
    return [listed, _streams(gateway)]


def _streams(gateway: LLMClient) -> Finding:
    started, times = perf_counter(), []
    count = [{"role": "user", "content": "Count from 1 to 30, one number a line."}]
    try:
        for event in gateway.stream(count, timeout=30.0, max_tokens=120):
            times += [perf_counter() - started] if isinstance(event, Text) else []
    except GatewayError as error:
        return Finding("stream", False, error.message, error.hint)
    if not times:
        return Finding("stream", False, "the answer was empty", "Try another --model.")
    took = perf_counter() - started
    # A proxy that buffers hands over all words within a moment, at the end of the time that the model took.
    held_back = len(times) > 2 and took > 0.5 and times[-1] - times[0] < 0.05 * took
    fix = "A proxy buffers: switch its buffering off for /rsql/ (nginx: proxy_buffering off)." if held_back else ""
    speed = f"first word after {times[0]:.2f} s, {len(times)} pieces in {took:.2f} s"
    return Finding("stream", not held_back, speed, fix)


def plug_ins() -> list[Finding]:
    """The plug-ins of the kernel, all of them loaded for it, and those that are left out."""
    from rsql_magic.answers import plugged_checks
    from rsql_magic.context import plugged_sources
    from rsql_magic.databases import plugged_databases
    from rsql_magic.knowledge import plugged_formats
    from rsql_magic.tools import plugged_tools

    plugged_checks(), plugged_sources(), plugged_databases(), plugged_formats(), plugged_tools("sample")
    names = plugins.installed(*plugins.OF_KERNEL)
    said = [Finding("plug-ins", None, ", ".join(names))] if names else []
    return [
        *said,
        *(Finding("plug-in", False, each, "Update or uninstall its package.") for each in plugins.left_out()),
    ]


def _packages() -> list[Finding]:
    wanted = {
        "altair": ("charts", "pip install altair"),
        "vl_convert": ("charts as PNG, for exported notebooks", "pip install vl-convert-python"),
        "ipywidgets": ("the chat panel", "pip install ipywidgets"),
    }
    return [
        Finding(what, True, name)
        if importlib.util.find_spec(name)
        else Finding(what, None, f"{name} is not installed", fix)
        for name, (what, fix) in wanted.items()
    ]


def r_session() -> Finding:
    """Whether R can be looked at and run here, and what pairing of R and rpy2 stands in the way."""
    if importlib.util.find_spec("rpy2") is None:
        absent = "rpy2 is not installed; everything else works without R"
        return Finding("R", None, absent, "pip install 'rsql-jupyter[r]'")
    from rsql_magic.context import r

    try:
        session = r.survey(seconds=5.0)
    except r.NoR as problem:
        return Finding("R", False, problem.message, problem.hint)
    return Finding("R", True, f"R {session.version} and rpy2 work together")


def examined(findings: Sequence[Finding]) -> CellOutput:
    """The doctor's findings as a table."""
    signs = {True: "✓", False: "✗", None: "–"}
    return listing([(signs[f.well], f.what, f.found, f.fix) for f in findings], ("ok", "what", "found", "to do"))


def packed(findings: Sequence[Finding], file: str) -> str:
    """Write the doctor's findings and the log into an archive of this name, by default one of today's; says so."""
    path = Path(file or f"rsql-report-{datetime.now():%Y%m%d-%H%M%S}.zip")  # noqa: DTZ005 - the reader's own clock
    lines = "\n".join(f"{f.what}: {f.found}{f' ({f.fix})' if f.fix else ''}" for f in findings)
    logs = diagnostics.pack(path, lines)
    more = f"{logs:,} file{'s' * (logs != 1)} of the log" if logs else "no log; %rsql debug on keeps one"
    return f"{path} has these findings and {more}. Read it before you give it away."


# The gateway's reports on itself and on its caller, as rows of a table. What is empty has no row: states that no key is
# in, a cache that has answered nothing. Fields that only a newer gateway has come last, under their own names.


def status_rows(report: Report) -> list[Row]:
    """Rows for the report ``GET status``."""
    rest = dict(report)
    rows = [
        ("keys", in_words(rest.pop("keys", None))),
        ("queue", queue(rest.pop("queue", None))),
        ("models", _models(rest.pop("models", None), rest.pop("default_model", ""))),
        *_rows(rest.pop("checks", None) or {}),
        ("cache", _cache(rest.pop("cache", None) or {})),
        *_policy(rest),
        *_rows(rest),
    ]
    return [row for row in rows if row[1]]


def limit_rows(report: Report) -> list[Row]:
    """Rows for the report ``GET stats``."""
    rest = {name: value for name, value in report.items() if name != "offline_models"}
    caller, tenant = rest.pop("caller", ""), rest.pop("tenant", "")
    rows = [
        ("you", f"{caller} in {tenant}" if tenant else caller),
        *((f"requests this {period}", of(limit)) for period, limit in (rest.pop("limits", None) or {}).items()),
        *(
            (f"requests this {period}, with others", of(limit))
            for period, limit in (rest.pop("shared_limits", None) or {}).items()
        ),
        *((f"tokens this {period}", of(limit)) for period, limit in (rest.pop("tokens", None) or {}).items()),
        ("requests under way", of(rest.pop("concurrency", None) or {})),
        ("money today", money(rest.pop("cost", None) or {})),
        *(
            (
                f"money this {period.removeprefix('usd_per_')}, with others",
                money(spent | {"today": spent.get("current")}),
            )
            for period, spent in (rest.pop("shared_cost", None) or {}).items()
        ),
        ("from the cache today", _saved(rest.pop("cache", None) or {})),
        *_policy(rest),
        *_rows(rest),
    ]
    return [row for row in rows if row[1]]


def nearest_limits(report: Report) -> dict[str, Report]:
    """Of each limit of requests and money the caller's own, or that with others, by the report ``GET stats``.

    Example:
        >>> own, group = {"limit": 100, "remaining": 90}, {"limit": 500, "remaining": 5}
        >>> nearest_limits({"limits": {"day": own}, "shared_limits": {"day": group}})
        {'day': {'limit': 500, 'remaining': 5}}
    """
    nearest = dict(report.get("limits") or {})
    if (cost := report.get("cost") or {}).get("limit") is not None:
        nearest["usd_per_day"] = {"limit": cost["limit"], "remaining": cost["remaining"]}
    for name, shared in {**(report.get("shared_limits") or {}), **(report.get("shared_cost") or {})}.items():
        own = nearest.get(name) or {}
        if own.get("limit") is None or shared["remaining"] < own["remaining"]:
            nearest[name] = shared
    return nearest


def in_words(states: Report | None) -> str:
    """Keys by state."""
    if states is None:
        return ""
    return ", ".join(f"{count:,} {state}" for state, count in states.items() if count) or "none"


def queue(report: Report | None) -> str:
    """Who waits, and how long it takes now."""
    if report is None:
        return ""
    length, wait = report.get("length") or 0, report.get("expected_wait_seconds")
    waiting = f"{length:,} waiting" if length else "nobody waits"
    return f"{waiting}, about {wait:.0f} s" if wait and wait >= 0.5 else waiting


def of(limit: Report) -> str:
    """How much of a limit is used; empty where nothing is counted and nothing limited."""
    used, most = limit.get("current"), limit.get("limit")
    if used is None and most is None:
        return ""
    return _number(used or 0) + ("" if most is None else f" of {_number(most)}")


def money(cost: Report) -> str:
    """What was spent today, in US dollars; empty where that is not known."""
    today, most = cost.get("today"), cost.get("limit")
    return "" if today is None else _dollars(today) + ("" if most is None else f" of {_dollars(most)}")


def _dollars(amount: float) -> str:
    return f"${amount:,.4f}" if 0 < amount < 0.1 else f"${amount:,.2f}"


def _models(names: list[str] | None, default: str) -> str:
    if names is None:
        return ""
    marked = (f"{name} (default)" if name == default and len(names) > 1 else name for name in names)
    return ", ".join(marked) or "none"


def _cache(report: Report) -> str:
    hits = (report.get("hit") or 0) + (report.get("shared") or 0)
    asked = hits + (report.get("miss") or 0)
    if not asked and not report.get("answers"):
        return ""
    saved = f", {_dollars(report['saved_usd'])} saved" if report.get("saved_usd") else ""
    return f"{report.get('answers') or 0:,} answers, {hits:,} of {asked:,} requests had theirs from it{saved}"


def _saved(report: Report) -> str:
    if not report.get("hits"):
        return ""
    saved = f", {_dollars(report['saved_usd'])} saved" if report.get("saved_usd") else ""
    return f"{report['hits']:,} of {report.get('requests') or 0:,} requests{saved}"


# The tenant's policy; taken out of `rest`.
def _policy(rest: dict[str, Any]) -> Iterator[Row]:
    yield "leaves the kernel at most", str(rest.pop("privacy_floor", "") or "")
    yield "your group's instructions", str(rest.pop("system_prompt", "") or "")


# A nested report as rows, such as `key limits`.
def _rows(report: Report, above: str = "") -> Iterator[Row]:
    for name, value in report.items():
        label = f"{above} {name}".strip().replace("_", " ")
        if isinstance(value, dict) and "limit" in value:
            yield label, money(value) if "today" in value else of(value)
        elif isinstance(value, dict):
            yield from _rows(value, label)
        elif isinstance(value, list):
            yield label, ", ".join(map(_brief, value)) or "none"
        elif value not in (None, ""):
            yield label, _number(value)


def _brief(item: Any) -> str:
    if not isinstance(item, dict):
        return str(item)
    name = item.get("name") or item.get("id") or item.get("key") or ""
    plain = [(key, value) for key, value in item.items() if not isinstance(value, dict | list)]
    rest = [f"{key} {_number(value)}" for key, value in plain if value not in (name, None)]
    return f"{name} ({', '.join(rest)})" if rest else str(name)


def _number(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.2f}" if isinstance(value, float) else str(value)
