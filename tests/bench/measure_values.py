"""How many literals of gold queries are found by the phrases of their questions, by profiles and by a value index.

    .venv/bin/python tests/bench/measure_values.py QUESTIONS.jsonl FOLDER [--most 500]

Each line of the questions has ``db_id``, ``question`` and ``query``; the folder has a SQLite file for each. A literal
counts as found when the column that the gold query compares with it is named, with the value as the query has it. The
questions themselves are no part of the project.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from contextlib import closing
from pathlib import Path

from rsql_magic.databases import open_engine
from rsql_magic.databases.value_building import ValueBuilder
from rsql_magic.knowledge import ValueIndex, ValueStore
from rsql_magic.sql import find_values
from rsql_magic.text2sql.literals import comparisons
from rsql_magic.text2sql.stored import corrected, held_phrases, looked_up


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("questions", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--most", type=int, default=100_000)
    options = parser.parse_args()
    by_database = defaultdict(list)
    lines = options.questions.read_text(encoding="utf-8").splitlines()
    for line in lines[:: max(1, len(lines) // options.most)]:
        asked = json.loads(line)
        by_database[asked["db_id"]].append(asked)
    counts: Counter[str] = Counter()
    for name, asked in by_database.items():
        if (place := options.folder / f"{name}.sqlite").is_file():
            counts += measured(place, asked)
    print(f"{counts['questions']:,} questions, {counts['literals']:,} literals of text columns that their column holds")
    for how in ("profiles", "index"):
        print(f"  found by {how}: {counts[how]:,} ({counts[how] / max(1, counts['literals']):.1%})")
    print(f"  lines that a prompt would have: {counts['lines of profiles']:,} and {counts['lines of index']:,}")
    print(f"  literals that no row has: {counts['absent']:,}, of which corrected {counts['corrected']:,}")
    print(f"  gold literals that were changed though a row has them: {counts['harmed']:,}")


def measured(place: Path, questions: list[dict[str, str]]) -> Counter[str]:
    """What is found of the questions of one database."""
    counts: Counter[str] = Counter()
    with closing(open_engine(str(place))) as engine, closing(ValueStore(None)) as store:
        catalog = engine.catalog("stats")
        for _ in ValueBuilder(open_engine(str(place))._database, store).steps(engine.catalog("names").tables):
            pass
        index = ValueIndex(store)

        def run(query: str) -> list[str]:
            return [str(value) for value in engine.run(query, max_rows=3).df.iloc[:, 0]]

        for asked in questions:
            counts["questions"] += 1
            found = comparisons(asked["query"], "sqlite", catalog)
            gold = {(one.table.full_name, one.column.name, one.text) for one in found if one.operator == "="}
            gold = {one for one in gold if index.covers(*one[:2])}
            held = {one for one in gold if index.holds(one[2], one[0], one[1])}
            profiled = find_values(asked["question"], catalog)
            indexed = held_phrases(asked["question"], index)
            counts["literals"] += len(held)
            counts["profiles"] += len(held & {(one.table, one.column, one.value) for one in profiled})
            counts["index"] += len(held & {(one.table, one.column, one.value) for one in indexed})
            counts["lines of profiles"] += len(profiled)
            counts["lines of index"] += len(indexed)
            counts["absent"] += len(gold) - len(held)
            near = looked_up(found, index, asked["question"], catalog, "sqlite", run)
            fix = corrected(asked["query"], "sqlite", near)
            counts["corrected"] += len(fix.changes) if fix else 0
            changed = {one.comparison.text for one in near if one.is_sure}
            counts["harmed"] += sum(text in changed for _, _, text in held)
    return counts


if __name__ == "__main__":
    main()
