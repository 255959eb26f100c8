"""A page that shows the wins and losses of a run side by side."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluation.questions import Outcome, Record

_STYLE = """
:root { color-scheme: light dark; font: 14px/1.45 system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 90rem; padding: 0 1rem; }
article { border-top: 1px solid #8884; padding: .8rem 0; }
h2 { margin-top: 2.5rem; } h3 { font-size: 1rem; margin: 0 0 .4rem; font-weight: 600; }
.ways { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 1rem; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: .2rem 0; font-size: 12.5px; }
.right { color: #18794e; } .wrong, .fails, .crash { color: #c62828; } .refused { color: #9a6700; }
small { opacity: .75; }
"""


def html(records: Sequence[Record], model: str) -> str:
    """The page: what rsql lost first, then what it won, then what both got wrong, then the rest.

    Args:
        records: The records of a run.
        model: The model's name.
    """
    parts: dict[str, list[Record]] = {"Lost": [], "Won": [], "Both wrong": [], "Both right": []}
    for record in records:
        plain, ours = record.plain.ended == "right", record.ours.ended == "right"
        name = {(True, False): "Lost", (False, True): "Won", (False, False): "Both wrong"}.get(
            (plain, ours), "Both right"
        )
        parts[name].append(record)
    counts = " · ".join(f"{name.lower()} {len(some)}" for name, some in parts.items())
    body = "".join(f"<h2>{name}</h2>{''.join(map(_article, some))}" for name, some in parts.items() if some)
    title = f"{escape(model)}: {len(records)} questions"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"<h1>{title}</h1><p>{counts}</p>{body}</html>"
    )


def _article(record: Record) -> str:
    question = record.question
    ways = (
        f"<div><small>gold</small><pre>{escape(question.gold)}</pre></div>"
        f"{_way('plain prompt', record.plain)}{_way('rsql', record.ours)}"
    )
    head = f"{escape(question.text)} <small>{escape(question.database)} · {escape(question.hardness)}</small>"
    return f'<article><h3>{head}</h3><div class="ways">{ways}</div></article>'


def _way(name: str, outcome: Outcome) -> str:
    drafts = [f"<pre>{escape(outcome.sql)}</pre>"]
    if outcome.first_sql != outcome.sql:
        drafts.append(f"<small>first draft, {outcome.first}</small><pre>{escape(outcome.first_sql)}</pre>")
    why = f"<p>{escape(outcome.why)}</p>" if outcome.why else ""
    cost = f"{outcome.rounds} requests, {outcome.prompt_tokens} tokens, {outcome.seconds:.1f} s"
    head = f'<small>{name}: <b class="{outcome.ended}">{outcome.ended}</b> · {cost}</small>'
    return f"<div>{head}{''.join(drafts)}{why}</div>"
