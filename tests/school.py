"""A school's tables, and what is wrong with queries over them."""

from __future__ import annotations

from rsql_magic.context import Catalog
from rsql_magic.sql import Column, ForeignKey, Table, validate


def table(name, columns, key=(), keys=(), **more):
    """A table; its columns are words such as ``grade:REAL``."""
    made = tuple(Column(*c.split(":")) if ":" in c else Column(c) for c in columns.split())
    return Table(name, made, primary_key=tuple(key), foreign_keys=tuple(keys), **more)


SCHOOL = (
    table(
        "students", "student_id:INTEGER first_name:TEXT last_name:TEXT birthday:DATE home_town:TEXT", key=["student_id"]
    ),
    table(
        "enrolments",
        "enrolment_id:INTEGER student_id:INTEGER course_id:INTEGER grade:REAL enrolled_on:DATE",
        key=["enrolment_id"],
        keys=[
            ForeignKey(("student_id",), "students", ("student_id",)),
            ForeignKey(("course_id",), "courses", ("course_id",)),
        ],
    ),
    table(
        "courses",
        "course_id:INTEGER title:TEXT credits:INTEGER teacher_id:INTEGER",
        key=["course_id"],
        keys=[ForeignKey(("teacher_id",), "teachers", ("teacher_id",), inferred=True)],
    ),
    table("teachers", "teacher_id:INTEGER full_name:TEXT salary:REAL room_code:TEXT", key=["teacher_id"]),
    table("rooms", "room_code:TEXT seats:INTEGER building:TEXT"),
)


def school(dialect="duckdb"):
    """The tables as a catalog of a dialect."""
    return Catalog(SCHOOL, dialect)


def problems(sql, dialect="duckdb", catalog=None):
    """All that is wrong with a query."""
    return validate(sql, dialect, catalog or school(dialect))


def one(sql, dialect="duckdb", catalog=None):
    """The one thing that is wrong with it."""
    found = problems(sql, dialect, catalog)
    assert len(found) == 1, found
    return found[0]
