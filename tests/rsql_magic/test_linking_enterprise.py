"""Linking over schemas as large software has them: prefixes, undeclared keys, copies, short forms."""

from __future__ import annotations

import pytest

from rsql_magic.context import Catalog
from rsql_magic.sql import Column, Index, Table, link
from rsql_magic.sql.linking.joins import copies, likely
from rsql_magic.sql.linking.lexicon import Naming, meanings, shortens, skeleton
from rsql_magic.sql.linking.words import split, stem


def _table(name, *columns, key="id", text=(), **facts):
    """A table of integer columns, but for those named in ``text``."""
    kinds = (Column(c, "text" if c in text else "integer") for c in (key, *columns))
    return Table(name, tuple(kinds), primary_key=(key,), **facts)


SCHOOL = (
    _table("sch_user", "firstname", "lastname", "email"),
    _table("sch_course", "fullname", "category", "startdate"),
    _table("sch_enrolment", "userid", "course", "timecreated"),
    _table("sch_forum", "course", "title"),
    _table("sch_forum_post", "forumid", "authorid", "message", text=("message",)),
    _table("sch_badge", "label", "issuer"),
    _table("sch_log", "userid", "action"),
    _table("sch_setting", "label", "content"),
    _table("sch_room", "label", "seats"),
)


def _keys(tables):
    naming = Naming(tables)
    return {(tables[a].name, tables[b].name) for a, b in likely(tables, naming, copies(tables, naming))}


def _first(question, tables, n):
    filler = (
        _table(f"zq{chr(97 + i % 26)}{chr(97 + i // 26)}x", *(f"vk{j}w{i}" for j in range(20))) for i in range(60)
    )
    catalog = Catalog((*tables, *filler), "postgres")
    return [table.name for table in link(question, catalog, budget_tokens=3000)][:n]


class TestNaming:
    def test_what_all_tables_begin_with_is_no_part_of_their_names(self):
        naming = Naming(SCHOOL)
        assert set(naming.prefixes) == {("sch",)}
        assert naming.names[4] == ("forum", "post")

    def test_prefixes_of_two_words_and_of_some_tables(self):
        tables = [_table(name) for name in ("hs_hr_" + n for n in "abcdefghi")] + [
            _table("qq_" + n) for n in "abcdefghi"
        ]
        assert set(Naming(tables).prefixes) == {("hs", "hr"), ("qq",)}

    def test_a_plain_word_that_some_tables_begin_with_stays(self):
        tables = [_table(f"course_{n}") for n in "abcdefghi"] + [_table(f"student_{n}") for n in "abcdefghi"]
        assert set(Naming(tables).prefixes) == {()}

    def test_few_tables_have_no_prefix(self):
        assert set(Naming(SCHOOL[:5]).prefixes) == {()}

    def test_groups_are_apart(self):
        assert Naming([Table("hr__employee", ()), Table("pay", (), schema="hr")]).groups == ["hr", "hr"]


class TestLikelyKeys:
    def test_a_compound_and_a_column_called_like_a_table(self):
        assert {("sch_enrolment", "sch_user"), ("sch_enrolment", "sch_course"), ("sch_log", "sch_user")} <= _keys(
            SCHOOL
        )

    def test_a_text_called_like_a_table_is_no_key(self):
        tables = (_table("country", "name"), _table("customer", "country", text=("country",)))
        assert not _keys(tables)

    def test_of_tables_with_one_primary_key_the_widest_owns_it(self):
        tables = (
            _table("emp_picture", "file", key="emp_number"),
            _table("employee", "name", "born", "email", key="emp_number"),
            _table("emp_tax", "rate", key="emp_number"),
            _table("leave", "emp_number", "days"),
        )
        assert _keys(tables) >= {("leave", "employee"), ("emp_tax", "employee")}
        assert ("leave", "emp_picture") not in _keys(tables)

    def test_copies_have_no_keys(self):
        assert not any(
            "bak" in name for pair in _keys((*SCHOOL, _table("sch_log_bak", "userid", "action"))) for name in pair
        )


@pytest.mark.parametrize(
    ("question", "tables"),
    [
        ("How many pupils are enrolled in each course?", {"sch_user", "sch_course", "sch_enrolment"}),
        ("Who wrote most posts in each forum?", {"sch_forum", "sch_forum_post"}),
    ],
)
def test_tables_that_undeclared_keys_join_are_found_together(question, tables):
    assert set(_first(question, SCHOOL, len(tables) + 1)) >= tables


