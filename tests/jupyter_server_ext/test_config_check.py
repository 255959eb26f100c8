"""``rsql config check``: what a start refuses is refused, what cannot work is warned of; each with its line, once."""

from __future__ import annotations

import re

import pytest
from cryptography.fernet import Fernet
from many_cases import check_each

from jupyter_server_ext.app.subcommands import check_config
from jupyter_server_ext.errors import ConfigError

SECRET = "gsk-hunter2hunter2hunter2"
GOOD = f"""default_model = "m"
[[keys]]
provider = "groq"
name = "first"
key = "{SECRET}"
models = ["m", "n"]
rpm = 30
tpm = 6000
quota_group = "one"
counts = "arrival"
concurrency = 4
[[api_keys]]
name = "ada"
key = "caller-token-123456"
tenant = "lab"
scopes = ["chat"]
[pool]
attempts = 3
queue_deadline_seconds = 60
jitter_ms = 20
[limits.caller]
requests_per_minute = 10
usd_per_day = 1.5
[limits.everyone]
concurrency = 100
[limits.inline_completion]
share = 0.5
[limits.routes."v1/models"]
requests_per_minute = 5
[tenants.lab]
weight = 2.0
models = ["m"]
privacy_floor = "stats"
keep_prompts = true
[fallbacks]
m = ["n"]
[storage]
state = "memory://"
cache = "memory://?max_mb=8"
ledger = "sqlite:///FOLDER/ledger.db"
retention_days = 30
time_zone = "Europe/Berlin"
prompt_keys = ["{Fernet.generate_key().decode()}"]
[prices.models."m"]
input = 0.2
output = 0.8
[cache]
ttl_seconds = 60
[server]
max_body_mb = 4
cors_origins = ["https://app.example.org"]
[virtual_keys]
most_days = 90
[documents]
most_days = 90
[jobs]
at_once = 8
attempts = 3
[sessions]
most_shared_days = 7
[telemetry]
endpoint = "http://127.0.0.1:4318"
sample = 0.5
[webhooks]
allow_hosts = ["alerts.internal", "10.1.0.0/16"]
"""
LINES = GOOD.splitlines()
PROMPT_KEYS = next(line for line in LINES if line.startswith("prompt_keys"))
SETTING = re.compile(r"([a-z_]+) = (.*)")
ANY_TEXT = {"name", "quota_group", "tenant", "default_model"}  # for which most texts are right


def misspelt(line):
    """A setting with a letter that is not in its name; of tables whose names are free any name is right."""
    return SETTING.sub(lambda found: f"{found[1]}x = {found[2]}", line)


def of_another_kind(line):
    """A setting with a value of a kind that it cannot have."""
    return SETTING.sub(lambda found: f"{found[1]} = " + ("{ a = 1 }" if found[2][0] in '["' else '"many"'), line)


def cut_off(line):
    """A setting of a file that was not written to its end."""
    return SETTING.sub(lambda found: f"{found[1]} = ", line)


def mutants():
    for number, line in enumerate(LINES, start=1):
        for change in (misspelt, of_another_kind, cut_off):
            if SETTING.fullmatch(line) and not (change is misspelt and line.startswith("m = ")):
                changed = [*LINES[: number - 1], change(line), *LINES[number:]]
                yield "\n".join(changed), number


def changed(old, new):
    assert old in LINES
    return "\n".join(new if line == old else line for line in LINES), LINES.index(old) + 1


@pytest.fixture
def said(tmp_path, capsys, monkeypatch):
    """What the check says of a file: its words, and whether it refuses."""
    monkeypatch.delenv("JUPYTER_TOKEN", raising=False)
    path = tmp_path / "rsql.toml"

    def check(text):
        path.write_text(text.replace("FOLDER", str(tmp_path)))
        path.chmod(0o600)
        try:
            check_config(["check", str(path)])
        except ConfigError as error:
            return error.message.replace(f"{tmp_path}/", ""), True
        return capsys.readouterr().out, False

    return check


def test_a_right_file_is_taken_without_a_warning(said):
    words, refused = said(GOOD)
    assert not refused
    assert "warning" not in words
    assert SECRET not in words


def test_a_wrong_file_is_refused_in_one_sentence_with_its_line(said):
    def check(text, line):
        words, refused = said(text)
        assert refused
        assert f"rsql.toml, line {line}: " in words
        assert "\n" not in words
        assert words[-1] in ".?"
        assert len(words) < 500
        assert SECRET not in words

    wrong = [*mutants()]
    assert len(wrong) > 100
    check_each(check, wrong)


REFUSED = {
    "a folder that is not there": ('ledger = "sqlite:///FOLDER/ledger.db"', 'ledger = "sqlite:////none/such/l.db"'),
    "a prompt key that is none": (PROMPT_KEYS, 'prompt_keys = ["short"]'),
    "a state without slashes": ('state = "memory://"', 'state = "redis:localhost:6379"'),
    "a ledger of another kind": ('ledger = "sqlite:///FOLDER/ledger.db"', 'ledger = "mysql://a/b"'),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_start_refuses_the_check_refuses(said, case):
    text, line = changed(*REFUSED[case])
    words, refused = said(text)
    assert refused, words
    assert f"line {line}: " in words
    assert "\n" not in words


def test_a_route_that_is_not_there(said):
    text, line = changed('[limits.routes."v1/models"]', '[limits.routes."v1/modles"]')
    words, refused = said(text)
    assert refused
    assert f"line {line + 1}: There is no route 'v1/modles'" in words


DOUBTS = {
    "an address with the route": (
        'provider = "groq"',
        'provider = "groq"\nbase_url = "https://a.example/v1/chat/completions"',
        "ends in /chat/completions",
        1,
    ),
    "prompts without keys for them": (PROMPT_KEYS, "", "'keep_prompts' of [tenants.lab] keeps nothing", -9),
    "URLs as hosts": (
        'allow_hosts = ["alerts.internal", "10.1.0.0/16"]',
        'allow_hosts = ["https://alerts.internal/hook"]',
        "a URL matches nothing",
        0,
    ),
    "a fallback that no key serves": ('m = ["n"]', 'm = ["n", "o"]', "no key serves 'o' of [fallbacks]", 0),
    "a group's model that no key serves": ('models = ["m"]', 'models = ["m", "o"]', "no key serves 'o' of [tenants", 0),
    "gateways that count alone": ('state = "memory://"', 'state = "memory://"\ninstances = 3', "counts alone", 1),
    "a signature of nothing": ("retention_days = 30", 'retention_days = 30\nanchor_key = "k"', "signs nothing", 1),
    "texts kept for longer": ("retention_days = 30", "retention_days = 30\nkeep_text_days = 60", "is above", 1),
}


@pytest.mark.parametrize("case", DOUBTS)
def test_what_cannot_work_is_warned_of(said, case):
    old, new, why, further = DOUBTS[case]
    text, line = changed(old, new)
    words, refused = said(text)
    assert not refused, words
    (warning,) = [one for one in words.splitlines() if one.startswith("warning: ")]
    assert why in warning
    assert f"rsql.toml, line {line + further}: " in warning
