"""What is added to the gateway is added in one place, and then works everywhere."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import httpx
import pytest
from cryptography.fernet import Fernet

from jupyter_server_ext.app import assembly
from jupyter_server_ext.config import PRESETS, Limit, Preset, Secret, load_settings, presets_table
from jupyter_server_ext.config import settings as definitions
from jupyter_server_ext.errors import ConfigError
from jupyter_server_ext.handlers import ROUTES, console_sections
from jupyter_server_ext.handlers.base import GatewayHandler
from jupyter_server_ext.handlers.console_sections import ConsoleSection, sections_table
from jupyter_server_ext.handlers.requests import json_object, required_text
from jupyter_server_ext.handlers.routes import Route
from jupyter_server_ext.identity import needs_scope
from jupyter_server_ext.webhooks import EVENTS, EventType, events_table
from jupyter_server_ext.webhooks.watch import event

if TYPE_CHECKING:
    from pathlib import Path

ACME = Preset(
    "https://api.acme.test/v1",
    variable="ACME_API_KEY",
    default_model="anvil-1",
    limits=(Limit(7, "requests", 60.0),),
    stream_usage=False,
    error_codes={"purse_empty": "quota_exhausted"},
    free=True,
    source="https://acme.test/docs/limits",
)


@pytest.mark.asyncio
async def test_a_provider_is_one_record(monkeypatch, served):
    monkeypatch.setitem(PRESETS, "acme", ACME)
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        if "two" in request.headers["authorization"]:
            error = {"error": {"code": "purse_empty", "message": "Pay, please."}}
            return httpx.Response(400, json=error, headers={"retry-after": "30"})
        message = {"role": "assistant", "content": "Meep."}
        usage = {"prompt_tokens": 1, "completion_tokens": 1}
        return httpx.Response(200, json={"choices": [{"index": 0, "message": message}], "usage": usage})

    settings = load_settings(None, {"ACME_API_KEYS": "one,two"})
    async with served(settings, fake=False, transport=httpx.MockTransport(answer)) as gateway:
        replies = [await gateway.ask() for _ in range(4)]
        keys = (await gateway.get("admin/api/keys", "owner-token")).json()["keys"]

    assert [reply.json()["rsql"]["model"] for reply in replies] == ["anvil-1"] * 4
    assert {str(request.url) for request in asked} == {"https://api.acme.test/v1/chat/completions"}
    assert {json.loads(request.content)["model"] for request in asked} == {"anvil-1"}
    assert {reply.json()["rsql"]["cost_usd"] for reply in replies} == {None}, "it is free"
    assert len(asked) == 5, "an empty purse is asked once"
    assert {key["key"] for key in keys} == {"acme-1", "acme-2"}
    assert "| `acme` | `ACME_API_KEY` | `anvil-1` | https://acme.test/docs/limits |" in presets_table()


def test_the_file_knows_a_provider_that_was_added(monkeypatch, tmp_path):
    monkeypatch.setitem(PRESETS, "acme", ACME)
    file = tmp_path / "rsql.toml"
    file.write_text('[[keys]]\nprovider = "acme"')

    with pytest.raises(
        ConfigError, match=r'line 1: \[\[keys\]\] needs a \'key\', for example key = "\$\{ACME_API_KEY\}"'
    ):
        load_settings(file, {})
    file.write_text('[[keys]]\nprovider = "acne"\nkey = "k"')
    with pytest.raises(ConfigError, match=r"line 2: .* is no preset \(.*acme.*\)"):
        load_settings(file, {})


class Greeting(GatewayHandler):
    """``greetings/{name}``."""

    @needs_scope("chat")
    def get(self, name: str) -> None:
        """Greet somebody.

        In few words.
        """
        self.reply({"greeting": f"Hello {name}"})

    @needs_scope("admin")
    def post(self, name: str) -> None:
        """Greet somebody in words of your own."""
        self.reply({"greeting": f"{required_text(json_object(self.body), 'words')} {name}"}, status=201)


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_route_is_one_row(monkeypatch, served):
    schema = {"required": ["words"], "properties": {"words": {"type": "string"}}}
    monkeypatch.setattr(assembly, "ROUTES", (*ROUTES, Route("greetings/{name:[a-z]+}", Greeting, schema)))

    async with served() as gateway:
        path = "greetings/ada"
        assert (await gateway.get(path)).json() == {"greeting": "Hello ada"}
        assert (await gateway.get(path, "")).status_code == 401
        assert (await gateway.ask({"words": "Hi"}, path=path)).status_code == 403, "another scope"
        made = await gateway.ask({"words": "Hi"}, "owner-token", path)
        assert (made.status_code, made.json()) == (201, {"greeting": "Hi ada"})
        refused = await gateway.ask({}, "owner-token", path)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "words")
        assert (await gateway.get("greetings/ADA")).status_code == 404

        described = (await gateway.get("openapi.json")).json()["paths"]["/greetings/{name}"]
        assert (described["get"]["summary"], described["get"]["description"]) == ("Greet somebody.", "In few words.")
        assert described["get"]["parameters"][0]["name"] == "name"
        assert described["post"]["security"] == [{"token": ["admin"]}]
        body = described["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert body == {"type": "object", **schema}
        assert "greetings/{name}" in (await gateway.get("docs")).text
        assert 'route="greetings/{name}"' in (await gateway.get("metrics")).text


@dataclasses.dataclass(frozen=True, slots=True)
class PoolSettings(definitions.PoolSettings):
    """With one setting more."""

    coffee_breaks: int = 2


def written(folder: Path, text: str) -> Path:
    file = folder / "rsql.toml"
    file.write_text(text)
    return file


def test_a_setting_is_one_field(monkeypatch, tmp_path):
    monkeypatch.setattr(definitions, "PoolSettings", PoolSettings)

    assert load_settings(written(tmp_path, "[pool]\nattempts = 4\ncoffee_breaks = 5"), {}).pool.coffee_breaks == 5
    assert load_settings(written(tmp_path, "[pool]\nattempts = 4"), {}).pool.coffee_breaks == 2
    for value, words in (
        ('"many"', r"line 3: 'coffee_breaks' in \[pool\] must be a whole number, not text\."),
        ("-1", r"line 3: 'coffee_breaks' in \[pool\] must be 0 or more\."),
    ):
        with pytest.raises(ConfigError, match=words):
            load_settings(written(tmp_path, f"[pool]\nattempts = 4\ncoffee_breaks = {value}"), {})
    with pytest.raises(
        ConfigError, match=r"line 2: unknown name 'cofee_breaks' in \[pool\]; did you mean 'coffee_breaks'\?"
    ):
        load_settings(written(tmp_path, "[pool]\ncofee_breaks = 1"), {})


@pytest.mark.asyncio
async def test_a_webhook_event_is_one_record(monkeypatch, served):
    """It can be asked for, is told by its rules, and stands in the reply that the console shows and in the docs."""
    monkeypatch.setitem(EVENTS, "coffee.empty", EventType("the pot is empty", "each hour", 3600.0, of_tenants=True))
    async with served() as gateway:
        told = (await gateway.get("admin/api/webhooks", "owner-token")).json()["events"]
        assert {"type": "coffee.empty", "when": "the pot is empty"} in told
        body = {"url": "https://hooks.example.org/x", "events": ["coffee.empty"]}
        made = await gateway.ask(body, "owner-token", "admin/api/webhooks")
        assert (made.status_code, made.json()["events"]) == (201, ["coffee.empty"])
        hooks = gateway.app.webhooks
        for _ in range(2):
            hooks.tell(event("coffee.empty", "kitchen", {"cups": 0}))
        hooks.tell(event("key.cooling", "groq-1", {}))
        [waiting] = hooks._pending
        assert (waiting.event, json.loads(waiting.body)["data"]) == ("coffee.empty", {"cups": 0})
        wrong = await gateway.ask(body | {"events": ["coffee.full"]}, "owner-token", "admin/api/webhooks")
        assert "coffee.empty" in wrong.json()["error"]["message"]
    assert "| `coffee.empty` | the pot is empty | each hour |" in events_table()


@pytest.mark.asyncio
async def test_a_section_of_the_console_is_one_record(monkeypatch, served):
    coffee = ConsoleSection("coffee", "Coffee", "how full the pot is", needs="admin/api/jobs")
    monkeypatch.setattr(console_sections, "SECTIONS", (*console_sections.SECTIONS, coffee))
    async with served() as gateway:
        assert (await gateway.get("me", "owner-token")).json()["sections"][-1] == {"name": "coffee", "title": "Coffee"}
        assert (await gateway.get("me")).json()["sections"] == [], "who asks only sees none"
    assert "| Coffee | how full the pot is |" in sections_table()


@pytest.mark.asyncio
async def test_a_kind_of_file_is_one_word(monkeypatch, served, tmp_path):
    monkeypatch.setattr("jupyter_server_ext.pipeline.sessions.sessions.FILE_KINDS", ("table", "podcast"))
    ledger, seal = f"sqlite:///{tmp_path / 'ledger.db'}", Secret(Fernet.generate_key().decode())
    storage = definitions.StorageSettings(ledger=ledger, instance="one", prompt_keys=(seal,))
    async with served(definitions.Settings(default_model="m", storage=storage)) as gateway:
        token, url = {"Authorization": "Bearer owner-token"}, gateway.url
        talk = {"title": "Delays", "pairs": [{"question": "Why?", "answer": "Rain."}]}
        made = await gateway.client.put(f"{url}sessions/c1", json=talk, headers=token)
        assert made.status_code == 200, made.text
        sent = {"kind": "podcast", "name": "talk.mp3", "data": "SUQz"}
        kept = await gateway.client.post(f"{url}sessions/c1/artifacts", json=sent, headers=token)
        assert kept.status_code in {200, 201}, kept.text
        read = await gateway.client.get(f"{url}download/podcast/{kept.json()['id']}", headers=token)
        assert read.content == b"ID3"
        refused = await gateway.client.post(f"{url}sessions/c1/artifacts", json=sent | {"kind": "sql"}, headers=token)
        assert refused.json()["error"]["message"] == "'kind' must be one of: table, podcast."
