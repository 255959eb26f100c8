"""How often linking finds every table a question needs, on question sets in Spider's format.

    python tests/bench/measure_linking.py tables.json questions.jsonl [--database DIR] [--naming schema] [-n 1000]

``tables.json`` holds the schemas of many databases; all are merged into one warehouse. Each line of ``questions.jsonl``
has ``db_id``, ``question`` and ``gold_tables``. With ``--database`` the categories of text columns (at most 20 distinct
values) are read from ``DIR/<db_id>.sqlite``. ``--descriptions`` is BIRD's ``column_descriptions.json``. The sets
themselves are not ours to ship.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

from rsql_magic.context import Catalog
from rsql_magic.sql import Column, ForeignKey, Profile, Table, link
from rsql_magic.sql.linking.index import shown

_MOST_VALUES = 20


def warehouse(schemas, naming="prefix", folder=None, descriptions=None):
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


def measure(catalog, questions, naming):
    """Shares of questions with all gold tables within the first 5 and 10, tokens, and milliseconds."""
    whole = shown(catalog.tables, catalog).tokens
    found5 = found10 = tokens = 0
    link("first", catalog)
    start = time.perf_counter()
    for line in questions:
        names = [table.full_name.casefold() for table in link(line["question"], catalog, 8000)]
        gold = {full_name(line["db_id"], table, naming).casefold() for table in line["gold_tables"]}
        found5 += gold <= set(names[:5])
        found10 += gold <= set(names[:10])
    seconds = time.perf_counter() - start
    for line in questions[:200]:
        tokens += shown(link(line["question"], catalog, 8000)[:10], catalog).tokens
    n = len(questions)
    return (
        f"{len(catalog)} tables, {n} questions: all gold tables in the first 5 {found5 / n:.1%}, 10 {found10 / n:.1%}; "
        f"10 tables are {tokens / min(n, 200) / whole:.2%} of {whole:,} tokens; {1000 * seconds / n:.1f} ms"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", help="tables.json, or several joined by commas")
    parser.add_argument("questions", type=Path)
    parser.add_argument("--database", type=Path)
    parser.add_argument("--descriptions", type=Path)
    parser.add_argument("--naming", choices=["prefix", "schema"], default="prefix")
    parser.add_argument("-n", type=int, default=None)
    options = parser.parse_args()
    schemas = [schema for path in options.tables.split(",") for schema in json.loads(Path(path).read_text())]
    notes = json.loads(options.descriptions.read_text()) if options.descriptions else None
    lines = [json.loads(line) for line in options.questions.read_text().splitlines()]
    questions = [line for line in lines if line["gold_tables"]]
    questions = questions[:: max(1, len(questions) // options.n)] if options.n else questions
    print(measure(warehouse(schemas, options.naming, options.database, notes), questions, options.naming))


if __name__ == "__main__":
    main()
