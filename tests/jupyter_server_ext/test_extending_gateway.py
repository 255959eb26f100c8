"""Plug-ins of the gateway: the examples of docs/extending.md, plug-ins that fail, and what none of them can weaken."""

from __future__ import annotations

import asyncio
import json
import os

import httpx
import pytest
from plugged_school import of_page
from waiting import eventually

from jupyter_server_ext.app.subcommands import check_config
from jupyter_server_ext.config import PRESETS, Preset, add_plugged, load_settings
from jupyter_server_ext.plugins import left_out
from jupyter_server_ext.webhooks import Event
from jupyter_server_ext.webhooks.sinks import Sinks
from rsql_magic.plugins import GROUPS, OF_KERNEL

SECRET = "sk-live-0123456789abcdefghij"
OF_GATEWAY = sorted({*GROUPS} - {*OF_KERNEL})

pytestmark = pytest.mark.filterwarnings("ignore:.* was left out:UserWarning")


@pytest.fixture
def school(plug_ins):
    """The package of docs/extending.md."""
    plug_ins(*of_page())


def answered(asked):
    """A provider that answers each request, and keeps it."""

    def answer(request):
        asked.append(request)
        message = {"role": "assistant", "content": "Meep."}
        return httpx.Response(200, json={"choices": [{"index": 0, "message": message}], "usage": {"prompt_tokens": 1}})

    return httpx.MockTransport(answer)


@pytest.mark.asyncio
async def test_a_provider(school, served, tmp_path):
    asked = []
    settings = load_settings(None, {"SCHOOL_LLM_KEY": "one"})
    async with served(settings, fake=False, transport=answered(asked)) as gateway:
        reply = (await gateway.ask()).json()
    assert reply["rsql"]["model"] == "course-model"
    assert {str(request.url) for request in asked} == {"https://llm.school.example/v1/chat/completions"}
    file = tmp_path / "rsql.toml"
    file.write_text('[[keys]]\nprovider = "school"\nkey = "two"')
    [key] = load_settings(file, {}).keys
    assert key.provider == "school"


@pytest.mark.asyncio
async def test_a_sink_of_events(school, served, tmp_path, monkeypatch):
    lines = tmp_path / "events.jsonl"
    monkeypatch.setenv("SCHOOL_EVENTS", str(lines))
    async with served() as gateway:
        telling = asyncio.create_task(gateway.app.webhooks.run())
        await asyncio.to_thread(eventually, lambda: bool(gateway.app.webhooks.sinks))
        event = Event("key.cooling", "groq-1", {"key": "groq-1"}, every=900.0)
        gateway.app.webhooks.tell(event)
        gateway.app.webhooks.tell(event)
        await asyncio.to_thread(eventually, lambda: lines.exists() and lines.read_text().endswith("\n"))
        telling.cancel()
        await gateway.app.webhooks.close()
    [told] = map(json.loads, lines.read_text().splitlines())
    assert (told["type"], told["data"]) == ("key.cooling", {"key": "groq-1"})
    assert set(told) == {"type", "timestamp", "data"}


FAULTS = {
    "missing": ("the module acme_sdk_that_is_missing is missing", "import acme_sdk_that_is_missing"),
    "raises": ("it raised RuntimeError", f"raise RuntimeError('cannot reach {SECRET}')"),
    "exits": ("it raised SystemExit", "import sys; sys.exit(3)"),
    "number": ("it is no", "THING = 7"),
    "class": ("it is no", "class THING: pass"),
}


@pytest.mark.parametrize("group", OF_GATEWAY)
@pytest.mark.parametrize("fault", FAULTS)
def test_what_fails_is_named_by_config_check(group, fault, plug_ins, capsys, monkeypatch):
    monkeypatch.setenv("SCHOOL_LLM_KEY", SECRET)
    reason, code = FAULTS[fault]
    entries, modules = of_page()
    broken = {**entries[group], "broken": "plugged_hostile:THING"}
    plug_ins({**entries, group: broken}, modules | {"plugged_hostile.py": code})
    check_config(["check"])
    out = capsys.readouterr().out
    assert f"warning: The {GROUPS[group]} broken of rsql-school 1.0 was left out: {reason}" in out
    assert "key school-1: school" in out, "the others are there"
    assert SECRET not in out


@pytest.mark.asyncio
async def test_health_says_that_one_is_left_out(plug_ins, served):
    async with served() as gateway:
        assert (await gateway.get("health")).json()["status"] == "ok"
        code = f"raise OSError('{SECRET}')"
        plug_ins({"rsql.providers": {"broken": "plugged_hostile:THING"}}, {"plugged_hostile.py": code})
        add_plugged()
        told = await gateway.get("health", "")
        assert told.json()["checks"] == {"keys": "ok", "plugins": "degraded"}
        assert told.status_code == 200
        assert SECRET not in told.text
        assert "broken" not in told.text, "what is installed is nobody's business"
        assert (await gateway.get("admin/api/health", "owner-token")).json()["plugins"] == list(left_out())


