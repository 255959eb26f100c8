"""Whatever is typed: no secret, no identifier and no rare value is in any request that leaves the kernel."""

from __future__ import annotations

import json
import random

import httpx
import pytest
from planted import CELLS, assert_nothing_planted, seeded

pytestmark = pytest.mark.usefixtures("simulation")

REPLIES = 40


def bodies(gateway):
    return "\n".join(json.dumps(request, ensure_ascii=False) for request in gateway.requests)


@pytest.fixture
def session(ip, gateway):
    """The planted session, with its cells in the history and replies for every question."""
    ip.user_ns.update(seeded())
    for cell in CELLS:
        ip.history_manager.store_inputs(ip.execution_count, cell, cell)
        ip.execution_count += 1
    gateway.replies = ["```python\nvisits['diagnosis'].value_counts()\n```\nSo many."] * REPLIES
    return ip


def quietly(ip, cell):
    """Type a cell; what it says about itself does not matter here."""
    ip.run_cell(cell)


QUESTIONS = [
    "%%ask\nhow many visits by diagnosis?",
    "%%ask --with visits visits_pl by_kind crossed pivot person_row configured Visit levels two\ndescribe them",
    "%%ask --privacy names\nwhat is in contact, free_text, patient, password, server and ssn of visits?",
    "%%ask --with spread spread_only one_flag spread_record spread_array spread_means counted counted_part\ndescribe",
    "%%ask --with counted_folded counted_series counted_flat counted_on_its_side pl_spread pl_counted\ndescribe them",
    "%%ask --privacy names --with pl_lazy shares row_of_one several_levels spread pl_counted counted\ndescribe them",
    "%%ask --with pl_lazy shares row_of_one several_levels\ndescribe them",
    "%%ask\nwhat are {{counted}}, {{pl_counted}}, {{spread}}, {{one_flag}}, {{spread_record}}, {{several_levels}}?",
    "%%ask\nwhat are {{visits}}, {{one}}, {{people}}, {{config}}, {{counts}}, {{model}}, {{tagged}}?",
    "%%ask\n{{api_key}}",
    "%%ask --as quiz\nvisits",
    "%ask --as summary",
    "%ask and what else?",
    "%%sql_ai frames\nhow many visits by diagnosis?",
    "%%sql_ai --no-run\nand by patient and server?",
    "%%ask --run\nagain",
    "%ask what does that mean?",
]


def sampled(cells, count):
    """So many of the cells; `make test-all` takes the others as well."""
    sample = random.Random(6).sample(cells, count)
    return [pytest.param(cell, marks=() if cell in sample else pytest.mark.sweep) for cell in cells]


# Each is also asked in the conversation below.
@pytest.mark.spine
@pytest.mark.parametrize("cell", sampled(QUESTIONS, 5))
def test_nothing_planted_is_sent(session, gateway, cell):
    quietly(session, cell)
    assert_nothing_planted(bodies(gateway))
    assert gateway.requests or "api_key" in cell


@pytest.mark.spine
def test_nothing_planted_is_sent_in_a_conversation(session, gateway):
    for cell in QUESTIONS:
        quietly(session, cell)
    assert_nothing_planted(bodies(gateway))
    assert len(gateway.requests) > len(QUESTIONS)


FAILING = [
    "float(visits['diagnosis'].iloc[-1])",
    "people['Grete Hermann Nobody']",
    "visits.loc['Grete Hermann']",
    "visits['diagnosis'].astype('category').cat.set_categories(['flu']).fillna('kuru-disease')",
    "raise ValueError(f\"no such patient: '{name}' with {visits['password'].iloc[0]}\")",
    "pd.Timestamp(visits['diagnosis'].iloc[-1])",
    "int(visits['email'].iloc[3])",
    "['flu'].index('kuru-disease')",
    "open('/home/Grete Hermann/kuru-disease.csv')",
    "import json\njson.loads(\"{'Grete Hermann': \")",
    "(",
    "spread['diagnosis_x']",
    "counted['flue']",
    "pl_counted.select('flue')",
    "counted.rename(columns={'kuru-disease': 'x'}).loc['Grete Hermann', 'kuru-disease']",
    "visits.query('diagnosis == \"kuru-disease\" and nothing')",
    "visits.astype({'patient': int})",
    "visits.merge(counted, on='kuru-disease')",
    "dict(zip(['a'], ['b'], strict=True))['Grete Hermann']",
    "raise ValueError('no such patient: ' + visits['patient'].iloc[0])",
    "who = visits['patient'].iloc[0]\nraise RuntimeError(\n    f'{who} has {len(visits)} rows'\n)",
    "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    e.add_note(visits['patient'].iloc[0])\n    raise",
    "class Missing(Exception):\n    pass\n\nraise Missing(visits['patient'].iloc[0], 'kuru-disease')",
    "assert visits['patient'].iloc[0] == 'Emmy', visits['patient'].iloc[0]",
]


@pytest.mark.spine
@pytest.mark.parametrize("cell", sampled(FAILING, 8))
def test_nothing_planted_is_sent_with_an_error(session, gateway, cell):
    quietly(session, "import pandas as pd")
    quietly(session, cell)
    quietly(session, "%ask")
    quietly(session, "%ask fix")
    quietly(session, "%%ask\nWhat is {{Err}}?")
    assert_nothing_planted(bodies(gateway))
    assert len(gateway.requests) == 3


def test_the_headers_hold_no_more_than_the_token(session, gateway):
    quietly(session, QUESTIONS[0])
    assert_nothing_planted(json.dumps(gateway.requests[0]["headers"]))


def test_a_gateway_that_refuses_and_is_asked_again_gets_nothing_either(session, gateway):
    gateway.replies = [httpx.Response(400, json={"error": {"message": "no", "code": "x"}}), "yes"]
    quietly(session, QUESTIONS[1])
    quietly(session, "%%ask\nagain, for visits?")
    assert_nothing_planted(bodies(gateway))
