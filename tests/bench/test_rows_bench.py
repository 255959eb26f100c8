"""What ``map`` adds to a provider's time, for each row; run by ``make bench``."""

from __future__ import annotations

import json
import re
import time

import pandas as pd
import pytest

from rsql_magic.answers.row_frames import RowFrame
from rsql_magic.answers.row_types import columns_of
from rsql_magic.answers.rows import DifferentRows, KnownRows, RowAsker, RowQuestion
from rsql_magic.gateway import Done, Text

pytestmark = pytest.mark.bench

ROWS = 5_000
REVIEW = "The parcel came two days late, number {}, and the box was open; the person who brought it was friendly. "


def at_once(messages, **_):
    """A provider that takes no time."""
    data = re.search(r"<data [^>]*>\n(.*)\n</data", messages[-1]["content"], re.DOTALL)[1]
    said = [{"row": json.loads(line)["row"], "mood": "glad"} for line in data.splitlines()]
    yield Text(json.dumps({"rows": said}))
    yield Done(usage={"prompt_tokens": 1, "completion_tokens": 1})


@pytest.mark.parametrize("together", [1, None])
def test_what_a_row_costs_here(tmp_path, together):
    frame = pd.DataFrame({"text": [REVIEW.format(n) * 2 for n in range(ROWS)]})
    started, processor = time.perf_counter(), time.process_time()
    told, columns = RowFrame.of(frame), columns_of({"mood": ["glad", "angry"]})
    rows = DifferentRows.of({"text": told.values("text")})
    known = KnownRows(tmp_path / "rows.db")
    asker = RowAsker(RowQuestion("How does {{text}} sound?", columns), rows, at_once, known, together=together)
    asker.ask()
    told.with_columns({"mood": ("str", [asker.outcomes[place].values["mood"] for place in rows.places])})
    wall, cpu = (
        1000 * (clock() - since) / ROWS
        for clock, since in ((time.perf_counter, started), (time.process_time, processor))
    )
    print(f"\n{ROWS:,} rows, {together or 'several'} in a request: {wall:.2f} ms a row, of a processor {cpu:.2f} ms")
    assert cpu <= 1.0
