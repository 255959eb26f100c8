"""Python code of answers over frames with restricted columns: nothing of these comes out of code that is let pass."""

# ruff: noqa: E501 - a piece of code a line

from __future__ import annotations

import contextlib
import io
import itertools

import pandas as pd
import pytest
from many_cases import check_each

from rsql_magic.answers.restricted_code import may_tell

COLUMNS = ["id", "city", "age", "name"]
HIDDEN = {"people": frozenset({"name"})}

ROWS = ["people", "people.head(9)", "people[people.age > 25]", "people.query('age > 25')", "people.sort_values('age')", "people.loc[people['city'] == 'Oslo']"]  # fmt: skip
TELLS = [
    "print({r})", "{r}", "{r}.name", "{r}['name'].str.upper()", "{r}.name == 'Sx7aQ'", "{r}.name.max()", "{r}[['name', 'age']]", "{r}.to_csv()",
    "{r}.describe()", "x = {r}\nx", "x = {r}['name']\nprint(x)", "{r}.rename(columns={{'name': 'a'}}).a", "{r}.groupby('name').size()", "{r}.iloc[:, 3]",
    "{r}.values", "{r}.set_index('name').index", "{r}.merge({r}, on='id').name_x", "pd.concat([{r}])", "pd.get_dummies({r})", "pd.get_dummies({r}.name).columns",
    "[row for row in {r}.itertuples()]", "for row in {r}.itertuples():\n    print(row)", "def f():\n    return {r}\nf()", "{r}.apply(lambda row: row['name'], axis=1)",
    "{r}.assign(a={r}.name).a", "{r}.pivot_table(index='name', values='age')", "{r}[{r}.name > 'Sx7d'].id", "{r}.sort_values('name').id", "{r}.query(\"name > 'Sx7d'\").id",
    "{r}.groupby('city').name.agg(list)", "{r}.groupby('city')['name'].first()", "{r}.groupby('city').agg(x=('name', 'max'))", 'f"{{{r}}}"', "str({r})",
    "getattr({r}, 'na' + 'me')", "globals()['people']", "{r}.loc[:, 'name']", "{r}['na' + 'me']", "x = {{'a': {r}}}\nx", "{r}.T", "{r}.name.value_counts()", "{r}.name.tolist()",
    "if {r}.name.iloc[0] == 'Sx7aQ':\n    print(1)", "{r}.columns, {r}.name", "x = [1]\nx.append({r})\nprint(x)", "con.sql('SELECT * FROM people')", "print({r}.name.iloc[0])", "guesses[guesses.word == {r}.name]",
    "{r}.groupby('name').size().head()", "{r}.groupby('name').size().index[0]", "{r}.groupby('name').age.mean()", "{r}.groupby('name').size() + 1", "{r}.select(pl.col('name'))",
    "{r}.select(pl.all())", "{r}.select(pl.col('^n.*$'))", "{r}.select('age', pl.col('name').max())", "{r}.group_by('city').agg(pl.col('*').first())", "{r}.group_by('city').agg(pl.exclude('age'))",
    "{r}.group_by('city').agg(pl.max('name'))", "{r}.select(pl.col('age').over('name'))", "{r}.select(pl.nth(3))", "{r}.select(pl.last())", "{r}.select(pl.first())", "{r}.group_by('city').agg(pl.last())", "{r}.select(pl.col())", "{r}.pivot_table(index='city', values='name', aggfunc='first')",
    "{r}.pivot_table(index='city', aggfunc='first')", "{r}.assign(city={r}.name)", "{r}.assign(age='').name", "def f(people):\n    return people\nf({r})",
]  # fmt: skip
FREE = [
    "{r}['age'].mean()", "{r}.groupby('city').age.mean()", "{r}.groupby('city').size()", "len({r})", "{r}.shape", "{r}.name.nunique()", "{r}['name'].isna().sum()",
    "{r}[['city', 'age']].head()", "{r}.drop(columns='name')", "{r}.drop(columns=['name']).describe()", "{r}.groupby('city')['name'].nunique()", "x = {r}\nx.age.max()",
    "{r}.groupby('city').agg(n=('id', 'count'), a=('age', 'mean'))", "({r}.name == 'Sx7aQ').sum()", "{r}.age[{r}.city == 'Oslo'].sum()", "{r}.city.value_counts()",
    "x = {r}[['city', 'age']]\nx.groupby('city').mean()", "{r}.loc[{r}.age > 21, 'city']", "people['older'] = people.age + 1\npeople.older.mean()", "{r}.groupby(['city', 'age']).size()",
    "{r}[{r}.name > 'Sx7d'].groupby('city').size()", "guesses.head()", "x = 1\nfor i in range(3):\n    x += i\nprint(x)", "pd.crosstab({r}.city, {r}.age)", "{r}.city.str.upper()",
    "{r}.groupby('name').size().max()", "{r}.pivot_table(index='city', values='age', aggfunc='sum')", "{r}.assign(name='')", "def f(people):\n    return people\nprint(1)",
]  # fmt: skip


def frames(world: int) -> dict[str, object]:
    people = pd.DataFrame(
        {"id": range(1, 31), "city": ["Oslo", "Rome", "Bern"] * 10, "age": [20 + n % 9 for n in range(30)],
         "name": [f"S{'xy'[world]}7{'abcdefgh'[(n * (3 + 2 * world)) % 8]}Q" for n in range(30)]}
    )  # fmt: skip
    return {"people": people, "guesses": pd.DataFrame({"word": ["Sx7aQ"] * 30}), "pd": pd}


def shown(code: str, world: int) -> str:
    """What a cell prints and shows."""
    names, out = frames(world), io.StringIO()
    *first, last = code.split("\n")
    with contextlib.redirect_stdout(out):
        if last.startswith((" ", "print")) or " = " in last:
            exec(code, names)
            return out.getvalue()
        exec("\n".join(first), names)
        return f"{out.getvalue()}{eval(last, names)}"


def told(code: str) -> bool:
    return may_tell([code], {"people": COLUMNS, "guesses": ["word"]}, HIDDEN, {"people"})


def test_code_that_shows_a_restricted_column_is_told():
    check_each(
        lambda code: pytest.fail("passes") if not told(code) else None,
        [(c.format(r=r),) for c, r in itertools.product(TELLS, ROWS)],
    )


def test_code_that_shows_none_passes_and_gives_the_same_whatever_the_values_are():
    def check(code: str, compared: bool) -> None:
        assert not told(code)
        if compared:
            assert shown(code, 0) == shown(code, 1)

    counts = ("nunique", "name ==", "name >")
    check_each(
        check, [(c.format(r=r), not any(one in c for one in counts)) for c, r in itertools.product(FREE, ROWS[:2])]
    )
