"""A configuration with keys that others on the machine may read is said, where it is checked and where it is used."""

from __future__ import annotations

import pytest

from jupyter_server_ext.app.subcommands import check_config
from jupyter_server_ext.config import read_by_others

KEY = '[[keys]]\nprovider = "groq"\nkey = "{}"\n'


@pytest.fixture
def file(tmp_path):
    def write(text, mode):
        path = tmp_path / "rsql.toml"
        path.write_text(text)
        path.chmod(mode)
        return path

    return write


@pytest.mark.parametrize(("mode", "who"), [(0o644, "all users"), (0o604, "all users"), (0o640, "its group")])
@pytest.mark.parametrize(
    "text",
    [
        KEY.format("gsk-abc"),
        KEY.format("${GROQ}") + '[storage]\nledger = "postgresql://ann:hunter2@db1/rsql"\n',
        KEY.format("${GROQ}") + '[[api_keys]]\nname = "a"\nkey = "x"\n',
        '[storage]\nprompt_keys = ["abc"]\n',
    ],
)
def test_a_file_with_keys_that_others_may_read_is_said(file, text, mode, who):
    path = file(text, mode)
    said = read_by_others(path, {})
    assert who in said
    assert f"chmod 600 {path}" in said
    assert not any(secret in said for secret in ("gsk-abc", "hunter2"))
    assert read_by_others(None, {"RSQL_CONFIG": str(path)}) == said


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        (KEY.format("gsk-abc"), 0o600),
        (KEY.format("gsk-abc"), 0o400),
        (KEY.format("${GROQ}"), 0o644),
        ('default_model = "llama"\n', 0o644),
        ("not toml [", 0o644),
    ],
)
def test_nothing_is_said_of_others(file, text, mode):
    assert read_by_others(file(text, mode), {}) == ""


def test_the_check_of_a_file_says_it(file, capsys):
    check_config(["check", str(file(KEY.format("gsk-abc"), 0o644))])
    assert "(mode 0644). Run: chmod 600" in capsys.readouterr().out
    check_config(["check", str(file(KEY.format("gsk-abc"), 0o600))])
    assert "chmod" not in capsys.readouterr().out


def test_a_file_that_is_not_there(tmp_path):
    assert read_by_others(tmp_path / "none.toml", {}) == ""
