"""Linking: the tables that matter come first, within the budget."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsql_magic.context import Catalog, count_tokens
from rsql_magic.sql import Column, ForeignKey, Index, Profile, Table, ddl, find_values, link, misspelt, rivals, widen
from rsql_magic.sql.linking.index import shown


def _table(name, *columns, keys=None, **facts):
    """A table of text columns; ``keys`` maps a column to the ``table.column`` it points to."""
    foreign = tuple(
        ForeignKey((column,), target.rpartition(".")[0], (target.rpartition(".")[2],))
        for column, target in (keys or {}).items()
    )
    return Table(name, tuple(Column(c, "VARCHAR") for c in columns), foreign_keys=foreign, **facts)


def _with_values(table, column, *values):
    columns = (Column(c.name, c.type, profile=Profile(values=values)) if c.name == column else c for c in table.columns)
    return table.with_columns(columns)


SCHOOL = (
    _table("student", "stu_id", "first_name", "home_town", "dob"),
    _table("course", "course_id", "title", "credits"),
    _table(
        "enrolment",
        "stu_id",
        "course_id",
        "grade",
        keys={"stu_id": "student.stu_id", "course_id": "course.course_id"},
    ),
)
MUSIC = (
    _table("singer", "singer_id", "name", "nation"),
    _table("concert", "concert_id", "stadium_id", "year", keys={"stadium_id": "stadium.stadium_id"}),
    _table("stadium", "stadium_id", "capacity", "city"),
)
TRADE = (
    _table("学生", "编号", "年龄"),
    _table("cust_addr", "cust_no", "street", "zip"),
    _table("invoice_line", "invoice_no", "qty", "unit_price"),
    _with_values(_table("region", "region_id", "label"), "label", "Western Europe", "North Africa"),
)


def _filler(n):
    """Tables about nothing in the questions, so that the schema does not fit the budget."""
    return tuple(
        _table(f"zq{chr(97 + i % 26)}{chr(97 + i // 26)}x", *(f"vk{j}w{i}" for j in range(20))) for i in range(n)
    )


def _crowd(*tables):
    """A catalog in which the tables are a few among many."""
    return Catalog((*_filler(60), *tables), "duckdb")


def _best(question, *tables, n=1):
    return [table.name for table in link(question, _crowd(*tables), budget_tokens=3000)][:n]


@pytest.mark.parametrize(
    ("question", "table"),
    [
        ("How many students are there?", "student"),
        ("Which towns do the pupils come from?", "student"),
        ("Average age of the learners", "student"),
        ("List all classes that give more than three credits", "course"),
        ("Names of the vocalists", "singer"),
        ("Which arena holds the most people?", "stadium"),
        ("In which years was there a live show?", "concert"),
        ("postal codes of our clients", "cust_addr"),
        ("How many units were sold per invoice?", "invoice_line"),
        ("What is sold in western europe?", "region"),
        ("有多少学生？", "学生"),
    ],
)
def test_finds_a_table_by_names_stems_short_forms_synonyms_and_values(question, table):
    assert _best(question, *SCHOOL, *MUSIC, *TRADE) == [table]


def test_descriptions_are_read():
    tables = (
        _table("t_0815", "a", "b", description="One row per departure from an airport"),
        _table("t_0816", "a", "b"),
    )
    assert _best("How many flights departed?", *tables) == ["t_0815"]


def test_descriptions_of_columns_are_read():
    cryptic = Table("t_0815", (Column("x1", "INTEGER", description="Number of passengers on board"),))
    assert _best("passengers per trip", cryptic, _table("t_0816", "x1")) == ["t_0815"]


def test_the_table_between_two_tables_comes_along():
    assert set(_best("Which students take the course Algebra?", *SCHOOL, n=3)) == {"student", "course", "enrolment"}


def test_the_table_between_is_found_when_only_names_suggest_the_keys():
    plain = tuple(Table(t.name, t.columns) for t in SCHOOL)
    assert set(_best("Which students take the course Algebra?", *plain, n=3)) == {"student", "course", "enrolment"}


def test_of_tables_with_one_name_the_one_whose_schema_covers_the_question_is_first():
    shop = (Table("person", (Column("name"),), schema="shop"), Table("orders", (Column("total"),), schema="shop"))
    zoo = (Table("person", (Column("name"),), schema="zoo"), Table("animal", (Column("species"),), schema="zoo"))
    found = link("Which person feeds which animal?", _crowd(*shop, *zoo), budget_tokens=3000)
    assert {t.full_name for t in found[:2]} == {"zoo.person", "zoo.animal"}


@pytest.mark.parametrize(
    "question",
    [
        "names of persons sorted by year in descending order",
        "Order the results alphabetically by the name of the person",
        "persons ordered by name",
        "persons in the order of their birth year",
        "List all persons, ordered from youngest to oldest",
    ],
)
def test_how_to_sort_says_nothing_about_tables(question):
    assert _best(question, _table("orders", "order_no"), _table("person", "name", "year")) == ["person"]


def test_what_was_ordered_is_not_how_to_sort():
    assert "orders" in _best("What was ordered by Ann?", _table("orders", "order_no"), _table("person", "name"))


def test_a_schema_that_fits_is_given_whole_and_best_first():
    catalog = Catalog((*MUSIC, *SCHOOL), "duckdb")
    found = link("Who sings?", catalog)
    assert found[0].name == "singer"
    assert {t.name for t in found} == {t.name for t in catalog}


def test_a_large_schema_is_cut_to_the_budget_and_says_so():
    catalog = _crowd(*SCHOOL)
    found = link("grades of students", catalog, budget_tokens=1500)
    assert sum(count_tokens(ddl(table)) for table in found) <= 1500
    report = shown(found, catalog)
    assert str(report) == f"{len(found)} of 63 tables shown"
    assert report.tokens <= 1500


def test_a_table_too_large_for_what_is_left_is_passed_over():
    long = _table("student_record", *(f"student_remark_number_{i}" for i in range(45)))
    assert [t.name for t in link("students", _crowd(long, *SCHOOL), budget_tokens=200)][:1] == ["student"]


def test_a_wide_table_keeps_what_matters_and_its_keys():
    wide = Table(
        "measurements",
        (*(Column(f"sensor_{i}") for i in range(200)), Column("room_temperature"), Column("station_id")),
        primary_key=("sensor_199",),
        foreign_keys=(ForeignKey(("station_id",), "station", ("station_id",)),),
    )
    (found, *_) = link("What was the temperature?", _crowd(wide), budget_tokens=3000)
    names = {column.name for column in found.columns}
    assert {"room_temperature", "station_id", "sensor_199"} <= names
    assert len(names) == 50
    assert found.description.startswith("50 of 202 columns shown")
    assert "50 of their 202 columns" in str(shown([found], Catalog((wide,))))


class TestRepeatedTables:
    DAYS = tuple(_table(f"events_2021{m:02}{d:02}", "user", "action") for m in range(1, 13) for d in range(1, 29))

    def test_are_shown_once(self):
        found = link("How many user actions were there?", Catalog(self.DAYS, "bigquery"), budget_tokens=3000)
        assert [t.name for t in found] == ["events_20211228"]
        assert found[0].description == "one of 336 tables with these columns, events_20210101 to events_20211228"

    @pytest.mark.parametrize(
        ("question", "name"),
        [
            ("user actions on 2021-03-07", "events_20210307"),
            ("user actions in March 2021", "events_202103"),
            ("user actions in May 2021", "events_202105"),
            ("user actions in 2021", "events_2021"),
        ],
    )
    def test_the_member_is_chosen_by_date(self, question, name):
        found = link(question, Catalog(self.DAYS, "bigquery"), budget_tokens=3000)
        assert {table.name[: len(name)] for table in found} == {name}
        assert len(found) <= 2  # of a longer time the first and the last day

    def test_each_year_asked_for_is_shown(self):
        years = tuple(_table(f"census_{year}", "county", "population") for year in range(2005, 2020))
        found = link("population growth from 2010 to 2015", _crowd(*years), budget_tokens=3000)
        assert [t.name for t in found[:6]] == [f"census_{year}" for year in range(2010, 2016)]

    def test_other_columns_make_another_family(self):
        mixed = (*self.DAYS[:5], _table("events_19990101", "something_else"))
        assert len(Index(Catalog(mixed)).tables) == 2

    def test_all_are_shown_when_they_fit(self):
        assert len(link("events", Catalog(self.DAYS[:5]))) == 5


class TestWiden:
    CATALOG = _crowd(*SCHOOL, *MUSIC)

    @pytest.mark.parametrize(
        ("name", "table"),
        [
            ("stadium", "stadium"),
            ("STADIUM", "stadium"),
            ("s.capacity", "stadium"),
            ("concert.singer", "concert"),
            ("arena", "stadium"),
            ("student_birth_date", "student"),
        ],
    )
    def test_adds_what_a_draft_names_even_wrongly(self, name, table):
        given = [self.CATALOG["course"]]
        assert table in {t.name for t in widen(given, [name], self.CATALOG)}

    def test_keeps_what_was_shown_in_place_and_adds_little(self):
        given = [self.CATALOG["course"], self.CATALOG["singer"]]
        names = [f"nonsense_{i}" for i in range(30)] + [t.name for t in self.CATALOG]
        wider = widen(given, names, self.CATALOG)
        assert wider[:2] == given
        assert len(wider) <= 8

    def test_adds_nothing_for_a_column_that_is_shown(self):
        given = [self.CATALOG["student"]]
        assert widen(given, ["student.home_town", "home_town"], self.CATALOG) == given

    def test_shows_a_hidden_column_that_is_named(self):
        wide = _table("readings", *(f"sensor_{i}" for i in range(90)), "obscure")
        catalog = _crowd(wide)
        (found, *_) = link("readings", catalog, budget_tokens=3000)
        assert "sensor_88" not in {c.name for c in found.columns}
        (again, *_) = widen([found], ["readings.sensor_88"], catalog)
        assert {"sensor_88", "sensor_0"} <= {c.name for c in again.columns}


class TestRivals:
    PERSONS = tuple(Table("person", (Column("name"), Column("age")), schema=schema) for schema in ("hr", "crm"))
    ANIMAL = Table("animal", (Column("species"),), schema="crm")

    def test_two_schemas_that_answer_equally_well(self):
        assert {t.schema for t in rivals("How old is each person?", Catalog(self.PERSONS))} == {"hr", "crm"}

    def test_a_question_that_one_schema_answers_better(self):
        catalog = Catalog((*self.PERSONS, self.ANIMAL))
        assert [t.schema for t in rivals("Which person has which animal?", catalog)] == ["crm"]

    SHOP = Catalog(
        tuple(
            Table(name, tuple(map(Column, columns.split())), schema=schema)
            for schema, name, columns in [
                ("hr", "employee", "id name salary dept_id"),
                ("hr", "department", "dept_id title"),
                ("hr", "vacation", "employee_id days"),
                ("sales", "employee", "id name salary region"),
                ("sales", "orders", "id employee_id amount"),
                ("us", "orders", "id amount"),
                ("us", "invoices", "id amount"),
            ]
        )
    )

    @pytest.mark.parametrize(
        ("question", "names"),
        [
            ("average salary of employees", {"hr.employee", "sales.employee"}),
            ("How many employees are there?", {"hr.employee", "sales.employee"}),
            ("employees in hr", {"hr.employee"}),
            ("average salary of sales employees", {"sales.employee"}),
            ("employees per department", {"hr.department"}),
            ("amount per employee", {"sales.employee"}),
            ("Show us the orders", {"sales.orders", "us.orders"}),
            ("tell us how many orders there are", {"sales.orders", "us.orders"}),
            ("orders in us", {"us.orders"}),
            ("orders in the US", {"us.orders"}),
            ("total of us.orders", {"us.orders"}),
            ("orders of the us schema", {"us.orders"}),
        ],
    )
    def test_namesakes_in_two_schemas(self, question, names):
        assert {table.full_name for table in rivals(question, self.SHOP)} == names

    def test_a_schema_called_like_a_pronoun_is_found_where_it_is_named(self):
        assert link("orders in us", self.SHOP)[0].full_name == "us.orders"

    def test_a_question_about_nothing(self):
        assert rivals("xyzzy", Catalog(self.PERSONS)) == []


class TestFindValues:
    COUNTRY = _with_values(_table("country", "code", "name"), "name", "France", "United States", "Spain")

    def test_gives_the_stored_spelling(self):
        (value,) = find_values("people in the united states", Catalog((self.COUNTRY,)))
        assert str(value) == "'united states' is stored as 'United States' in country.name"

    def test_other_endings_are_other_values(self):
        pets = _with_values(_table("pet", "kind"), "kind", "cat")
        assert find_values("how many cats?", Catalog((pets,))) == []

    def test_looks_only_into_the_given_tables(self):
        other = _with_values(_table("team", "country"), "country", "France")
        catalog = Catalog((self.COUNTRY, other))
        assert [v.table for v in find_values("teams of France", catalog, [other])] == ["team"]


NAMES = st.text(min_size=1, max_size=20)
WORDS = st.sampled_from("student order id name date cust_no Größe 日本 order_2021 x".split())  # noqa: SIM905
COLUMNS = st.builds(
    Column,
    name=NAMES | WORDS,
    type=st.sampled_from(["", "INTEGER"]),
    description=st.just("") | NAMES,
    profile=st.none() | st.builds(Profile, values=st.lists(NAMES, max_size=3).map(tuple)),
)
KEYS = st.builds(ForeignKey, st.tuples(NAMES), WORDS, st.tuples(NAMES))
TABLES = st.builds(
    Table,
    name=NAMES | WORDS,
    columns=st.lists(COLUMNS, max_size=6).map(tuple),
    schema=st.just("") | WORDS,
    primary_key=st.lists(WORDS, max_size=2).map(tuple),
    foreign_keys=st.lists(KEYS, max_size=2).map(tuple),
)
CATALOGS = st.lists(TABLES, max_size=12).map(lambda tables: Catalog(tuple(tables), "duckdb"))


class TestAlways:
    @settings(max_examples=150)
    @given(question=st.text(max_size=60) | WORDS, catalog=CATALOGS, budget=st.integers(0, 400))
    def test_never_raises_and_respects_the_budget(self, question, catalog, budget):
        found = link(question, catalog, budget_tokens=budget)
        assert sum(count_tokens(ddl(table)) for table in found) <= budget
        find_values(question, catalog)
        wider = widen(found, [question, f"{question}.{question}"], catalog)
        assert [t.full_name for t in wider[: len(found)]] == [t.full_name for t in found]

    @settings(max_examples=50)
    @given(question=st.text(max_size=60) | WORDS, catalog=CATALOGS)
    def test_is_deterministic(self, question, catalog):
        again = Catalog(catalog.tables, catalog.dialect)
        assert link(question, catalog, 200) == link(question, again, 200)

    @settings(max_examples=50)
    @given(data=st.data(), catalog=CATALOGS)
    def test_a_schema_that_fits_is_complete(self, data, catalog):
        found = link(data.draw(NAMES), catalog, budget_tokens=100_000)
        assert sorted(t.full_name for t in found) == sorted(t.full_name for t in catalog)

    @pytest.mark.parametrize("table", [*SCHOOL, *MUSIC, *TRADE], ids=lambda table: table.name)
    def test_a_table_mentioned_by_its_exact_name_is_first(self, table):
        assert _best(f"Show everything in {table.name}", *SCHOOL, *MUSIC, *TRADE) == [table.name]

    @settings(max_examples=100)
    @given(catalog=CATALOGS, data=st.data())
    def test_a_table_mentioned_by_a_name_of_its_own_is_first(self, catalog, data):
        name = data.draw(st.sampled_from(["xq_7", "FooBar", "b1.stu_9x", "zürich_2b"]))
        schema, _, table = name.rpartition(".")
        mixed = Catalog((*catalog.tables, _table(table, "some", "thing", schema=schema)))
        found = link(f"How many students are in {name}, by date and order?", mixed)
        assert found[0].full_name == name

    @pytest.mark.parametrize("name", ["OrderDetails", "order details", "99 bottles"])
    def test_a_table_mentioned_in_quotes_is_first(self, name):
        assert _best(f'Sum of the order details in "{name}"', _table(name, "a"), *SCHOOL) == [name]


def test_an_empty_catalog_gives_nothing():
    assert link("anything", Catalog()) == []


@pytest.mark.parametrize(
    ("question", "read"),
    [
        ("how many custmers are there?", {"custmers": "customers"}),
        ("mean ammount per regoin", {"ammount": "amount", "regoin": "region"}),
        ("how many zebras are there?", {}),
        ("amounts of the cities", {}),
        ("orders of Custmer", {}),  # a name of somebody
        ("orders of 'custmer'", {}),
        ("regin", {"regin": "region"}),
        ("mean of regian", {}),  # one letter for another in a short word
        ("stat", {}),  # too short to tell
        ("country of orders", {}),  # a word of its own
    ],
)
def test_mistyped_names_are_known_when_one_only_can_be_meant(question, read):
    ddl = """
    CREATE TABLE orders (id INT, amount REAL, region TEXT, status TEXT, county TEXT);
    CREATE TABLE customers (id INT, city TEXT)
    """
    assert misspelt(question, Catalog.from_ddl(ddl, "duckdb")) == read


@pytest.mark.parametrize(
    ("one", "many"),
    [("recapture", "recaptures"), ("specie", "species"), ("branch", "branches"), ("country", "countries")],
)
def test_the_singular_of_a_name_is_no_slip(one, many):
    catalog = Catalog.from_ddl(f"CREATE TABLE {many} (id INT)", "duckdb")
    assert [misspelt(f"how many {word} are there?", catalog) for word in (one, many)] == [{}, {}]
