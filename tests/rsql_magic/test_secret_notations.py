"""No secret leaves at any level, however it is written down and whatever carries it."""

from __future__ import annotations

import random

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest
from many_cases import check_each
from secret_notations import NAMES, PLAIN, SECRET, leaked, notations

from rsql_magic.context import Catalog, describe, gather
from rsql_magic.redaction import redact
from rsql_magic.sql import ddl

NOTATIONS = notations()
LEVELS = ("names", "stats", "sample")


def is_filtered(how):
    said, found = redact(NOTATIONS[how])
    assert not leaked(said), said
    assert found
    assert redact(said)[0] == said


@pytest.mark.slow
def test_the_filter_finds_each_and_leaves_it_alone_the_second_time():
    check_each(is_filtered, [(how,) for how in sorted(NOTATIONS)])


def described(text):
    """The text in a column, a label, an index, a note, a name and a variable."""
    frame = pd.DataFrame({"note": [text] * 6, "n": range(6)})
    noted = frame.copy()
    noted.attrs = {"description": text, "labels": {"n": text}, "units": {"n": text}}
    yield frame
    yield noted
    yield frame.set_index("note")
    yield frame.rename(columns={"n": text})
    yield frame.rename_axis(index=text)
    yield pl.DataFrame({"note": [text] * 6})
    yield pd.Series([text] * 6)
    yield pd.DataFrame({"n": pd.Categorical([text] * 6)})
    yield pd.DataFrame({"n": [{"a": text}] * 6})
    yield np.array([text] * 6)
    yield text
    yield {"host": text, "n": 1}
    yield {text: 1, "n": "x"}
    yield [text]
    yield type("Settings", (), {"__doc__": text})


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("how", random.Random(3).sample(sorted(NOTATIONS), 20))
def test_no_object_carries_it_out(how, level):
    for carrier in described(NOTATIONS[how]):
        assert not leaked(describe(carrier, "x", level)), type(carrier)


@pytest.mark.sweep
@pytest.mark.parametrize("level", LEVELS)
def test_no_object_carries_any_out(level):
    check_each(test_no_object_carries_it_out, [(how, level) for how in sorted(NOTATIONS)])


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("how", random.Random(4).sample(sorted(NOTATIONS), 20))
def test_no_cell_error_or_database_carries_it_out(how, level):
    text = NOTATIONS[how]
    quoted = text.replace("'", "''")
    context = gather("why?", {"x": 1}, level=level, cells=[f"x = 1\n{text}"], error=ValueError(text), r=False)
    assert not leaked(context.text)
    with duckdb.connect() as con:
        con.execute(f"CREATE TABLE t (n INTEGER, note VARCHAR DEFAULT '{quoted}')")
        con.execute(f"INSERT INTO t SELECT 1, '{quoted}' FROM range(9)")
        con.execute(f"COMMENT ON TABLE t IS '{quoted}'")
        con.execute(f"COMMENT ON COLUMN t.n IS '{quoted}'")
        con.execute(f"CREATE VIEW v AS SELECT '{quoted}', n FROM t")
        catalog = Catalog.from_connection(con, level)
    assert not leaked(redact("\n".join(ddl(table, level) for table in catalog))[0])


COLUMNS = [("key", "value"), ("name", "setting"), ("variable", "val"), ("parameter", "value"), ("option", "content")]
COLUMNS += [("setting_name", "setting_value"), ("Property", "Data"), ("env", "text"), ("k", "v"), ("config_key", "x")]


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
@pytest.mark.parametrize("columns", COLUMNS, ids="/".join)
@pytest.mark.parametrize("secret", [SECRET, PLAIN])
def test_the_value_beside_a_secrets_name_is_withheld(columns, make, secret, level):
    key, value = columns
    rows = [("host", "db1"), *((name, secret) for name in NAMES)]
    short = make({key: [name for name, _ in rows[:4]], value: [text for _, text in rows[:4]]})
    names, texts = [name for name, _ in rows], [text for _, text in rows]
    long = make({"id": range(len(rows)), key: names, "type": ["text"] * len(rows), value: texts})
    for frame in (short, long):
        assert secret not in describe(frame, "settings", level)
        assert secret not in gather("what is in settings?", {"settings": frame}, level=level, r=False).text


@pytest.mark.parametrize("level", LEVELS)
def test_a_wide_frame_and_a_series_of_settings(level):
    wide = pd.DataFrame([dict.fromkeys(NAMES, SECRET) | {"host": "db1"}])
    series = pd.Series({"host": "db1", **dict.fromkeys(NAMES, SECRET)})
    for obj in (wide, wide.T, wide.T.reset_index(), series, series.to_frame("value"), series.reset_index()):
        assert SECRET not in describe(obj, "settings", level)


WORDS = """
    Passwort Kennwort contraseña senha heslo jelszó hasło wachtwoord lösenord adgangskode passord salasana şifre lozinka
    парола parolă slaptažodis пароль 密码 口令 パスワード 비밀번호 รหัสผ่าน סיסמה पासवर्ड
    """.split()  # noqa: SIM905
WORDS += ["mot de passe", "كلمة المرور", "κωδικός πρόσβασης", "kata sandi", "mật khẩu", "palavra-passe"]


def test_a_password_is_found_by_its_word_in_each_language():
    """Also by the look at parts of names that goes before."""
    texts = [way.format(word) for word in WORDS for way in ("{}: hunter2Xq", "x\n{} = 'hunter2Xq'", "{}：hunter2Xq")]
    assert [text for text in texts if "hunter2" in redact(text)[0]] == []
