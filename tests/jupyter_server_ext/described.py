"""Tables and frames as the kernel tells the offline model of them, from short texts as a test has them."""

from __future__ import annotations

import re
from dataclasses import replace

import msgspec

from jupyter_server_ext.offline import answer
from jupyter_server_ext.offline.request import read
from rsql_magic.context.gathered import Context, Frame, FrameColumn, Piece
from rsql_magic.sql import Catalog, Profile, Table, as_stated_in_ddl, fence

_FRAME = re.compile(r"(?P<name>.+?): (?P<label>[^,]+), (?P<rows>[\d,]+) rows? × (?P<width>[\d,]+) columns?")
_COLUMN = re.compile(r"- (?P<name>\S+) (?P<type>[^\s:]+(?:\[[^\]]*\])?)(?:: (?P<facts>.*))?")


def asked(**member) -> str:
    """The offline model's answer to a request, as it arrives: in JSON."""
    return answer(read(msgspec.json.decode(msgspec.json.encode(member))))


def profile_of(facts: str, rows: int | None) -> tuple[Profile, str, str]:
    """Facts as `rsql_magic.sql.facts` writes them: profile, unit and description."""
    known, unit, description = Profile(), "", []
    for fact in re.findall(r"(?:'(?:[^']|'')*'|[^;'])+", facts):
        fact = fact.strip()  # noqa: PLW2901
        if fact.startswith("values:"):
            values = tuple(value.replace("''", "'") for value in re.findall(r"'((?:[^']|'')*)'", fact))
            known = replace(known, values=values, complete=not fact.endswith("…"))
        elif " as text: " in fact:
            known = replace(known, form=fact.partition(" as text: ")[2])
        elif fact == "unique":
            known = replace(known, distinct=rows)
        elif count := re.fullmatch(r"(≈?)([\d,]+) distinct", fact):
            known = replace(known, distinct=int(count[2].replace(",", "")), approximate=bool(count[1]))
        elif share := re.fullmatch(r"(\d+)% (?:NULL|NA)", fact):
            known = replace(known, nulls=int(share[1]) / 100)
        elif ".." in fact:
            low, high = fact.split("..")
            known = replace(known, low=low, high=high)
        elif fact.startswith("["):
            unit = fact.strip("[]")
        else:
            description.append(fact)
    return known, unit, "; ".join(description)


def catalog_of(ddl: str, dialect: str = "duckdb") -> Catalog:
    """The tables of DDL whose comments tell facts, as a linked catalog has them."""
    tables = [_table(text) for text in re.findall(r"CREATE TABLE.*?\);", ddl, re.DOTALL)]
    return Catalog(tuple(as_stated_in_ddl(table) for table in tables), dialect)


def _table(text: str) -> Table:
    table = Catalog.from_ddl(re.sub(r"--[^\n]*", "", text), "").tables[0]
    keys = tuple(key for key in table.foreign_keys if not key.inferred)
    head, *lines = text.splitlines()
    rows = re.search(r"-- ([\d,]+) rows?(?:; (.*))?", head)
    count = int(rows[1].replace(",", "")) if rows else None
    told = {}
    for line in [head.partition("(")[2], *lines]:
        columns, _, facts = line.partition("--")
        names = re.findall(r"""(?:^|,)\s*["`]?([\w ]+?)["`]?\s+\w+(?:\([\d, ]+\))?""", columns)
        if names and facts:
            told[names[-1]] = profile_of(facts.strip(), count)
    columns = (
        replace(column, profile=told[column.name][0], unit=told[column.name][1], description=told[column.name][2])
        if column.name in told
        else replace(column, description="")
        for column in table.columns
    )
    description = (rows[2] or "") if rows else ""
    return replace(table, columns=tuple(columns), foreign_keys=keys, rows=count, description=description)


def frame(text: str, kind: str = "frame") -> Piece:
    """A frame from its text."""
    first, *lines = text.strip().splitlines()
    head = _FRAME.match(first)
    rows = int(head["rows"].replace(",", ""))
    columns = []
    for found in map(_COLUMN.match, lines):
        profile, unit, description = profile_of(found["facts"] or "", rows)
        columns.append(FrameColumn(found["name"], found["type"], True, description, unit, profile))
    width = int(head["width"].replace(",", ""))
    values = Frame(head["label"], width, rows, tuple(columns), width - len(columns), "≈ from" in first)
    return Piece(kind, head["name"], text.strip(), values=values)


def objects(text: str, kind: str = "r") -> list[Piece]:
    """Objects of one line each."""
    return [Piece(kind, line.partition(":")[0], line) for line in text.strip().splitlines()]


def context(*pieces: Piece) -> Context:
    """What was gathered of a session."""
    return Context(pieces)


def page(name: str, text: str) -> Piece:
    """A help page."""
    return Piece("help", name, text)


__all__ = ["Context", "asked", "catalog_of", "context", "fence", "frame", "objects", "page"]
