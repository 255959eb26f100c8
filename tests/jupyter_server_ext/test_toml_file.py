"""rsql.toml and the environment: what is read, and what is refused on which line."""

from __future__ import annotations

import pytest

from jupyter_server_ext.config import (
    PRESETS,
    SCOPES,
    CallerLimits,
    InlineCompletionSettings,
    KeySettings,
    Limit,
    PriceSettings,
    Secret,
    Settings,
    load_settings,
)
from jupyter_server_ext.config.settings import ModelPrice, ModelSettings
from jupyter_server_ext.config.toml_file import read_settings
from jupyter_server_ext.config.toml_values import line_numbers
from jupyter_server_ext.errors import ConfigError

SAMPLE = """\
default_model = "llama-3.3-70b"

[[keys]]
provider = "groq"                    # a preset
base_url = "http://127.0.0.1:24000/v1"
key = "${GROQ_KEY_1}"
name = "groq-1"
quota_group = "org-a"
models = ["llama-3.3-70b"]
rpm = 30
concurrency = 8
bucket = true
counts = "end"
limits = [{ requests = 14400, seconds = 86400 }, { tokens = 6000, seconds = 60, zone = "UTC" }]

[pool]
jitter_ms = 250
queue_deadline_seconds = 60
queue_length = 2000

[limits.caller]
requests_per_minute = 10
requests_per_hour = 100
requests_per_day = 500
concurrency = 4
usd_per_day = 5.0

[limits.inline_completion]
share = 0.25
tokens = 3000

[[api_keys]]
name = "alice"
key = "${ALICE_KEY}"
tenant = "stats101"
scopes = ["chat", "admin"]

[tenants.stats101]
weight = 1.5
models = ["llama-3.3-70b"]
system_prompt = "Give hints, not solutions."
privacy_floor = "stats"

[tenants.stats101.limits]
requests_per_day = 2000

[fallbacks]
"llama-3.3-70b" = ["llama-3.1-8b"]

[models."llama-3.3-70b"]
pictures = false

[storage]
state = "memory://"

[cache]
ttl_seconds = 3600
enabled = true

[server]
max_body_mb = 2
"""
ENVIRONMENT = {"GROQ_KEY_1": "gsk-secret-0001", "ALICE_KEY": "alice-secret"}


def test_the_sample_of_the_documentation_is_read_whole():
    settings = read_settings(SAMPLE, ENVIRONMENT)

    assert settings.default_model == "llama-3.3-70b"
    assert settings.keys == (
        KeySettings(
            provider="groq",
            key=Secret("gsk-secret-0001"),
            base_url="http://127.0.0.1:24000/v1",
            name="groq-1",
            quota_group="org-a",
            models=("llama-3.3-70b",),
            limits=(
                Limit(30, "requests", 60.0),
                Limit(14400, "requests", 86400.0),
                Limit(6000, "tokens", 60.0, "UTC"),
            ),
            concurrency=8,
            bucket=True,
            counts="end",
        ),
    )
    assert settings.caller == CallerLimits(10, 100, 500, concurrency=4, usd_per_day=5.0)
    assert settings.tenant == CallerLimits()
    assert settings.inline_completion == InlineCompletionSettings(0.25, requests_per_minute=20, tokens=3000)
    assert settings.api_keys[0].key == Secret("alice-secret")
    assert settings.api_keys[0].scopes == ("chat", "admin")
    (tenant,) = settings.tenants
    assert (tenant.name, tenant.weight, tenant.privacy_floor) == ("stats101", 1.5, "stats")
    assert tenant.limits.requests_per_day == 2000
    assert settings.fallbacks == (("llama-3.3-70b", ("llama-3.1-8b",)),)
    assert settings.models == (("llama-3.3-70b", ModelSettings(pictures=False)),)
    assert settings.server.max_body_mb == 2.0


def test_absent_is_unlimited_and_zero_is_none():
    settings = read_settings("[limits.caller]\nrequests_per_minute = 0", {})

    assert settings.caller.requests_per_minute == 0
    assert settings.caller.requests_per_hour is None


def test_keys_without_a_name_are_numbered_around_the_given_ones():
    keys = ['provider="groq"\nkey="a"', 'provider="groq"\nkey="b"\nname="groq-1"', 'provider="groq"\nkey="c"']
    keys += ['provider="ollama"', 'provider="ollama"\nbase_url="http://gpu/v1"']
    settings = read_settings("\n".join(f"[[keys]]\n{key}" for key in keys), {})

    assert [key.name for key in settings.keys] == ["groq-2", "groq-1", "groq-3", "ollama", "ollama-1"]


def test_two_dollars_are_one():
    settings = read_settings('[tenants.a]\nsystem_prompt = "write $${HOME} and ${TONE}"', {"TONE": "kindly"})

    assert settings.tenants[0].system_prompt == "write ${HOME} and kindly"