class TestCopies:
    ORDERS = _table("orders", "customer", "total", "ordered_at")

    @pytest.mark.parametrize("name", ["orders_history", "tmp_orders", "orders_bak", "orders_20231231", "deletedorders"])
    def test_come_after_the_table_itself_and_count_less(self, name):
        tables = (Table(name, self.ORDERS.columns), self.ORDERS)
        index = Index(Catalog((*tables, *SCHOOL)))
        copy, original = index.scores("total of all orders per customer")[:2]
        assert copy < 0.7 * original

    def test_are_first_when_asked_for(self):
        tables = (self.ORDERS, Table("orders_history", self.ORDERS.columns))
        assert _first("What did the history of the orders look like?", tables, 1) == ["orders_history"]

    def test_other_columns_make_no_copy(self):
        tables = (self.ORDERS, Table("orders_log", (Column("who"), Column("did_what"), Column("at"))))
        assert copies(tables, Naming(tables)) == {}

    def test_make_no_word_less_telling(self):
        many = [Table(f"orders_{end}", self.ORDERS.columns) for end in ("bak", "tmp", "old", "stg", "archive")]
        alone, crowded = (Index(Catalog((self.ORDERS, *SCHOOL, *more))) for more in ([], many))
        assert crowded.scores("orders").max() == pytest.approx(alone.scores("orders").max(), rel=0.2)


class TestShortForms:
    @pytest.mark.parametrize(
        ("short", "word"),
        [
            ("cstm", "customer"),
            ("acco", "account"),
            ("trns", "transaction"),
            ("empl", "employee"),
            ("invnt", "inventory"),
        ],
    )
    def test_shorten_a_word_by_its_beginning_or_its_consonants(self, short, word):
        assert shortens(short, word)

    @pytest.mark.parametrize(
        ("short", "word"), [("cat", "concatenate"), ("ab", "abbot"), ("cost", "costs"), ("tmr", "customer")]
    )
    def test_other_letters_do_not(self, short, word):
        assert not shortens(short, word)

    def test_a_skeleton_has_no_letter_twice_in_a_row(self):
        assert skeleton("account") == "acnt"

    def test_descriptions_explain_short_forms_and_initials(self):
        named = [
            (["zkgl"], split("postings")),
            (["gl"], split("the general ledger")),
            (["gl"], split("general ledger line")),
        ]
        assert meanings(named) == {"gl": ["general ledger"]}

    def test_tables_are_found_by_what_descriptions_explain(self):
        tables = (
            _table("vbx_hdr", description="Vehicle booking exchange: head"),
            _table("vbx_pos", description="Vehicle booking exchange: positions"),
            Table("vbx", (Column("netv"), Column("created"))),
            Table("kqq", (Column("netv"), Column("created"))),
        )
        assert "vbx" in _first("vehicle booking", tables, 3)

    def test_tables_are_found_by_unknown_short_forms(self):
        tables = (_table("CSTM", "NAME1"), _table("SPPLR", "NAME1"), _table("WRHS", "CITY1"))
        assert _first("How many suppliers do we have?", tables, 1) == ["SPPLR"]
        assert _first("In which cities are our warehouses?", tables, 1) == ["WRHS"]


@pytest.mark.slow
def test_columns_of_a_very_wide_table_are_found():
    wide = _table("survey", *(f"q{n}_answer" for n in range(1990)), "household_income", "favourite_colour")
    found = link("household income by favorite color", Catalog((wide, *SCHOOL)), budget_tokens=1500)
    assert found[0].name == "survey"
    assert {"household_income", "favourite_colour"} <= {column.name for column in found[0].columns}


def test_how_many_asks_for_no_column_of_amounts():
    payment = _table("payment", "amount", "quantity", "number_of_parts")
    assert _first("How many employees are there?", (payment, _table("employee", "family_name")), 1) == ["employee"]


def test_of_a_question_without_a_known_word_the_tables_that_most_refer_to_are_first():
    assert _first("xyzzy", SCHOOL, 1) == ["sch_user"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("favourite", "favorite"),
        ("organisations", "organization"),
        ("theatre", "theater"),
        ("enrolled", "enrol"),
        ("enrolments", "enrollment"),
        ("catalogue", "catalog"),
        ("cancelled", "canceled"),
    ],
)
def test_british_and_american_spellings_are_one(one, other):
    assert stem(one) == stem(other)


def test_a_copy_may_stand_before_the_prefix():
    tables = (*SCHOOL, Table("tmp_sch_course", SCHOOL[1].columns))
    assert copies(tables, Naming(tables))[len(SCHOOL)].original == 1


def test_the_plural_of_capitals_is_one_word():
    assert split("GROUPs with IDs, XMLFile") == ("groups", "with", "ids", "xml", "file")


def test_a_table_of_signs_is_no_key():
    tables = (Table("🚀", (Column("✨"), Column("id"))), Table("b", (Column("✨"), Column("🚀"))))
    assert len(link("what?", Catalog(tables))) == 2
