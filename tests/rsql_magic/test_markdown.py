"""A model's words can do nothing: what front ends make of safe Markdown, and that ordinary Markdown looks the same."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest
from markdown_readers import READERS, dangers, looks
from markdown_replies import reply

from rsql_magic.display import safe_markdown

CASES = Path(__file__).parent / "markdown_cases"
ATTACKS = [
    case["markdown"].replace("{{server}}", "http://canary.invalid")
    for case in map(json.loads, (CASES / "attacks.jsonl").read_text(encoding="utf-8").splitlines())
]


def found(texts):
    """What could do something in the pages that readers make of texts."""
    safe = [safe_markdown(text) for text in texts]
    return [
        (name, text, made, danger)
        for name, reader in READERS.items()
        for text, made, page in zip(texts, safe, reader(safe), strict=True)
        if (danger := dangers(page))
    ]


def test_known_attacks_do_nothing(programs):
    assert found(ATTACKS) == []


def test_made_up_replies_do_nothing(programs):
    assert found([reply(seed) for seed in range(300)]) == []


@pytest.mark.sweep
def test_many_made_up_replies_do_nothing(programs):
    assert found([reply(seed) for seed in range(10_000)]) == []


def test_no_prefix_of_an_answer_does_anything(programs):
    chance = random.Random(1)
    whole = [reply(seed) for seed in range(60)]
    assert found([text[: chance.randint(0, len(text))] for text in whole for _ in range(5)]) == []


EXAMPLES = [json.loads(line) for line in (CASES / "examples.jsonl").read_text(encoding="utf-8").splitlines()]
MARKUP = re.compile(r"<(?!https?:|mailto:|[^ >]+@)[a-z!?/]", re.I)
OTHER_LINKS = re.compile(r'<img|href="(?!https?:|mailto:)', re.I)
UNKNOWN_WORD = re.compile(r"^[ >-]*(?:```+|~~~+)[ \t]*(?!ruby|\n)[^`\s]", re.M)
# Where the reader and the parser disagree on what the text means, or nothing would be shown at all.
DIFFERENT = {
    "marked": {"GFM 0.29 491", "GFM 0.29 493", "CommonMark 0.31.2 606", "GFM 0.29 627", "GFM 0.29 632"},
    "mistune": {"CommonMark 0.31.2 612", "GFM 0.29 199", "GFM 0.29 200", "GFM 0.29 202", "GFM 0.29 204", "GFM 0.29 493"}
    | {f"GFM 0.29 {number}" for number in (622, 623, 624, 625, 626, 627, 629, 633)},  # links that it does not know
    "markdown_it": {"GFM 0.29 626", "GFM 0.29 633"},
}
ONLY_DEFINED = "CommonMark 0.31.2 207"
"""Nothing but the definition of a link, which shows nothing: then the text is shown."""


@pytest.mark.parametrize("reader", READERS)
def test_ordinary_markdown_looks_the_same(programs, reader):
    ordinary = [
        case for case in EXAMPLES if not MARKUP.search(case["markdown"]) and not UNKNOWN_WORD.search(case["markdown"])
    ]
    texts = [case["markdown"] for case in ordinary]
    before, after = READERS[reader](texts), READERS[reader]([safe_markdown(text) for text in texts])
    compared = [
        (case["name"], looks(one), looks(other))
        for case, one, other in zip(ordinary, before, after, strict=True)
        if not OTHER_LINKS.search(one)
    ]
    different = DIFFERENT[reader] | {ONLY_DEFINED}
    assert len(compared) > 400
    assert {name: (one, other) for name, one, other in compared if one != other and name not in different} == {}