REFUSED = {
    "not TOML": ("default_model = \n", 1, "not TOML"),
    "not TOML further down": ('default_model = "a"\n\n[[keys]\n', 3, "not TOML"),
    "open string at the end": ('a = """', 1, "not TOML"),
    "unknown name": ('default_modell = "a"', 1, "did you mean 'default_model'?"),
    "unknown name in a key": ('[[keys]]\nprovider = "ollama"\n\nquota_grp = "a"', 4, "did you mean 'quota_group'?"),
    "unknown name in the second key": ('[[keys]]\nprovider="ollama"\n[[keys]]\nprovider="ollama"\nrpn=1', 5, "'rpm'"),
    "unknown table": ("[pol]\n", 1, "did you mean 'pool'?"),
    "unknown name far from all": ("zzz = 1", 1, "expected one of: default_model, keys"),
    "whole number wanted, text given": ('[[keys]]\nprovider = "ollama"\nrpm = "30"', 3, "a whole number, not text"),
    "whole number wanted, fraction given": ("[limits.caller]\nrequests_per_day = 1.5", 2, "a whole number, not a num"),
    "whole number wanted, truth given": ("[limits.caller]\nconcurrency = true", 2, "a whole number, not true or false"),
    "negative": ("[limits.everyone]\n# c\ntokens_per_day = -1", 3, "must be 0 or more"),
    "more than counts": ("[limits.caller]\nrequests_per_day = 99999999999999999999", 2, "or less"),
    "more than any money": ("[limits.caller]\n\nusd_per_month = 1e15", 3, "1,000,000,000 or less"),
    "no gateway": ("[storage]\ninstances = 0", 2, "must be more than 0"),
    "a tenant misspelled": (
        '[[api_keys]]\nname="a"\nkey="k"\ntenant = "stats10"\n[tenants.stats101]\nweight = 1',
        4,
        "did you mean 'stats101'?",
    ),
    "no such state": ('[storage]\nspool = "."\nstate = "http://a"', 3, "must be memory://, redis://host"),
    "no such ledger": ('[storage]\nledger = "mysql://a"', 2, "must be sqlite:///path or postgresql://"),
    "no port": ('[storage]\ncache = "redis://a:b"', 2, "a port that is no number"),
    "not a number": ("[pool]\njitter_ms = nan", 2, "must be 0 or more"),
    "number wanted, date given": ("[cache]\nttl_seconds = 1979-05-27 07:32:00\n", 2, "a number, not a date"),
    "truth wanted": ('[cache]\nttl_seconds = 1\nenabled = "yes"', 3, "true or false, not text"),
    "list wanted": ('[[keys]]\nprovider = "ollama"\nmodels = "a"', 3, "a list of texts"),
    "table wanted": ("pool = 3", 1, "must be a table: [pool]"),
    "list of tables wanted": ("[keys]\nprovider = 'ollama'", 1, "must be a list of tables: [[keys]]"),
    "variable not set": ('[[keys]]\nprovider = "groq"\nkey = "${NOPE}"', 3, "variable NOPE is not set"),
    "variable misspelt": ('[[keys]]\nprovider = "groq"\nkey = "${NO PE}"', 3, "the name of an environment variable"),
    "key empty": ('[[keys]]\nprovider = "groq"\nkey = ""', 3, "is empty"),
    "key missing": ('\n[[keys]]\nprovider = "groq"', 2, "${GROQ_API_KEY}"),
    "provider missing": ('[[keys]]\nkey = "x"', 1, "needs a 'provider'"),
    "provider unknown": ('[[keys]]\nprovider = "gork"\nkey = "x"', 2, "needs a 'base_url'"),
    "base_url without scheme": ('[[keys]]\nprovider = "x"\nbase_url = "localhost:1/v1"', 3, "http:// or https://"),
    "name twice": ('[[keys]]\nprovider="vllm"\nname="a"\n[[keys]]\nprovider="vllm"\nname="a"', 6, "the same 'name'"),
    "limit without seconds": ('[[keys]]\nprovider="vllm"\nlimits = [\n  { requests = 1 },\n]', 4, "'seconds'"),
    "limit of two units": ('[[keys]]\nprovider="vllm"\nlimits=[{requests=1,tokens=2,seconds=3}]', 3, "needs one of"),
    "limit misspelt": (
        '[[keys]]\nprovider="vllm"\nlimits = [{ requests = 1, seconds = 1 },\n { request = 1, seconds = 1 }]',
        4,
        "did you mean 'requests'?",
    ),
    "unknown zone": ('[[keys]]\nprovider="vllm"\nlimits=[{requests=1,seconds=3,zone="Mars"}]', 3, "a time zone"),
    "caller's key without name": ('[[api_keys]]\nkey = "x"', 1, "needs a 'name'"),
    "caller's key empty": ('[[api_keys]]\nname = "a"\nkey = "${EMPTY}"', 3, "is empty"),
    "caller's key twice": ('[[api_keys]]\nname="a"\nkey="x"\n[[api_keys]]\nname="b"\nkey="x"', 6, "the same 'key'"),
    "unknown scope": (
        '[[api_keys]]\nname="a"\nkey="x"\nscopes=["root"]',
        4,
        f"may hold: {', '.join(SCOPES)}",
    ),
    "counts": ('[[keys]]\nprovider = "ollama"\ncounts = "late"', 3, "'arrival' or 'end'"),
    "privacy floor": ('[tenants.a]\nprivacy_floor = "all"', 2, "names, stats, sample"),
    "weight 0": ("[tenants.a]\nweight = 0", 2, "more than 0"),
    "nested in an inline table": ("[tenants]\na = { limits = { requests_per_dya = 1 } }", 2, "requests_per_day"),
    "no key serves the default": ('default_model="b"\n[[keys]]\nprovider="vllm"\nmodels=["a"]', 1, "no key serves"),
    "more than all": ("[limits.inline_completion]\nshare = 1.5", 2, "from 0 to 1"),
    "no body": ("[server]\nmax_body_mb = 0", 2, "more than 0"),
}


