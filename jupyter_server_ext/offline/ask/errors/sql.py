"""SQL, in the words of DuckDB, SQLite, PostgreSQL and MySQL."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ...prompt import schema_of
from ..columns import nearest
from .trouble import Advice, Explanations, Trouble

if TYPE_CHECKING:
    from ...sql.schema import Schema

SQL = Explanations()


def _schema(trouble: Trouble) -> Schema:
    notebook = trouble.notebook
    return schema_of(notebook.request.catalog if notebook.request.tables else notebook.catalog(notebook.frames))


@SQL.on(
    r"Referenced column \"(?P<name>[^\"]+)\" (?:was )?not found",
    r"Table \"[^\"]+\" does not have a column named \"(?P<name>[^\"]+)\"",
    r"no such column: (?P<name>[\w.]+)",
    r"column \"?(?P<name>[\w.]+)\"? (?:of relation \S+ )?does not exist",
    r"Unknown column '(?P<name>[^']+)'",
)
def no_column(trouble: Trouble, match: re.Match[str]) -> Advice:
    """A column that no table of the query has."""
    name = match["name"].rpartition(".")[2]
    columns = list(_schema(trouble).columns())
    same = [f"`{column.table}.{column.name}`" for column in columns if column.name.lower() == name.lower()]
    what = f"The query's tables have no column `{name}`."
    if same:
        return Advice(what, f"The column is in another table ({', '.join(same[:3])}): join it.")
    found = nearest(name, [column.name for column in columns])
    offered = re.search(r"Candidate bindings: (.+)", trouble.text)
    if found:
        holder = next(column.table for column in columns if column.name == found)
        return Advice(
            what, f"The nearest name is `{found}` in `{holder}`. A text value needs single quotes, not double ones."
        )
    hint = f"There are: {offered[1].strip()}." if offered else "Check the spelling."
    return Advice(what, f"{hint} A text value needs single quotes, not double ones.")


@SQL.on(
    r"Table with name (?P<name>\S+) does not exist",
    r"no such table: (?P<name>[\w.]+)",
    r"relation \"(?P<name>[^\"]+)\" does not exist",
    r"Table '(?P<name>[^']+)' doesn't exist",
)
def no_table(trouble: Trouble, match: re.Match[str]) -> Advice:
    """A table that is not there."""
    name = match["name"].rpartition(".")[2]
    known = [table.name for table in _schema(trouble).tables]
    found = nearest(name, known)
    listed = ", ".join(f"`{table}`" for table in known[:10])
    hint = f"Did you mean `{found}`?" if found else "Check the spelling, the schema and which database is connected."
    return Advice(f"There is no table `{name}`.", f"{hint}{f' There are {listed}.' if listed else ''}")


SQL.say(
    r"(?:ambiguous column(?: name)?:? \"?(?P<name>[\w.]+)\"?|column reference \"(?P<name2>\w+)\" is ambiguous|"
    r"Ambiguous reference to column name \"(?P<name3>\w+)\"|Column '(?P<name4>\w+)' in .* is ambiguous)",
    "Several tables of the query have the column `{name}{name2}{name3}{name4}`.",
    "Say which one: `table.column`.",
)
SQL.say(
    r"(?:must appear in the GROUP BY clause|must be part of an aggregate|isn't in GROUP BY|not a GROUP BY "
    r"expression|only_full_group_by)",
    "A column is shown that is neither grouped by nor inside an aggregate, so it has several values per group.",
    "Add it to GROUP BY, or wrap it: `MAX(column)`, `ANY_VALUE(column)`.",
)
SQL.say(
    r"(?:misuse of aggregate|WHERE clause cannot contain aggregates|aggregate functions are not allowed in WHERE|"
    r"Invalid use of group function)",
    "An aggregate such as COUNT or AVG stands in WHERE, which looks at single rows.",
    "Put conditions on groups into HAVING, after GROUP BY: `… GROUP BY g HAVING COUNT(*) > 10`.",
)
SQL.say(
    r"aggregate function calls cannot be nested|aggregate function calls cannot contain window",
    "An aggregate stands inside another one.",
    "Compute the inner one in a subquery or CTE, then the outer one over its result.",
)
SQL.say(
    r"window functions? (?:are|is) not allowed in (?:WHERE|HAVING)",
    "A window function stands in WHERE or HAVING, which are evaluated before it.",
    "Compute it in a subquery and filter outside, or use QUALIFY where the database has it.",
)
SQL.say(
    r"(?:syntax error at or near|near) \"(?P<near>[^\"]+)\"(?::? syntax error)?|Parser Error: (?P<message>.+)|You "
    r"have an error in your SQL syntax",
    "The database cannot read the query near `{near}{message}`.",
    "Look just before that place: a missing comma, bracket, quote or keyword is the usual cause. Names that are "
    "keywords (`order`, `user`, `group`) need double quotes.",
)
SQL.say(
    r"unterminated quoted (?:string|identifier)|unrecognized token: \"'",
    "A quote is not closed.",
    "Close it; a quote inside a text is doubled: `'it''s'`.",
)
SQL.say(
    r"operator does not exist: (?P<types>[\w ]+ \S+ [\w ]+)|Cannot compare values of type (?P<compared>.+?) (?:-|in)",
    "Two values of different types are compared ({types}{compared}).",
    "Cast one side: `CAST(column AS INTEGER)`, or write the constant in the column's type.",
)
SQL.say(
    r"(?:No function matches the given name and argument types|function [\w.]+\(.*\) does not exist|no such "
    r"function: (?P<name>\w+))",
    "There is no such function for these argument types in this database.",
    "Check the name in this database's dialect, and cast text to numbers or dates first.",
)
SQL.say(
    r"(?:Conversion Error|Could not convert string|invalid input syntax for (?:type )?(?P<type>\w+)|Invalid Input "
    r"Error: Could not)[^'\"]*(?P<value>'[^']*'|\"[^\"]*\")?",
    "The value {value} cannot be read as the type that is needed.",
    "Use `TRY_CAST(x AS type)` where the database has it, or filter such values out first.",
)
SQL.say(
    r"division by zero",
    "Some rows are divided by zero.",
    "Use `a / NULLIF(b, 0)`: it gives NULL there.",
)
SQL.say(
    r"(?:more than one row returned by a subquery|Subquery returns more than 1 row|scalar subquery can only return "
    r"a single row|More than one row returned)",
    "A subquery used as a single value returns several rows.",
    "Use `IN (…)` instead of `=`, or make it one row with an aggregate or LIMIT 1.",
)
SQL.say(
    r"(?:each UNION query must have the same number of columns|SELECTs to the left and right of UNION do not have "
    r"the same number|Set operations can only apply to expressions with the same number)",
    "The queries joined by UNION have different numbers of columns.",
    "Select the same columns, in the same order, on both sides.",
)
SQL.say(
    r"(?:permission denied|access denied|read-only|readonly database|attached in read-only mode)",
    "The connection may only read, or this user lacks the right.",
    "Ask for the right, or work on a copy of your own: `CREATE TABLE` in a database you may write to.",
)
SQL.say(
    r"(?:UNIQUE constraint failed|duplicate key value violates unique constraint|Duplicate entry|Constraint Error: "
    r"Duplicate key)",
    "A row with that key is already there.",
    "Use another key, update the row instead, or `INSERT … ON CONFLICT DO NOTHING`.",
)
SQL.say(
    r"(?:FOREIGN KEY constraint failed|violates foreign key constraint|foreign key constraint fails)",
    "The row refers to a key that the other table does not have, or is still referred to.",
    "Insert the other row first, or delete the referring rows first.",
)
SQL.say(
    r"database is locked",
    "Another process is writing to the SQLite file.",
    "Close the other connection or wait for it, and set a timeout when connecting.",
)
SQL.say(
    r"(?:canceling statement due to statement timeout|Query was interrupted|INTERRUPT Error)",
    "The query took longer than it may, or was stopped.",
    "Filter earlier, aggregate in the database, and look at EXPLAIN.",
)
SQL.say(
    r"(?:could not connect|connection refused|server closed the connection)",
    "The database cannot be reached.",
    "Check host, port, user and network, and that the server runs.",
)
