"""A gateway as its administrators find it: courses, students, keys of which one is dead, and eight days of requests.

    with world(folder) as town:
        town.url, town.tokens["admin"]

It runs in a thread of its own, over a provider that is played.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
from callers import EVERYTHING, PERSON, TEACHER
from cryptography.fernet import Fernet
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port

from jupyter_server_ext.app.assembly import build_app
from jupyter_server_ext.app.serve import web_application
from jupyter_server_ext.config import CallerLimits, KeySettings, Limit, PriceSettings, Secret, Settings, StorageSettings
from jupyter_server_ext.config.settings import ApiKeySettings, ModelPrice, TenantSettings
from jupyter_server_ext.ledger import SqlLedgerStore
from jupyter_server_ext.messages import Caller, Entry, TokenUsage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

OWNER = Caller("owner", scopes=EVERYTHING)
COURSES = {
    "stats101": ["ada", "bela", "chen", "dilek", "emma", "finn", "gita"],
    "econometrics": ["hugo", "ines", "jonas", "kemi"],
    "genomics-lab": ["lars", "mia", "noor"],
}
TABLES = {"stats101": "flights,weather", "econometrics": "panel,wages", "genomics-lab": "variants,samples"}
LIMITS = (Limit(30, "requests", 60.0), Limit(1_000, "requests", 86_400.0), Limit(6_000, "tokens", 60.0))
DEAD = "key-that-was-revoked"


@dataclass
class Town:
    """What a test needs of it."""

    url: str  # the gateway's, with a slash at its end
    tokens: dict[str, str]
    app: Any
    loop: asyncio.AbstractEventLoop
    asked: list[str] = field(default_factory=list)  # keys that the provider was asked with

    def ask(self, token: str, text: str = "How many flights left JFK?", **more: Any) -> httpx.Response:
        """Ask as a notebook does."""
        body = {"messages": [{"role": "user", "content": text}], "model": "llama-70b", **more}
        return self.send("POST", "v1/chat/completions", token, body)

    def batch(self, token: str, lines: int) -> str:
        """Make a job of so many requests; its id."""
        line = {"method": "POST", "url": "/v1/chat/completions", "body": {"messages": [], "model": "gpt-none"}}
        texts = [json.dumps({"custom_id": f"row-{number}", **line}) for number in range(lines)]
        headers = {"Authorization": f"Bearer {token}"}
        files = {"file": ("rows.jsonl", "\n".join(texts).encode())}
        file = httpx.post(
            f"{self.url}v1/files", headers=headers, data={"purpose": "batch"}, files=files, trust_env=False
        )
        made = {"input_file_id": file.json()["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
        return self.send("POST", "v1/batches", token, made).json()["id"]

    def send(self, method: str, path: str, token: str, body: Any = None) -> httpx.Response:
        """Ask a route."""
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.request(method, self.url + path, headers=headers, json=body, trust_env=False, timeout=240)


def history(now: float, days: int = 8, seed: int = 7) -> list[Entry]:
    """Requests of a class: by day, with failures, refusals and one student who asks far too much."""
    draw, found = random.Random(seed), []
    people = [(name, course) for course, names in COURSES.items() for name in names]
    for number in range(220 * days):
        at = now - draw.random() ** 1.3 * days * 86_400
        caller, course = people[min(int(draw.expovariate(0.22)), len(people) - 1)]
        model, price = draw.choice([("llama-70b", 900), ("llama-70b", 900), ("gpt-small", 2_400)])
        prompt, answer = draw.randint(500, 2_600), draw.randint(40, 500)
        cost = (TokenUsage(prompt, answer), price)
        found.append(_entry(draw, (f"req-{number:05d}", at, caller, course), model, *cost))
    for number in range(160):  # who burns the budget: a loop over rows, with the dear model
        at, usage = now - number * 40.0, TokenUsage(9_000, 1_200)
        found.append(_entry(draw, (f"loop-{number:04d}", at, "jonas", "econometrics"), "gpt-large", usage, 15_000))
    for number in range(9):  # and who gets no answers
        words = "There is no model 'gpt-lagre' for you. There are: gpt-small, llama-70b."
        found.append(
            Entry(
                f"noor-{number}",
                now - number * 130.0,
                "noor",
                "genomics-lab",
                "ask",
                "gpt-lagre",
                status=404,
                error="model_not_found",
                error_text=words,
                duration_seconds=0.01,
            )
        )
    return sorted(found, key=lambda entry: entry.at)


def strange(text: str, number: int, tenant: str) -> Entry:
    """A request of which every text that anybody can make up is this one."""
    names = {"caller": text, "model": text, "session": text, "client_id": text, "error_text": text, "tables": text}
    how = {"status": 502, "error": "upstream_failed", "attempts": 1, "key": text, "question": f"q-{number}"}
    return Entry(f"xss-{number}", time.time() - 50, tenant=tenant, **names, **how)


def _entry(draw: random.Random, who: tuple[str, float, str, str], model: str, usage: TokenUsage, price: int) -> Entry:
    status, error, words = draw.choices(
        [
            (200, "", ""),
            (429, "rate_limit_exceeded", "Your limit of 20 requests per minute is reached. Try again in 12 s."),
            (502, "upstream_failed", "The provider failed."),
            (504, "upstream_timeout", "The provider did not answer in time."),
        ],
        [94, 3, 2, 1],
    )[0]
    took = draw.lognormvariate(0.6, 0.6)
    answered = status == 200
    return Entry(
        *who,
        draw.choice(["sql_ai", "sql_ai", "ask", "repair", "chat"]),
        model,
        draw.choice(["groq-1", "groq-2", "azure-1"]) if status != 429 else "",
        usage if answered else TokenUsage(),
        usage.total_tokens * price if answered else 0,
        status=status,
        error=error,
        error_text=words,
        attempts=0 if status == 429 else 1,
        queue_seconds=max(0.0, draw.gauss(0.1, 0.3)),
        upstream_seconds=took,
        first_token_seconds=took * 0.3 if answered else None,
        duration_seconds=took + 0.2,
        session=f"{who[2]}-nb{draw.randint(1, 3)}",
        question=f"q-{draw.randint(1, 60)}",
        tables=TABLES[who[3]],
    )


def zone_at_noon() -> str:
    """A time zone in which it is between twelve and one: what was spent an hour ago was spent today, at any hour."""
    ahead = 12 - int(time.time() // 3_600 % 24)
    return f"Etc/GMT{-ahead:+d}"  # POSIX counts westwards


def settings(folder: Path, zone: str) -> Settings:
    """The configuration."""
    keys = (
        KeySettings("groq", Secret("gsk-one"), "http://provider.invalid/v1", "groq-1", limits=LIMITS),
        KeySettings("groq", Secret("gsk-two"), "http://provider.invalid/v1", "groq-2", limits=LIMITS),
        KeySettings("azure", Secret("az-one"), "http://provider.invalid/v1", "azure-1", limits=LIMITS[:1]),
        KeySettings("groq", Secret(DEAD), "http://provider.invalid/v1", "groq-old", limits=LIMITS),
    )
    people = [
        ApiKeySettings(name, Secret(f"{name}-token"), course, PERSON)
        for course, names in COURSES.items()
        for name in names
    ]
    teacher = ApiKeySettings("prof-lin", Secret("teacher-token"), "stats101", TEACHER)
    tenants = (
        TenantSettings("stats101", weight=2.0, models=("llama-70b", "gpt-small"), system_prompt="Give hints first."),
        TenantSettings("econometrics", limits=CallerLimits(usd_per_day=30.0)),
        TenantSettings("genomics-lab"),
    )
    sealing = Secret(Fernet.generate_key().decode())
    ledger = f"sqlite:///{folder / 'ledger.db'}"
    storage = StorageSettings(ledger=ledger, instance="one", prompt_keys=(sealing,), spool=str(folder), time_zone=zone)
    return Settings(
        default_model="llama-70b",
        keys=keys,
        api_keys=(*people, teacher),
        tenants=tenants,
        caller=CallerLimits(requests_per_minute=20, requests_per_day=400),
        everyone=CallerLimits(concurrency=100, usd_per_month=400.0),
        storage=storage,
        prices=PriceSettings(models=(("llama-70b", ModelPrice(0.9, 0.9)), ("gpt-large", ModelPrice(15.0, 15.0)))),
    )


@contextmanager
def world(folder: Path, more: Sequence[Entry] = (), base: str = "/services/rsql/") -> Iterator[Town]:
    """The gateway with its past and ``more``, until the block ends."""
    configured = settings(folder, zone_at_noon())
    kept = configured.storage
    with closing(SqlLedgerStore(kept.ledger, instance=kept.instance, zone=kept.time_zone)) as store:
        store.finish([*history(time.time() - 5), *more])
        store.analytics.fold()
    asked: list[str] = []

    def provider(request: httpx.Request) -> httpx.Response:
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        asked.append(key)
        if key == DEAD:
            return httpx.Response(401, json={"error": {"message": "Invalid API Key", "code": "invalid_api_key"}})
        if request.method == "GET":
            return httpx.Response(200, json={"data": []})
        model = json.loads(request.content)["model"]
        choice = {"index": 0, "message": {"role": "assistant", "content": "111,279."}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 900, "completion_tokens": 12, "total_tokens": 912}
        return httpx.Response(200, json={"id": "c", "model": model, "choices": [choice], "usage": usage})

    started: dict[str, Any] = {}
    ready = threading.Event()

    async def serve() -> None:
        app = build_app(configured, [(Secret("owner-token"), OWNER)], base, transport=httpx.MockTransport(provider))
        server = HTTPServer(web_application(app))
        socket, port = bind_unused_port()
        server.add_socket(socket)
        looking = asyncio.create_task(app.follow())
        ended = asyncio.Event()
        started.update(app=app, url=f"http://127.0.0.1:{port}{base}", loop=asyncio.get_running_loop(), end=ended.set)
        ready.set()
        await ended.wait()
        looking.cancel()
        server.stop()
        await server.close_all_connections()  # of pages that still look
        await app.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert ready.wait(60)
    names = {name: f"{name}-token" for names in COURSES.values() for name in names}
    town = Town(started["url"], {"admin": "owner-token", "teacher": "teacher-token", **names}, started["app"],
                started["loop"], asked)  # fmt: skip
    try:
        yield town
    finally:
        town.loop.call_soon_threadsafe(started["end"])
        thread.join(60)