@pytest.mark.parametrize(("text", "line", "words"), REFUSED.values(), ids=REFUSED)
def test_a_bad_file_is_refused_with_its_line_and_what_was_expected(text, line, words):
    with pytest.raises(ConfigError) as refused:
        read_settings(text, {"EMPTY": ""}, name="rsql.toml")

    assert refused.value.message.startswith(f"rsql.toml, line {line}: ")
    assert words in refused.value.message


KEY = "gsk_4f6d8e0a1b2c3d4e5f60718293a4b5c6"


@pytest.mark.parametrize(
    "text",
    [
        f'[[keys]]\nprovider = "{KEY}"',
        f'[[keys]]\nprovider = "groq"\nkey = ["{KEY}"]',
        f'[[keys]]\nprovider = "groq"\nkey = "${{{KEY} }}"',
        f'[[keys]]\nprovider = "groq"\nbase_url = "{KEY}"\nkey = "x"',
        f'[[keys]]\nprovider = "groq"\n{KEY} = "key"',
        f'[[keys]]\nprovider = "groq"\nkey = "{KEY}\n',
        f"[[keys]]\nprovider = 'groq'\nkey = {KEY}\n",
        f'[[api_keys]]\nname = "a"\nkey = "x"\nscopes = ["{KEY}"]',
        f'[tenants.a]\nprivacy_floor = "{KEY}"',
        f'[[keys]]\nprovider="vllm"\nlimits=[{{requests=1,seconds=3,zone="{KEY}"}}]',
    ],
)
def test_no_message_shows_a_key(text):
    with pytest.raises(ConfigError) as refused:
        read_settings(text, {})

    assert KEY not in str(refused.value)
    assert KEY not in repr(refused.value)


def test_settings_never_show_a_key():
    settings = read_settings(SAMPLE, ENVIRONMENT)

    assert "gsk-secret" not in repr(settings)
    assert "alice-secret" not in repr(settings)


def test_keys_come_from_the_environment():
    environment = {"OPENAI_API_KEY": "sk-1", "GROQ_API_KEYS": "g1, g2,,g1", "GROQ_API_KEY": "g0"}

    keys = load_settings(None, environment).keys

    assert [(key.name, key.key.reveal()) for key in keys] == [
        ("groq-1", "g0"),
        ("groq-2", "g1"),
        ("groq-3", "g2"),
        ("openai-1", "sk-1"),
    ]


@pytest.mark.parametrize(
    ("provider", "variable"), [(name, preset.variable) for name, preset in PRESETS.items() if preset.variable]
)
def test_every_preset_has_its_variable(provider, variable):
    (key,) = load_settings(None, {variable: "k"}).keys

    assert key.provider == provider


def test_without_any_key_there_is_the_offline_model():
    settings = load_settings(None, {"GROQ_API_KEY": " "})

    assert [key.provider for key in settings.keys] == ["offline"]
    assert settings.default_model == "offline"


def test_the_offline_model_does_not_stand_in_for_another(tmp_path):
    file = tmp_path / "rsql.toml"
    file.write_text('default_model = "llama"')

    for path, environment in ((file, {}), (None, {"RSQL_MODEL": "llama"})):
        with pytest.raises(ConfigError, match="no key to reach it"):
            load_settings(path, environment)


def test_keys_of_the_file_are_all_the_keys(tmp_path):
    file = tmp_path / "rsql.toml"
    file.write_text('[[keys]]\nprovider = "ollama"')

    settings = load_settings(None, {"GROQ_API_KEY": "g", "RSQL_CONFIG": str(file)})

    assert [key.provider for key in settings.keys] == ["ollama"]


