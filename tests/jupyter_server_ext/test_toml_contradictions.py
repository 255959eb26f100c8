"""Settings that contradict each other, or cannot work, are refused with their line; what is not refused works."""

from __future__ import annotations

import random

import pytest

from jupyter_server_ext.app.assembly import environment_token
from jupyter_server_ext.config import load_settings
from jupyter_server_ext.config.toml_file import read_settings
from jupyter_server_ext.errors import ConfigError
from jupyter_server_ext.pipeline import Gateway

SECRETS = ("hunter2hunter2hunter2", "swordfish-swordfish", "server-token-1234567", "hub-token-123456789")
ENVIRONMENT = {"JUPYTER_TOKEN": SECRETS[2], "JUPYTERHUB_API_TOKEN": SECRETS[3], "SPLIT": f"{SECRETS[0]}\n{SECRETS[1]}"}
KEY = '[[keys]]\nprovider = "groq"\nkey = "{key}"\n'
CALLER = '[[api_keys]]\nname = "{name}"\nkey = "{key}"\n'

# Each: lines, with the one that is at fault marked by ``<<``, and words of the message.
CONTRADICTIONS = {
    "a key of two lines": (KEY.replace("{key}", f"{SECRETS[0]}\\n{SECRETS[1]}").replace('"\n', '"\n', 1), "line end"),
    "a key of a variable of two lines": ('[[keys]]\nprovider = "groq"\nkey = "${SPLIT}" <<\n', "line end"),
    "a key with a blank": (f'[[keys]]\nprovider = "groq"\nkey = "{SECRETS[0]} b" <<\n', "blank"),
    "a key with an odd letter": (f'[[keys]]\nprovider = "groq"\nkey = "{SECRETS[0]}\u00e9" <<\n', "odd character"),
    "a token with a blank": (f'[[api_keys]]\nname = "x"\nkey = "{SECRETS[0]} b" <<\n', "blank"),
    "the server's token": (f'[[api_keys]]\nname = "x"\nkey = "{SECRETS[2]}" <<\n', "JUPYTER_TOKEN"),
    "the service's token": (f'[[api_keys]]\nname = "x"\nkey = "{SECRETS[3]}" <<\n', "JUPYTERHUB_API_TOKEN"),
    "a provider's key": (
        f'[[keys]]\nprovider = "groq"\nkey = "{SECRETS[1]}"\n[[api_keys]]\nname = "x"\nkey = "{SECRETS[1]}" <<\n',
        "provider's key",
    ),
    "two amounts of a group": (
        '[[keys]]\nprovider = "groq"\nkey = "q1"\nquota_group = "g"\nrpm = 30\n'
        '[[keys]]\nprovider = "groq"\nkey = "q2"\nquota_group = "g"\nrpm = 60 <<\n',
        "30 and 60 for the quota group 'g'",
    ),
    "two amounts of a group, one in the general form": (
        '[[keys]]\nprovider = "groq"\nkey = "q1"\nquota_group = "g"\nlimits = [{ tokens = 5, seconds = 60 }]\n'
        '[[keys]]\nprovider = "groq"\nkey = "q2"\nquota_group = "g"\ntpm = 60 <<\n',
        "5 and 60",
    ),
    "two amounts of a key": (
        '[[keys]]\nprovider = "groq"\nkey = "q1"\nlimits = [{ requests = 5, seconds = 60 }]\nrpm = 6 <<\n',
        "one amount",
    ),
    "a key that serves nothing": ('[[keys]]\nprovider = "groq"\nkey = "q1"\nrpm = 0 <<\n', "serves nothing"),
    "a limit of nothing": (
        '[[keys]]\nprovider = "groq"\nkey = "q1"\nlimits = [{ tokens = 0, seconds = 60 }] <<\n',
        "serves nothing",
    ),
    "no request at once": ('[[keys]]\nprovider = "groq"\nkey = "q1"\nconcurrency = 0 <<\n', "serves nothing"),
    "a fallback to itself": ('[fallbacks]\n"m" = ["m"] <<\n', "itself"),
    "nothing said of a model": ('[models."m"] <<\n', "pictures"),
    "keys that last too long": ("[virtual_keys]\nmost_days = 5\ndefault_days = 9 <<\n", "most_days"),
    "a name with a line end": ('[[api_keys]]\nname = "a\\nb" <<\nkey = "k1"\n', "control characters"),
    "a name that is too long": (f'[[api_keys]]\nname = "{"a" * 300}" <<\nkey = "k1"\n', "255"),
    "a group with a blank": ('[tenants." lab"] <<\nweight = 2.0\n', "blanks"),
    "a group with a NUL": ('[tenants."a\\u0000"] <<\nweight = 2.0\n', "control characters"),
    "two callers of one name": (
        '[[api_keys]]\nname = "x"\nkey = "k1"\n[[api_keys]]\nname = "x" <<\nkey = "k2"\n',
        "same 'name'",
    ),
    "two callers of one key": (
        '[[api_keys]]\nname = "x"\nkey = "k1"\n[[api_keys]]\nname = "y"\nkey = "k1" <<\n',
        "same 'key'",
    ),
}


