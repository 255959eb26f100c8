"""What callers send, in headers, paths and names, comes back in no header that is more than one, or in none at all."""

from __future__ import annotations

import random
import re
from base64 import b64encode
from urllib.parse import quote, unquote

import pytest
from cryptography.fernet import Fernet

from jupyter_server_ext.config import Secret, Settings, StorageSettings

pytestmark = pytest.mark.asyncio

SIGNS = ["\r\n", "\n", "\r", "\0", "\t", "\x7f", "\x85", "é", "ключ", "名", "\u2028", "\u202e", "\U0001f600", '"', "\\"]
SIGNS += [";", "=", ",", " ", "'", "%0d%0a", "%00", "/", "..", ":", "<", ">", "{", "*=UTF-8''", "\r\nSet-Cookie: x=y"]
SENT = ["X-RSQL-Session", "X-RSQL-Task", "X-RSQL-Whole", "Idempotency-Key", "traceparent", "X-Request-Id", "Origin"]
SENT += ["If-None-Match", "If-Match", "Accept", "Range", "X-Forwarded-For", "Cookie", "User-Agent", "X-RSQL-Page"]
ROUTES = ["health", "v1/models", "stats", "sessions", "admin", "connections", "nothing", "download/table/1"]
RANDOM = random.Random(33)


def odd_text():
    parts = RANDOM.choices([*SIGNS, "a", "b7", "x.csv"], k=RANDOM.randint(1, 4))
    return "".join(parts)


def wrong_headers(reply, *, looks_for=("set-cookie",)):
    """Headers of a reply that a client could read as something else."""
    return [
        (name, value)
        for name, value in reply.headers.raw
        if not re.fullmatch(rb"[\x20-\x7e]*", value) or name.decode().lower() in looks_for
    ]


async def test_odd_values_in_headers_and_bodies_come_back_in_no_header(served):
    async with served() as gateway:
        failed = []
        for number in range(400):
            text, header = odd_text(), RANDOM.choice(SENT)
            # What cannot be sent in a header by anybody is sent in the body only.
            raw = text.encode() if not set(text) & {"\r", "\n", "\0"} else b"x"
            headers = {b"Authorization": b"Bearer ada-token", header.encode(): raw.strip()}
            if number % 2:
                body = {"message": "Hi", RANDOM.choice(["session_id", "model", "user", "task"]): text}
                reply = await gateway.client.post(RANDOM.choice(["chat", "v1/embeddings"]), headers=headers, json=body)
            else:
                path = f"{RANDOM.choice(ROUTES)}{RANDOM.choice(['', '/' + quote(text, safe=''), '?a=' + quote(text)])}"
                reply = await gateway.client.get(path, headers=headers)
            if reply.status_code >= 500 or wrong_headers(reply):
                failed.append((header, text, reply.status_code, wrong_headers(reply)))
        assert failed == []


@pytest.mark.slow
async def test_a_file_has_the_name_in_its_header_that_it_was_given(served, tmp_path):
    storage = StorageSettings(
        ledger=f"sqlite:///{tmp_path / 'ledger.db'}", prompt_keys=(Secret(Fernet.generate_key().decode()),)
    )
    async with served(Settings(storage=storage)) as gateway:
        headers, wrong = {"Authorization": "Bearer ada-token"}, []
        await gateway.client.put("sessions/c1", headers=headers, json={"title": "t", "pairs": []})
        names = [*SIGNS, "\ud800", "CON", "a" * 300, *(odd_text() for _ in range(40))]
        for name in names:
            sent = {"kind": "table", "name": name, "media": "text/csv", "data": b64encode(b"x").decode()}
            body = (
                b'{"kind": "table", "name": "\\ud800", "media": "text/csv", "data": "eA=="}'
                if name == "\ud800"
                else b""
            )
            made = await gateway.client.post(
                "sessions/c1/artifacts", headers=headers, **({"content": body} if body else {"json": sent})
            )
            if made.status_code == 400:
                continue
            assert made.status_code == 201, (name, made.text)
            reply = await gateway.client.get(f"download/table/{made.json()['id']}", headers=headers)
            told = reply.headers["Content-Disposition"]
            encoded = re.fullmatch(r"attachment; filename\*=UTF-8''([A-Za-z0-9._~%-]+)", told)
            if not encoded or unquote(encoded[1]) != made.json()["name"] or wrong_headers(reply):
                wrong.append((name, told))
        assert wrong == []
