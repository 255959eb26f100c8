"""Warehouses of our own to measure linking with: schemas without rows, and questions with the tables they need.

``university`` has tables from several source systems, ``company`` has stars; both have no declared keys, unless asked
for. Their lines are ``TABLE: COLUMN, COLUMN>OTHER.COLUMN``, with a star behind what is a primary key. The others are
like public data sets of cloud warehouses, with a table for each year, day, release or area: their lines are
``schema: tables: columns``, where ``gsod{1929..1931}`` is three tables. The questions were written before the rules
that they measure.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np

from rsql_magic.sql import Catalog, Column, ForeignKey, Table
from rsql_magic.sql.linking.words import stems

_FOLDER = Path(__file__).parent
STARS = ("university", "company")
KEYS = ("none", "true", "pairs")
CLOUDS = ("weather", "census", "web", "city", "health")
_PROJECT = "bigquery-public-data"


def warehouse(name, keys="none"):
    """Its catalog, and its questions with the full names of the tables they need.

    ``keys`` are those declared in the stars: ``none``, ``true`` ones, or ``pairs`` of all tables that share one.
    """
    lines = (_FOLDER / f"{name}_questions.txt").read_text().splitlines()
    questions = [(question, needed.split()) for question, needed in (line.split(" | ") for line in lines)]
    schema = [line for line in (_FOLDER / f"{name}.txt").read_text().splitlines() if line[0] != "#"]
    if name in CLOUDS:
        tables = [table for line in schema for table in _cloud_tables(*line.split(": "))]
        qualified = [(question, [f"{_PROJECT}.{table}" for table in needed]) for question, needed in questions]
        return Catalog(tuple(tables), "bigquery"), qualified
    tables = [_table(line, keys) for line in schema]
    return Catalog(tuple(_paired(tables) if keys == "pairs" else tables), "oracle"), questions


def _cloud_tables(schema, names, columns):
    every = tuple(Column(column, "STRING") for column in columns.split())
    return [Table(name, every, schema=schema, database=_PROJECT) for names in names.split() for name in _each(names)]


def _each(names):
    """The names that one with a range stands for."""
    if not (span := re.search(r"\{(\d+)\.\.(\d+)\}", names)):
        return [names]
    return [f"{names[: span.start()]}{number}{names[span.end() :]}" for number in range(int(span[1]), int(span[2]) + 1)]


def _table(line, keys):
    name, _, text = line.partition(": ")
    columns, own, foreign = [], [], []
    for part in text.split(", "):
        column, _, other = part.partition(">")
        columns.append(Column(column.rstrip("*"), "VARCHAR"))
        own += [column.rstrip("*")] if column.endswith("*") else []
        foreign += [ForeignKey((column,), *_referred(other))] if other else []
    if keys == "none":
        return Table(name, tuple(columns))
    return Table(name, tuple(columns), primary_key=tuple(own), foreign_keys=tuple(foreign))


def _referred(text):
    table, _, column = text.partition(".")
    return table, (column,)


def _paired(tables):
    """The tables with each joined to each other that has the same key, as lists of joins say it; no primary keys."""
    ends = defaultdict(list)
    for table in tables:
        for key in table.foreign_keys:
            ends[key.table, key.referred].append((table.name, key.columns))
    joined = defaultdict(list)
    for owner, columns in ends.items():
        every = [owner, *columns]
        for name, own in every:
            joined[name] += [ForeignKey(own, other, theirs) for other, theirs in every if other != name]
    return [replace(table, primary_key=(), foreign_keys=tuple(joined[table.name])) for table in tables]


class PlainBM25:
    """Tables ranked by plain BM25 over the words of their names, columns, descriptions and values: the floor."""

    def __init__(self, catalog, k1=1.2, b=0.75):
        self._names = [table.full_name for table in catalog]
        texts = [_words(table) for table in catalog]
        lengths = np.array([len(words) for words in texts])
        self._scale = k1 * (1 - b + b * lengths / lengths.mean())
        self._k1 = k1
        self._counts = defaultdict(lambda: np.zeros(len(texts)))
        for place, words in enumerate(texts):
            for word in words:
                self._counts[word][place] += 1

    def first(self, question, n=10):
        scores = np.zeros(len(self._names))
        for word in dict.fromkeys(stems(question)):
            if word in self._counts:
                counts = self._counts[word]
                rarity = np.log(1 + (len(counts) - (counts > 0).sum() + 0.5) / ((counts > 0).sum() + 0.5))
                scores += rarity * counts * (self._k1 + 1) / (counts + self._scale)
        return [self._names[place] for place in np.argsort(-scores, kind="stable")[:n]]


def _words(table):
    words = [*stems(table.full_name), *stems(table.description)]
    for column in table.columns:
        words += [*stems(column.name), *stems(column.description)]
        words += [word for value in (column.profile.values if column.profile else ()) for word in stems(value)]
    return words
