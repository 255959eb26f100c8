"""A small library in SQLite, its tables as the kernel tells of them, and ways to ask the offline model about it."""

from __future__ import annotations

import re
import sqlite3

from .described import asked, catalog_of

DDL = """
CREATE TABLE authors ( -- 4 rows
  author_id INTEGER, -- 1..4; unique
  name TEXT, -- unique
  country TEXT, -- values: 'Norway', 'Peru'; 25% NULL
  birth_year INTEGER, -- 1940..1985
  PRIMARY KEY (author_id)
);
CREATE TABLE books ( -- 7 rows
  book_id INTEGER, -- 1..7; unique
  title TEXT, -- unique
  author_id INTEGER, -- 1..3
  genre TEXT, -- values: 'Crime', 'Poetry', 'Novel'
  pages INTEGER, -- 80..640
  price REAL, -- 9.5..40; [euro]
  published DATE, -- 1999-05-01..2021-09-30
  PRIMARY KEY (book_id),
  FOREIGN KEY (author_id) REFERENCES authors (author_id)
);
CREATE TABLE members ( -- 4 rows
  member_id INTEGER, -- 1..4; unique
  first_name TEXT, -- unique
  last_name TEXT, -- 3 distinct
  city TEXT, -- values: 'Lima', 'Oslo'
  age INTEGER, -- 17..70
  sex TEXT, -- values: 'F', 'M'
  PRIMARY KEY (member_id)
);
CREATE TABLE loans ( -- 8 rows; one row per book that was lent
  loan_id INTEGER, -- 1..8; unique
  book_id INTEGER, -- 1..6
  member_id INTEGER, -- 1..3
  year INTEGER, -- 2021..2022
  month INTEGER, -- 1..12
  days_late INTEGER, -- 0..30; days
  PRIMARY KEY (loan_id),
  FOREIGN KEY (book_id) REFERENCES books (book_id),
  FOREIGN KEY (member_id) REFERENCES members (member_id)
);
"""

_ROWS = """
INSERT INTO authors VALUES
  (1,'Ada Berg','Norway',1940),
  (2,'Bo Dahl','Norway',1970),
  (3,'Carla Ruiz','Peru',1985),
  (4,'Dag Moe',NULL,1960);
INSERT INTO books VALUES
  (1,'Night Train',1,'Crime',320,20.0,'1999-05-01'),
  (2,'Cold Harbour',1,'Crime',280,18.5,'2005-03-02'),
  (3,'Stones',2,'Poetry',80,9.5,'2010-01-15'),
  (4,'Rivers',2,'Poetry',96,12.0,'2015-06-20'),
  (5,'The Long Road',3,'Novel',640,40.0,'2021-09-30'),
  (6,'Short Stories',3,'Novel',150,15.0,'2020-02-02'),
  (7,'Last Light',1,'Crime',300,22.0,'2021-01-10');
INSERT INTO members VALUES
  (1,'Eva','Lund','Oslo',17,'F'),
  (2,'Finn','Vik','Oslo',44,'M'),
  (3,'Gaby','Soto','Lima',70,'F'),
  (4,'Hugo','Soto','Lima',33,'M');
INSERT INTO loans VALUES
  (1,1,1,2021,1,0),
  (2,2,1,2021,2,5),
  (3,1,2,2021,2,0),
  (4,3,2,2022,3,30),
  (5,5,3,2022,3,10),
  (6,1,3,2022,4,0),
  (7,4,1,2022,12,2),
  (8,6,2,2021,12,0);
"""


def connect() -> sqlite3.Connection:
    """The library in memory."""
    plain = re.sub(r"--[^\n]*", "", DDL)
    connection = sqlite3.connect(":memory:")
    connection.executescript(plain + _ROWS)
    return connection


def say(
    question: str,
    *,
    history: tuple[str, ...] = (),
    dialect: str = "sqlite",
    ddl: str = DDL,
    today: str = "2024-05-06",
    **more: str | list[str],
) -> str:
    """The model's answer to a question; ``history`` is earlier ones and their answers in turn."""
    return asked(
        task="repair" if "sql" in more else "sql",
        question=question,
        dialect=dialect,
        today=today,
        tables=catalog_of(ddl, dialect).tables,
        history=[{"question": one, "answer": two} for one, two in zip(history[::2], history[1::2], strict=True)],
        **more,
    )


def sql_in(text: str) -> str:
    """The query in an answer; empty when there is none."""
    found = re.search(r"```sql\n(.*?)\n```", text, re.DOTALL)
    return found[1] if found else ""


def ask(question: str, **options) -> str:
    """The query for a question."""
    return sql_in(say(question, **options))


def conversation(*questions: str, **options) -> list[str]:
    """The queries of several questions, each asked with those before as history."""
    history: list[str] = []
    queries = []
    for question in questions:
        sql = ask(question, history=tuple(history), **options)
        history += [question, f"```sql\n{sql}\n```"]
        queries.append(sql)
    return queries
