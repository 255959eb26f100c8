"""Everyday questions that had been answered wrongly with confidence: right now, or refused."""

from __future__ import annotations

import pytest

from .offline_library import ask, say

MUSIC = """
CREATE TABLE artists ( artist_id INTEGER, name TEXT, -- 275 distinct
  PRIMARY KEY (artist_id) );
CREATE TABLE albums ( album_id INTEGER, title TEXT, artist_id INTEGER,
  PRIMARY KEY (album_id), FOREIGN KEY (artist_id) REFERENCES artists (artist_id) );
CREATE TABLE tracks ( track_id INTEGER, name TEXT, album_id INTEGER, genre_id INTEGER, unit_price REAL,
  PRIMARY KEY (track_id), FOREIGN KEY (album_id) REFERENCES albums (album_id),
  FOREIGN KEY (genre_id) REFERENCES genres (genre_id) );
CREATE TABLE genres ( genre_id INTEGER, name TEXT, PRIMARY KEY (genre_id) );
CREATE TABLE invoices ( invoice_id INTEGER, billing_country TEXT, -- 24 distinct
  invoice_date TIMESTAMP, total REAL,
  PRIMARY KEY (invoice_id) );
CREATE TABLE invoice_lines ( line_id INTEGER, invoice_id INTEGER, track_id INTEGER, quantity INTEGER,
  PRIMARY KEY (line_id), FOREIGN KEY (invoice_id) REFERENCES invoices (invoice_id),
  FOREIGN KEY (track_id) REFERENCES tracks (track_id) );
CREATE TABLE employees ( employee_id INTEGER, last_name TEXT, first_name TEXT, title TEXT, reports_to INTEGER,
  birth_date DATE, hire_date DATE,
  PRIMARY KEY (employee_id), FOREIGN KEY (reports_to) REFERENCES employees (employee_id) );
"""


def written(question):
    return " ".join(ask(question, ddl=MUSIC).split())


def test_a_job_title_is_no_name_of_a_person():
    assert written("employees hired after 2003").startswith("SELECT first_name, last_name FROM employees")
    assert "I took “oldest” as employees.birth_date" in say("oldest employee", ddl=MUSIC)


def test_the_verb_says_which_date():
    assert written("employees hired after 2003").endswith("WHERE hire_date >= '2004-01-01'")
    assert "birth_date" not in say("employees hired after 2003", ddl=MUSIC)


def test_a_name_that_no_column_is_known_to_hold_is_not_placed_by_guess():
    assert "do not know where “AC/DC” is stored" in say("albums by AC/DC", ddl=MUSIC)


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("Which artist sold the most tracks?", "go through albums"),
        ("how many tracks were bought", "“bought”"),
        ("Which employees report to Nancy Edwards?", "holds “Nancy Edwards”"),
    ],
)
def test_what_the_query_would_leave_out_is_refused(question, said):
    text = say(question, ddl=MUSIC)
    assert "```" not in text
    assert said in text


def test_ordered_by_is_no_dealing():
    assert written("List every album ordered by album title") == "SELECT title FROM albums ORDER BY title ASC"


@pytest.mark.parametrize("question", ["total of invoices by billing country in 2022", "unit price by genre"])
def test_a_figure_that_is_not_named_is_not_chosen(question):
    text = say(question, ddl=MUSIC)
    assert "```" not in text
    assert "what to compute for each group" in text


def test_what_may_be_added_up_for_a_rank_is_refused():
    ddl = """
    CREATE TABLE planes ( tailnum TEXT, seats INTEGER, PRIMARY KEY (tailnum) );
    CREATE TABLE flights ( id INTEGER, tailnum TEXT, dep_delay INTEGER,
      FOREIGN KEY (tailnum) REFERENCES planes (tailnum) );
    """
    assert "whether “delay” is added up" in say("Which plane has the most delay?", ddl=ddl)
    assert "“flown”" in say("how many seats were flown", ddl=ddl)


BIKES = """
CREATE TABLE station ( id INTEGER, -- unique
  name TEXT, dock_count INTEGER, city TEXT, -- values: 'Palo Alto', 'San Jose'
  PRIMARY KEY (id) );
CREATE TABLE trip ( id INTEGER, -- unique
  duration INTEGER, start_date TEXT, start_station_name TEXT, PRIMARY KEY (id) );
"""
PLANTS = """
CREATE TABLE plants ( id INTEGER, name TEXT, country TEXT, reactor_type TEXT, capacity INTEGER, PRIMARY KEY (id) );
"""


@pytest.mark.parametrize(
    ("question", "ddl", "said"),
    [
        ("busiest station", BIKES, "“busiest”"),
        ("how many trips in March 2014", BIKES, "trip.start_date is text"),
        ("how many reactors per country", PLANTS, "I did not understand"),
        ("capacity of France", PLANTS, "do not know that plants.capacity holds “France”"),
    ],
)
def test_what_can_only_be_guessed_is_refused(question, ddl, said):
    text = say(question, ddl=ddl)
    assert "```" not in text
    assert said in text


def test_how_many_of_a_column_that_counts_is_refused():
    text = say("how many docks are there per city", ddl=BIKES)
    assert "```" not in text
    assert "“docks are there per city" in text


def test_a_part_of_a_thing_does_not_name_it():
    assert "start_station_name" not in ask("longest trip", ddl=BIKES)


FLIGHTS = """
CREATE TABLE flights (
  year INTEGER, -- 2013..2013
  month INTEGER, -- 1..12
  hour INTEGER, -- 1..23
  carrier TEXT, -- values: 'AA', 'UA'
  dep_delay INTEGER, -- -43..1301
  time_hour TIMESTAMP -- 2013-01-01 05:00:00..2014-01-01 04:00:00
);
CREATE TABLE airlines ( carrier TEXT, name TEXT, PRIMARY KEY (carrier) );
"""


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("which hour has the most dep delays", "“dep delays”"),
        ("which hour has the most delays", "“delays”"),
        ("which month has the worst delays", "“worst”"),
    ],
)
def test_what_is_bad_and_what_is_many_is_asked(question, said):
    text = say(question, ddl=FLIGHTS)
    assert "```" not in text
    assert said in text


@pytest.mark.parametrize(
    ("question", "where"),
    [
        ("how many flights since October 2013", "WHERE month >= 10"),
        ("how many flights after October 2013", "WHERE month > 10"),
        ("how many flights before March 2013", "WHERE month < 3"),
        ("average dep delay in June 2013", "WHERE year = 2013 AND month = 6"),
        ("how many flights in Q3 2013", "WHERE year = 2013 AND month BETWEEN 7 AND 9"),
        ("how many flights since October 2012", "WHERE time_hour >= '2012-10-01'"),
    ],
)
def test_columns_for_the_year_and_the_month_come_before_a_moment(question, where):
    assert " ".join(ask(question, ddl=FLIGHTS).split()).endswith(where)