PRESET = "from jupyter_server_ext.config import Limit, Preset\nTHING = Preset({})"
PROVIDERS = {
    "'https://acme.test/v1', variable='OPENAI_API_KEY'": "its 'variable' is none of its own",
    "'https://acme.test/v1', variable='OPENAI_API_KEYS'": "its 'variable' is none of its own",
    "'https://acme.test/v1', variable='JUPYTERHUB_API_TOKEN'": "its 'variable' is none of its own",
    "'https://acme.test/v1', variable='JUPYTER_TOKEN'": "its 'variable' is none of its own",
    "'https://ann:hunter2@acme.test/v1'": "its addresses begin with",
    "'ftp://acme.test/v1'": "its addresses begin with",
    "''": "it has no 'base_url'",
    "7": "its 'base_url' is of another type",
    "'https://acme.test/v1', limits=[Limit(1, 'requests', 1.0)]": "its 'limits' is of another type",
    "'https://acme.test/v1', limits=(Limit(0, 'requests', 1.0),)": "its 'limits' are no",
    "'https://acme.test/v1', limits=(60,)": "its 'limits' are no",
    "'https://acme.test/v1', models=(7,)": "its 'models' and",
    "'https://acme.test/v1', takes_values=True": "only the offline model is sent values",
}


@pytest.mark.parametrize("arguments", PROVIDERS)
def test_what_a_provider_may_not_declare(arguments, plug_ins):
    known = dict(PRESETS)
    plug_ins({"rsql.providers": {"acme": "plugged_hostile:THING"}}, {"plugged_hostile.py": PRESET.format(arguments)})
    add_plugged()
    [said] = left_out()
    assert said.startswith(f"The provider acme of rsql-school 1.0 was left out: {PROVIDERS[arguments]}")
    assert "hunter2" not in said
    assert known == PRESETS


def test_a_provider_replaces_none_and_shares_no_key(plug_ins):
    one = PRESET.format("'https://acme.test/v1', variable='ACME_KEY'")
    entries = dict.fromkeys(("openai", "acme", "other"), "plugged_hostile:THING")
    known = dict(PRESETS)
    plug_ins({"rsql.providers": entries}, {"plugged_hostile.py": one})
    add_plugged()
    assert {name: PRESETS[name] for name in known} == known
    assert set(PRESETS) - set(known) == {"acme"}
    assert len(left_out()) == 2
    assert {key.provider for key in load_settings(None, {"ACME_KEY": "one"}).keys} == {"acme"}


def test_an_unknown_failure_of_a_provider_is_taken_by_its_status():
    from jupyter_server_ext.upstream.failures import classify

    body = b'{"error": {"code": "purse", "message": "no"}}'
    assert classify(429, body, None, {"purse": "bogus"}).kind == classify(429, body, None, {}).kind
    assert Preset("https://acme.test").error_codes == {}


SINKS = """
import os, threading
SEEN = []
GO = threading.Event()
def raises(event):
    raise KeyError(os.environ["SECRET"])
def changes(event):
    event["data"]["key"] = "changed"
    SEEN.append(threading.current_thread().name)
def exits(event):
    raise SystemExit
def hangs(event):
    GO.wait()
def sees(event):
    SEEN.append(event)
"""


def test_a_sink_that_fails_or_hangs_harms_nobody(plug_ins, monkeypatch):
    monkeypatch.setenv("SECRET", SECRET)
    names = ("changes", "exits", "hangs", "raises", "sees")
    plug_ins({"rsql.event_sinks": {name: f"plugged_hostile:{name}" for name in names}}, {"plugged_hostile.py": SINKS})
    sinks, body = Sinks(), {"type": "key.cooling", "timestamp": "", "data": {"key": "groq-1"}}
    sinks.load()
    import plugged_hostile

    for number in range(3):
        sinks.tell(f"event {number}", body)
        sinks.tell(f"event {number}", body)
    sinks.close()
    assert [each for each in plugged_hostile.SEEN if isinstance(each, dict)] == [body] * 3
    assert body["data"] == {"key": "groq-1"}, "each has a copy of its own"
    assert {each for each in plugged_hostile.SEEN if isinstance(each, str)} == {"rsql-sink-changes"}
    assert [said.split(": ")[1] for said in left_out()] == ["it raised SystemExit.", "it raised KeyError."]
    assert SECRET not in str(left_out())
    plugged_hostile.GO.set()
    assert os.environ["SECRET"] == SECRET


def test_a_sink_that_is_too_slow_loses_events_and_is_named(plug_ins, monkeypatch):
    monkeypatch.setattr("jupyter_server_ext.webhooks.sinks._MOST_WAITING", 10)
    plug_ins({"rsql.event_sinks": {"hangs": "plugged_hostile:hangs"}}, {"plugged_hostile.py": SINKS})
    sinks = Sinks()
    sinks.load()
    for number in range(20):
        sinks.tell(str(number), {"type": "key.cooling", "timestamp": "", "data": {}})
    assert "10 events wait for it" in str(left_out())
    import plugged_hostile

    plugged_hostile.GO.set()
    sinks.close()
