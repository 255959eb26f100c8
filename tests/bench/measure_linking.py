"""How often linking finds every table a question needs, beside plain BM25 in the same run.

    python tests/bench/measure_linking.py                      # the warehouses of tests/warehouses
    python tests/bench/measure_linking.py tables.json questions.jsonl [--database DIR] [--naming schema] [-n 1000]

Sets are in Spider's format: ``tables.json`` holds the schemas of many databases; all are merged into one warehouse.
Each line of ``questions.jsonl`` has ``db_id``, ``question`` and ``gold_tables``. With ``--database`` the categories of
text columns (at most 20 distinct values) are read from ``DIR/<db_id>.sqlite``. ``--descriptions`` is BIRD's
``column_descriptions.json``. The sets themselves are not ours to ship.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

from rsql_magic.context import Catalog
from rsql_magic.sql import Column, ForeignKey, Profile, Table, link
from rsql_magic.sql.linking.index import shown

sys.path.insert(0, str(Path(__file__).parents[1]))
from warehouses import CLOUDS, KEYS, STARS, PlainBM25, warehouse

_MOST_VALUES = 20


def merged(schemas, naming="prefix", folder=None, descriptions=None):
    """All schemas as one catalog."""
    tables = []
    for schema in schemas:
        notes = (descriptions or {}).get(schema["db_id"], {})
        tables += [_valued(t, schema["db_id"], folder) for t in _tables(schema, naming, notes)]
    return Catalog(tuple(tables), "sqlite")


def full_name(db, table, naming):
    return f"{db}.{table}" if naming == "schema" else f"{db}__{table}"


def _tables(schema, naming, notes):
    db, names, columns = schema["db_id"], schema["table_names_original"], schema["column_names_original"]
    keys = [key for keys in schema["primary_keys"] for key in (keys if isinstance(keys, list) else [keys])]
    for place, name in enumerate(names):
        own = [(i, column) for i, (table, column) in enumerate(columns) if table == place]
        said = {note["column_name"]: _note(note) for note in notes.get(name, ())}
        yield Table(
            name if naming == "schema" else full_name(db, name, naming),
            tuple(Column(column, schema["column_types"][i], description=said.get(column, "")) for i, column in own),
            schema=db if naming == "schema" else "",
            primary_key=tuple(column for i, column in own if i in keys),
            foreign_keys=tuple(
                ForeignKey((columns[a][1],), full_name(db, names[columns[b][0]], naming), (columns[b][1],))
                for a, b in schema["foreign_keys"]
                if columns[a][0] == place
            ),
        )


def _note(note):
    return "; ".join(note[key] for key in ("column_description", "value_description") if note.get(key))


def _valued(table, db, folder):
    path = Path(folder or "", f"{db}.sqlite")
    if not folder or not path.exists():
        return table
    name = table.name if table.schema else table.name.removeprefix(f"{db}__")
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        return table.with_columns(_profiled(connection, name, column) for column in table.columns)


def _profiled(connection, table, column):
    if column.type == "number":
        return column
    with suppress(sqlite3.Error):
        query = f'SELECT "{column.name}", count(*) n FROM "{table}" GROUP BY 1 ORDER BY n DESC LIMIT {_MOST_VALUES + 1}'
        values = [value for value, _ in connection.execute(query) if isinstance(value, str)]
        if len(values) <= _MOST_VALUES:
            return replace(column, profile=Profile(values=tuple(values), complete=True))
    return column


def measure(catalog, questions):
    """Shares of questions with all tables needed within the first 5, 10, 20, 30 and all shown, tokens, milliseconds."""
    link("first", catalog)
    start = time.process_time()
    linked = [link(question, catalog, 8000) for question, _ in questions]
    seconds = time.process_time() - start
    floor = PlainBM25(catalog)
    found = Counter()
    for (question, needed), tables in zip(questions, linked, strict=True):
        names, wanted = [table.full_name.casefold() for table in tables], {name.casefold() for name in needed}
        for most in (5, 10, 20, 30, len(catalog)):
            found[most] += wanted <= set(names[:most])
        found["floor"] += wanted <= {name.casefold() for name in floor.first(question)}
    share = {most: f"{n / len(questions):.1%}" for most, n in found.items()}
    some = linked[:200]
    tokens = sum(shown(tables, catalog).tokens for tables in some) / len(some)
    return (
        f"{len(catalog)} tables, {len(questions)} questions: all needed in the first 5 {share[5]}, "
        f"10 {share[10]} (plain BM25 {share['floor']}), 20 {share[20]}, 30 {share[30]}, shown {share[len(catalog)]}; "
        f"{sum(map(len, some)) / len(some):.0f} tables of {tokens:,.0f} tokens; {1000 * seconds / len(linked):.1f} ms"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="?", help="tables.json, or several joined by commas")
    parser.add_argument("questions", nargs="?", type=Path)
    parser.add_argument("--database", type=Path)
    parser.add_argument("--descriptions", type=Path)
    parser.add_argument("--naming", choices=["prefix", "schema"], default="prefix")
    parser.add_argument("-n", type=int, default=None)
    options = parser.parse_args()
    if not options.tables:
        for name in (*STARS, *CLOUDS):
            for keys in KEYS if name in STARS else KEYS[:1]:
                print(f"{name}, keys: {keys}: {measure(*warehouse(name, keys))}")
        return
    schemas = [schema for path in options.tables.split(",") for schema in json.loads(Path(path).read_text())]
    notes = json.loads(options.descriptions.read_text()) if options.descriptions else None
    lines = [json.loads(line) for line in options.questions.read_text().splitlines()]
    lines = [line for line in lines if line["gold_tables"]]
    lines = lines[:: max(1, len(lines) // options.n)] if options.n else lines
    questions = [
        (line["question"], [full_name(line["db_id"], table, options.naming) for table in line["gold_tables"]])
        for line in lines
    ]
    print(measure(merged(schemas, options.naming, options.database, notes), questions))


if __name__ == "__main__":
    main()