def harmless(draw):
    """A table that contradicts nothing."""
    number = draw.randrange(10**9)
    return draw.choice(
        (
            f'[[keys]]\nprovider = "groq"\nkey = "p{number}"\nquota_group = "q{number % 9}"\nrpm = 30\ntpm = 500\n',
            f'[[keys]]\nprovider = "own"\nbase_url = "http://a.example/v1"\nkey = "p{number}"\nmodels = ["m"]\n',
            f'[[api_keys]]\nname = "caller {number}"\nkey = "t{number}"\ntenant = "lab"\n',
            f'[tenants.group{number}]\nweight = 2.0\nsystem_prompt = "One line.\\nAnother."\n',
            "# a comment\n\n",
        )
    )


def around(text, seed):
    """The same among other tables; the line that is at fault, 0 for none."""
    draw = random.Random(seed)
    text = "".join([*(harmless(draw) for _ in range(draw.randrange(4))), text, *(harmless(draw) for _ in range(2))])
    at = text[: text.index("<<")].count("\n") + 1 if "<<" in text else 0
    return text.replace(" <<", ""), at


@pytest.mark.slow
@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_contradiction_is_refused_with_its_line_and_what_to_do(name):
    table, words = CONTRADICTIONS[name]
    if "<<" not in table:
        table = table[:-1] + " <<\n"
    for seed in range(20):
        text, line = around(table, seed)
        with pytest.raises(ConfigError) as refused:
            read_settings(text, ENVIRONMENT)
        assert refused.value.message.startswith(f"rsql.toml, line {line}: "), text
        assert words in refused.value.message
        assert not any(secret in refused.value.message for secret in SECRETS)


@pytest.mark.slow
def test_what_contradicts_nothing_makes_a_gateway():
    for seed in range(60):
        text, _ = around("", seed)
        gateway = Gateway(read_settings(text, ENVIRONMENT))
        assert gateway.status()["pool"]


@pytest.mark.parametrize("value", ["one two", "one\ntwo", "one\u00e9", "a,b\tc"])
def test_the_environments_secrets_are_looked_at_too(monkeypatch, value):
    with pytest.raises(ConfigError, match="GROQ_API_KEYS holds"):
        load_settings(None, {"GROQ_API_KEYS": value})
    monkeypatch.setenv("JUPYTER_TOKEN", value.replace(",", " "))
    with pytest.raises(ConfigError, match="JUPYTER_TOKEN holds"):
        environment_token()


def test_the_longest_time_of_keys_bounds_the_usual_one():
    assert read_settings("[virtual_keys]\nmost_days = 5", {}).virtual_keys.default_days == 5