def test_a_file_without_keys_takes_those_of_the_environment(tmp_path):
    file = tmp_path / "rsql.toml"
    file.write_text("[limits.caller]\nrequests_per_minute = 3")

    settings = load_settings(file, {"GROQ_API_KEY": "g"})

    assert settings.caller.requests_per_minute == 3
    assert [key.provider for key in settings.keys] == ["groq"]


@pytest.mark.parametrize(
    ("text", "environment", "model"),
    [
        ('[[keys]]\nprovider = "offline"', {}, "offline"),
        ("", {"GROQ_API_KEY": "g"}, PRESETS["groq"].default_model),
        ("", {"GROQ_API_KEY": "g", "RSQL_MODEL": "qwen"}, "qwen"),
        ('default_model = "llama"', {"GROQ_API_KEY": "g", "RSQL_MODEL": "qwen"}, "llama"),
        ('[[keys]]\nprovider = "vllm"\nmodels = ["a", "b"]', {}, "a"),
        ('[[keys]]\nprovider = "vllm"\n[[keys]]\nprovider = "groq"\nkey = "g"', {}, PRESETS["groq"].default_model),
        ('[[keys]]\nprovider = "vllm"', {}, ""),
    ],
)
def test_the_default_model_is_the_one_that_is_named_or_the_first_keys(tmp_path, text, environment, model):
    file = tmp_path / "rsql.toml"
    file.write_text(text)

    assert load_settings(file, environment).default_model == model


def test_a_key_of_a_preset_is_enough_to_be_answered():
    assert all(preset.default_model for preset in PRESETS.values() if preset.variable)
    assert {name for name, preset in PRESETS.items() if not preset.variable} == {
        "llamacpp",
        "offline",
        "ollama",
        "vllm",
    }


@pytest.mark.parametrize(("content", "words"), [(None, "cannot be read"), (b"\xff\xfe\x00", "not UTF-8")])
def test_a_file_that_cannot_be_read_is_named(tmp_path, content, words):
    file = tmp_path / "rsql.toml"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(ConfigError, match=words) as refused:
        load_settings(file, {})

    assert str(file) in refused.value.message


def test_no_file_and_no_key_is_the_default():
    assert load_settings("", {}).pool == Settings().pool


def test_lines_survive_strings_comments_and_nesting():
    text = (
        'a = """one # not a comment\n[b]\n"""\n'  # 1..3
        "'c.d'.\"e\" = [ # 4\n  1.5, # 5\n  { f = [\n '''x\ny''', 1979-05-27 07:32:00,\n 2] }, # 6..9\n]\n"  # 4..10
        '[g] # 11\nh = "\\"]" # 12\n[[g.i]] # 13\n[g.i.j] # 14\nk = 1\n[[g.i]] # 16\nl = {m.n = 1, o = "}"}'  # 11..17
    )

    lines = line_numbers(text)

    assert {place: lines[place] for place in lines if place[-1] in ("a", "e", 1, "f", "h", "k", "n", "o")} == {
        ("a",): 1,
        ("c.d", "e"): 4,
        ("c.d", "e", 1): 6,
        ("c.d", "e", 1, "f"): 6,
        ("c.d", "e", 1, "f", 1): 8,
        ("g", "h"): 12,
        ("g", "i", 0, "j", "k"): 15,
        ("g", "i", 1): 16,
        ("g", "i", 1, "l", "m", "n"): 17,
        ("g", "i", 1, "l", "o"): 17,
    }


def test_prices_and_the_ledgers_name_and_zone():
    settings = read_settings(
        '[storage]\ninstance = "a"\ntime_zone = "America/Los_Angeles"\n'
        '[prices]\nworst_input = 5\n[prices.models."vllm/qwen"]\ninput = 0.2\noutput = 0.8\ncached_input = 0',
        {},
    )
    assert (settings.storage.instance, settings.storage.time_zone) == ("a", "America/Los_Angeles")
    assert settings.prices == PriceSettings(5.0, 120.0, (("vllm/qwen", ModelPrice(0.2, 0.8, 0.0)),))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[storage]\n\ntime_zone = "Mars"', "line 3: 'time_zone' of [storage] must be a time zone"),
        ('[prices.models."m"]\ninput = 1', "line 1: [prices.models.m] needs 'output', in US dollars"),
        ("[prices]\nworst_input = -1", "line 2: 'worst_input' in [prices] must be 0 or more"),
        ("[prices]\nworst = 1", "line 2: unknown name 'worst' in [prices]"),
    ],
)
def test_a_wrong_price_or_zone_is_refused(text, words):
    with pytest.raises(ConfigError) as refused:
        read_settings(text, {})
    assert words in str(refused.value)
