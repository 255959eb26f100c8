"""Conversations that callers keep at the gateway: theirs alone, sealed, within a quota, shared by a link."""

from __future__ import annotations

import hashlib
import json
import random
import threading
from base64 import b64encode
from contextlib import asynccontextmanager
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import markdown_replies
import pytest
from callers import PERSON, TEACHER
from cryptography.fernet import Fernet
from e2e import xss

from jupyter_server_ext.config import Secret, SessionSettings, Settings, StorageSettings
from jupyter_server_ext.config.settings import ApiKeySettings

pytestmark = pytest.mark.asyncio

TALK = {"title": "Delays", "notebook": "~/delays.ipynb", "pairs": [{"question": "Why hunter2?", "answer": "Rain."}]}
PEOPLE = {
    "ada": ("stats101", PERSON),
    "eve": ("stats101", PERSON),
    "tom": ("stats101", TEACHER),
    "pat": ("bio", TEACHER),
    "ann": ("", TEACHER),
}
ATTACKS = Path(__file__).parents[1] / "rsql_magic" / "markdown_cases" / "attacks.jsonl"
KEY = Secret(Fernet.generate_key().decode())


@pytest.fixture
def kept(served, tmp_path):
    """Starts a gateway that keeps conversations, of ``PEOPLE`` and an administrator, ``owner``."""

    @asynccontextmanager
    async def start(sealed=True, **sessions):
        keys = tuple(ApiKeySettings(name, Secret(f"{name}-token"), *more) for name, more in PEOPLE.items())
        storage = StorageSettings(
            ledger=f"sqlite:///{tmp_path / 'ledger.db'}", instance="one", prompt_keys=(KEY,) if sealed else ()
        )
        async with served(Settings(api_keys=keys, storage=storage, sessions=SessionSettings(**sessions))) as gateway:

            async def send(who, method, path, body=None, **headers):
                headers |= {"Authorization": f"Bearer {who}-token"}
                return await gateway.client.request(method, path, headers=headers, json=body)

            gateway.send = send
            yield gateway

    return start


def file(content, name="rows.csv", kind="table"):
    return {"kind": kind, "name": name, "media": "text/csv", "data": b64encode(content).decode()}


@pytest.mark.slow
async def test_a_conversation_follows_its_user_and_no_one_else(kept):
    async with kept() as gateway:
        sent = await gateway.send("ada", "PUT", "sessions/c1", TALK)
        assert sent.status_code == 200, sent.text
        [listed] = (await gateway.send("ada", "GET", "sessions")).json()["sessions"]
        assert (listed["id"], listed["title"], listed["pairs"], listed["notebook"]) == (
            "c1",
            "Delays",
            1,
            "~/delays.ipynb",
        )
        assert (await gateway.send("ada", "GET", "sessions/c1")).json()["pairs"] == TALK["pairs"]
        for other in ("eve", "tom", "owner"):
            assert (await gateway.send(other, "GET", "sessions")).json()["sessions"] == []
            for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/artifacts"), ("DELETE", "/share")):
                reply = await gateway.send(other, method, f"sessions/c1{path}")
                assert (reply.status_code, reply.json()["error"]["code"]) == (404, "unknown_session")
            own = await gateway.send(other, "PUT", "sessions/c1", TALK | {"title": "mine"})
            assert own.status_code == 200
        assert (await gateway.send("ada", "GET", "sessions/c1")).json()["title"] == "Delays"
        await gateway.send("ada", "PUT", "sessions/c1", TALK | {"title": "Late"})
        assert [one["title"] for one in (await gateway.send("ada", "GET", "sessions")).json()["sessions"]] == ["Late"]
        assert (await gateway.send("ada", "DELETE", "sessions/c1")).json() == {"deleted": "c1"}
        assert (await gateway.send("ada", "GET", "sessions")).json()["sessions"] == []


@pytest.mark.slow
async def test_a_conversation_that_was_changed_meanwhile_is_not_replaced(kept):
    async with kept() as gateway:

        async def put(title, **when):
            condition = {name.replace("_", "-"): value for name, value in when.items()}
            return await gateway.send("ada", "PUT", "sessions/c1", TALK | {"title": title}, **condition)

        first = await put("One", If_None_Match="*")
        assert first.status_code == 200
        tag = first.headers["etag"]
        assert tag == f'"{first.json()["changed"]!r}"'
        second = await put("Two", If_Match=tag)
        assert second.status_code == 200
        for refused in ({"If_Match": tag}, {"If_None_Match": "*"}, {"If_Match": '"x"'}, {"If_Match": "*"}):
            reply = await put("Three", **refused)
            assert (reply.status_code, reply.json()["error"]["code"]) == (412, "session_changed")
        whole = await gateway.send("ada", "GET", "sessions/c1")
        assert (whole.json()["title"], whole.headers["etag"]) == ("Two", second.headers["etag"])
        assert (await put("Three", If_Match=second.headers["etag"])).status_code == 200
        assert (await put("Four")).status_code == 200


async def test_the_list_says_what_time_it_is_here(kept):
    async with kept() as gateway:
        await gateway.send("ada", "PUT", "sessions/c1", TALK)
        told = (await gateway.send("ada", "GET", "sessions")).json()
        gateway.app.sessions.clock = lambda: 7.0
        later = (await gateway.send("ada", "GET", "sessions")).json()
        assert told["now"] >= told["sessions"][0]["changed"]
        assert later["now"] == 7.0


@pytest.mark.slow
async def test_nothing_long_is_sealed_or_opened_where_all_others_are_served(kept):
    async with kept() as gateway:
        vault, loop, here = gateway.app.sessions.vault, threading.get_ident(), []

        class Watched:
            def seal(self, text):
                here.append((len(text), threading.get_ident() == loop))
                return vault.seal(text)

            def open(self, sealed):
                here.append((len(sealed), threading.get_ident() == loop))
                return vault.open(sealed)

        gateway.app.sessions.vault = Watched()
        await gateway.send("ada", "PUT", "sessions/c1", TALK | {"pairs": [{"answer": "x" * 100_000}]})
        made = await gateway.send("ada", "POST", "sessions/c1/artifacts", file(b"x" * 100_000))
        link = (await gateway.send("ada", "POST", "sessions/c1/share")).json()["link"]
        for path in ("sessions/c1", f"download/table/{made.json()['id']}", link):
            assert (await gateway.send("ada", "GET", path)).status_code == 200
        assert [is_here for size, is_here in here if size > 50_000] == [False] * 5


@pytest.mark.slow
@pytest.mark.parametrize("size", [0, 1, 300_000])
async def test_a_file_is_downloaded_byte_for_byte(kept, size):
    content = random.Random(size).randbytes(size)
    async with kept() as gateway:
        assert (await gateway.send("ada", "POST", "sessions/c1/artifacts", file(b"x"))).status_code == 404
        await gateway.send("ada", "PUT", "sessions/c1", TALK)
        sent = file(content, 'a "ü".csv') | {"about": '{"answer": 7}'}
        made = await gateway.send("ada", "POST", "sessions/c1/artifacts", sent)
        assert made.status_code == 201, made.text
        [listed] = (await gateway.send("ada", "GET", "sessions/c1/artifacts")).json()["artifacts"]
        assert listed == made.json()
        assert (listed["name"], listed["bytes"], listed["about"]) == ('a "ü".csv', size, '{"answer": 7}')
        assert listed["digest"] == hashlib.sha256(content).hexdigest()
        path = f"download/table/{listed['id']}"
        got = await gateway.send("ada", "GET", path)
        assert got.content == content
        assert got.headers["content-disposition"] == "attachment; filename*=UTF-8''a%20%22%C3%BC%22.csv"
        assert got.headers["content-type"] == "application/octet-stream"
        for who, where in (
            ("eve", path),
            ("owner", path),
            ("ada", path.replace("table", "sql")),
            ("ada", "download/table/x"),
        ):
            assert (await gateway.send(who, "GET", where)).status_code == 404
            assert (await gateway.send(who, "DELETE", where)).status_code == 404
        assert (await gateway.send("ada", "DELETE", path)).status_code == 200
        assert (await gateway.send("ada", "GET", path)).status_code == 404


@pytest.mark.slow
async def test_a_link_is_made_seen_by_the_teacher_and_taken_back(kept):
    async with kept() as gateway:
        await gateway.send("ada", "PUT", "sessions/c1", TALK)
        made = await gateway.send("ada", "POST", "sessions/c1/share", {"days": 3})
        assert made.status_code == 201
        link = made.json()["link"]
        again = (await gateway.send("ada", "PUT", "sessions/c1", TALK)).json()
        assert again["shared_until"] == made.json()["until"], "it stays shared"
        for who in ("tom", "owner", "ada"):
            seen = (await gateway.send(who, "GET", link)).json()
            assert (seen["user"], seen["title"], seen["pairs"]) == ("ada", "Delays", TALK["pairs"])
            assert "notebook" not in seen
        for who in ("eve", "pat", "ann"):
            assert (await gateway.send(who, "GET", link)).status_code == 404
        [listed] = (await gateway.send("ada", "GET", "sessions")).json()["sessions"]
        assert listed["shared_until"] == made.json()["until"]
        again = (await gateway.send("ada", "POST", "sessions/c1/share")).json()["link"]
        assert (await gateway.send("tom", "GET", link)).status_code == 404
        assert (await gateway.send("tom", "GET", again)).status_code == 200
        assert (await gateway.send("ada", "DELETE", "sessions/c1/share")).status_code == 200
        assert (await gateway.send("tom", "GET", again)).status_code == 404
        assert (await gateway.send("ada", "GET", "sessions/c1")).status_code == 200
        for days in (0, -1, 10_000, "3", True):
            assert (await gateway.send("ada", "POST", "sessions/c1/share", {"days": days})).status_code == 400


async def test_a_link_ends_with_its_time(kept):
    async with kept() as gateway:
        await gateway.send("ada", "PUT", "sessions/c1", TALK)
        link = (await gateway.send("ada", "POST", "sessions/c1/share", {"days": 1})).json()["link"]
        now = gateway.app.sessions.clock()
        gateway.app.sessions.clock = lambda: now + 86_390
        assert (await gateway.send("tom", "GET", link)).status_code == 200
        gateway.app.sessions.clock = lambda: now + 86_410
        assert (await gateway.send("tom", "GET", link)).status_code == 404


@pytest.mark.slow
async def test_a_conversation_ends_with_its_time_and_its_files_and_link_with_it(kept):
    async with kept(days=1) as gateway:
        await gateway.send("ada", "PUT", "sessions/c1", TALK)
        made = (await gateway.send("ada", "POST", "sessions/c1/artifacts", file(b"x"))).json()
        link = (await gateway.send("ada", "POST", "sessions/c1/share")).json()["link"]
        now = gateway.app.sessions.clock()
        for later, status, listed in ((86_390, 200, 1), (86_410, 404, 0)):
            gateway.app.sessions.clock = lambda later=later: now + later
            for path in ("sessions/c1", "sessions/c1/artifacts", f"download/table/{made['id']}", link):
                assert (await gateway.send("ada", "GET", path)).status_code == status, path
            assert len((await gateway.send("ada", "GET", "sessions")).json()["sessions"]) == listed


@pytest.mark.slow
async def test_what_has_expired_is_deleted_where_nobody_writes(kept):
    async with kept(days=1) as gateway:
        now = gateway.app.sessions.clock()
        gateway.app.sessions.clock = lambda: now - 90_000
        await gateway.send("ada", "PUT", "sessions/c1", TALK)
        await gateway.send("ada", "POST", "sessions/c1/artifacts", file(b"x"))
        assert (await gateway.send("ada", "GET", "sessions/c1")).status_code == 200
        await gateway.app.accounting.ledger.tidy()
        assert (await gateway.send("ada", "GET", "sessions/c1")).status_code == 404


@pytest.mark.slow
@pytest.mark.parametrize("how", ["forget me", "an administrator"])
async def test_forgetting_takes_conversations_files_and_links_too(kept, how, tmp_path):
    async with kept() as gateway:
        for who in ("ada", "eve"):
            await gateway.send(who, "PUT", "sessions/c1", TALK)
        made = (await gateway.send("ada", "POST", "sessions/c1/artifacts", file(b"x"))).json()
        link = (await gateway.send("ada", "POST", "sessions/c1/share")).json()["link"]
        if how == "forget me":
            assert (await gateway.send("ada", "DELETE", "conversations")).status_code == 200
        else:
            assert (await gateway.send("owner", "DELETE", "admin/api/users/ada")).status_code == 200
        for path in ("sessions/c1", f"download/table/{made['id']}"):
            assert (await gateway.send("ada", "GET", path)).status_code == 404
        assert (await gateway.send("tom", "GET", link)).status_code == 404
        assert (await gateway.send("eve", "GET", "sessions/c1")).status_code == 200


async def test_nothing_of_it_can_be_read_in_the_database(kept, tmp_path):
    async with kept() as gateway:
        await gateway.send("ada", "PUT", "sessions/c1", TALK)
        sent = file(b"a secret of the data", "secret_name.csv") | {"about": "secret_about"}
        await gateway.send("ada", "POST", "sessions/c1/artifacts", sent)
        link = (await gateway.send("ada", "POST", "sessions/c1/share")).json()["link"]
    held = b"".join(path.read_bytes() for path in tmp_path.glob("ledger.db*"))
    for word in (
        b"hunter2",
        b"Delays",
        b"delays.ipynb",
        b"secret of",
        b"secret_name",
        b"secret_about",
        link.removeprefix("shared/").encode(),
    ):
        assert word not in held


async def test_without_keys_to_seal_them_none_are_kept(kept):
    async with kept(sealed=False) as gateway:
        reply = await gateway.send("ada", "PUT", "sessions/c1", TALK)
        assert (reply.status_code, reply.json()["error"]["code"]) == (404, "no_sessions")
        assert (await gateway.send("ada", "GET", "sessions")).json()["sessions"] == []


@pytest.mark.slow
async def test_the_quota_holds_for_conversations_and_files_together(kept):
    async with kept(per_caller=2, mb_per_caller=0.002) as gateway:
        for name in ("a", "b"):
            assert (await gateway.send("ada", "PUT", f"sessions/{name}", TALK)).status_code == 200
        many = await gateway.send("ada", "PUT", "sessions/c", TALK)
        assert (many.status_code, many.json()["error"]["code"]) == (403, "sessions_full")
        assert many.json()["error"]["message"].startswith("You may keep 2 conversations at this gateway. Delete")
        large = await gateway.send("ada", "PUT", "sessions/a", TALK | {"pairs": [{"answer": "x" * 2000}]})
        assert large.status_code == 403
        assert "keep 0.002 MB of conversations and files at" in large.json()["error"]["message"]
        assert (await gateway.send("ada", "POST", "sessions/a/artifacts", file(b"x" * 2000))).status_code == 403
        assert (await gateway.send("ada", "GET", "sessions/a")).json()["pairs"] == TALK["pairs"]
        assert (await gateway.send("eve", "PUT", "sessions/a", TALK)).status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("sessions/c1", {"title": "x"}),
        ("sessions/c1", {"title": "x" * 201, "pairs": []}),
        ("sessions/c1", {"title": "a\nb", "pairs": []}),
        ("sessions/c1", {"title": "x", "pairs": ["no object"]}),
        ("sessions/c1", {"title": "x", "pairs": [], "more": 1}),
        ("sessions/c1", []),
        ("sessions/a%20b", TALK),
        ("sessions/" + "x" * 65, TALK),
        ("sessions/c1/artifacts", file(b"x") | {"kind": "page"}),
        ("sessions/c1/artifacts", file(b"x") | {"name": ""}),
        ("sessions/c1/artifacts", file(b"x") | {"name": "a\r\nb"}),
        ("sessions/c1/artifacts", file(b"x") | {"data": "no base64!"}),
        ("sessions/c1/artifacts", file(b"x") | {"about": "x" * 1001}),
        ("sessions/c1/artifacts", file(b"x") | {"about": 7}),
    ],
)
async def test_what_is_wrong_is_refused(kept, path, body):
    async with kept() as gateway:
        reply = await gateway.send("ada", "POST" if path.endswith("artifacts") else "PUT", path, body)
        assert reply.status_code == 400, reply.text
        assert (await gateway.send("ada", "GET", "sessions")).json()["sessions"] == []


HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script> {{ 1 + 1 }}"
ANSWERED = {"columns": [{"name": HOSTILE, "right": True}], "rows": [[HOSTILE], ["7"]], "sql": "SELECT 7 -- </pre>"}
ODD_PAIRS = [
    {"question": 7},
    {"result": {"rows": [[1]]}},
    {"result": "none"},
    {"answer": None},
    {"changes": ["none"]},
    {"changes": [{"source": 1}]},
]


def png(width=2, height=1, more=b""):
    """How a PNG begins."""
    sides = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return b64encode(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + sides + more).decode()


NO_PICTURES = [
    "none",
    [7, None, "none", {}, {"data": 7}],
    [{"data": b64encode(b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>").decode()}],
    [{"data": b64encode(b"<html><script>alert(1)</script>").decode()}],
    [{"data": '"><script>alert(1)</script>'}, {"data": png() + '"><script>'}, {"data": "\N{GRINNING FACE}"}],
    [{"data": png(), "description": 7}],
    [{"data": png(100_000, 100_000)}, {"data": png(0, 5)}, {"data": png(50_000, 2)}],
    [{"data": png(more=bytes(1_100_000))}],
]
PROPOSED = {"title": "Edit cell 3", "state": "applied", "reason": "It draws.", "source": "plot(x < 1)", "number": 3}


@pytest.mark.slow
async def test_a_link_is_a_page_in_a_browser(kept):
    async with kept() as gateway:
        talk = {
            "title": HOSTILE,
            "notebook": "n.ipynb",
            "pairs": [*ODD_PAIRS, {"question": HOSTILE, "answer": HOSTILE}],
        }
        talk["pairs"].append({"question": "Draw it", "changes": [PROPOSED, dict.fromkeys(PROPOSED, HOSTILE)]})
        talk["pairs"].append({"question": "Only a chart"})
        talk["pairs"] += [{"question": "Drawn?", "answer": "No.", "images": given} for given in NO_PICTURES]
        talk["pairs"].append({"question": "Drawn?", "images": [{"data": png(), "description": f'"{HOSTILE}'}] * 9})
        talk["pairs"].append({"question": "Drawn?", "result": {"chart": True}})
        talk["pairs"].append({"question": "How many?", "answer": "Seven.", "result": ANSWERED})
        await gateway.send("ada", "PUT", "sessions/c1", talk)
        link = (await gateway.send("ada", "POST", "sessions/c1/share")).json()["link"]

        async def opened(who, path):
            headers = {"Authorization": f"Bearer {who}-token", "Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
            return await gateway.client.get(path, headers=headers)

        page = await opened("tom", link)
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.headers["referrer-policy"] == "no-referrer", "its address is the secret"
        assert "<img src=x" not in page.text
        assert "<script" not in page.text
        assert page.text.count("form that no page shows") == len(ODD_PAIRS)
        assert page.text.count("<img ") == 4, "of one answer, and none of what is no picture"
        assert "img-src 'self' data:" in page.headers["content-security-policy"]
        told = (await gateway.send("tom", "GET", link)).json()
        assert told["pairs"] == talk["pairs"], "programs look themselves"
        for words in (
            "Shared by ada, from n.ipynb",
            "How many?",
            "Seven.",
            "SELECT 7 -- &lt;/pre&gt;",
            "<td>7",
            "history open</code>",
            f'src="data:image/png;base64,{png()}" alt="&quot;&lt;img src=x',
            "shared without a picture",
            "<strong>Edit cell 3</strong> (applied): It draws.",
            "plot(x &lt; 1)</pre>",
        ):
            assert words in page.text
        talk["pairs"] = [{"question": "Drawn?", "images": [{"data": png(more=bytes(37_000_000))}]}]
        assert (await gateway.send("ada", "PUT", "sessions/c1", talk)).status_code == 413, "50 MB"
        for who, path in (("pat", link), ("eve", link), ("tom", "shared/none")):
            refused = await opened(who, path)
            assert (
                refused.status_code,
                "This link leads nowhere: it was taken back" in refused.text,
                "Seven" in refused.text,
            ) == (404, True, False)


class Tags(HTMLParser):
    """The tags of a page as a browser reads them, with their attributes; words left out."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, *(name if name == "alt" else f"{name}={value}" for name, value in attrs)))

    def handle_decl(self, decl):
        self.found.append(decl)

    handle_comment = handle_decl


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ({}, "Its chart was shared without a picture.</p>"),
        ({"left_out": ["undrawn"]}, "rsql-jupyter[png]"),
        ({"left_out": ["large"]}, "more than 1 MB"),
        ({"left_out": ["many"], "images": [{"data": png()}]}, "more pictures; 4"),
        ({"left_out": ["room"]}, "no room"),
        ({"images": [{"data": png(more=bytes(1_100_000))}]}, "more than 1 MB"),
        ({"images": [{"data": png()}] * 5}, "more pictures; 4"),
        ({"images": [{"data": png()}] * 4, "left_out": "many"}, ""),
        ({"images": [{"data": png()}], "left_out": [7, {}, "<b>"]}, ""),
    ],
)
async def test_the_page_of_a_link_says_why_a_picture_is_missing(kept, sent, told):
    async with kept() as gateway:
        talk = {"title": "t", "notebook": "n.ipynb", "pairs": [{"question": "q", "result": {"chart": True}, **sent}]}
        await gateway.send("ada", "PUT", "sessions/c1", talk)
        link = (await gateway.send("ada", "POST", "sessions/c1/share")).json()["link"]
        headers = {"Authorization": "Bearer tom-token", "Accept": "text/html"}
        page = unescape((await gateway.client.get(link, headers=headers)).text)
    lines = [line for line in page.splitlines() if any(word in line for word in ("picture", "rsql-jupyter", "<b>"))]
    assert len(lines) == bool(told), lines
    assert told in "".join(lines)


@pytest.mark.slow
async def test_hostile_words_are_words_on_the_page_of_a_link(kept):
    known = [json.loads(line)["markdown"] for line in ATTACKS.read_text(encoding="utf-8").splitlines()]
    texts = [*xss.STRINGS, *known, *map(markdown_replies.reply, range(50))]

    def pair(text):
        result = {"sql": text, "columns": [{"name": text}], "rows": [[text]], "chart": True}
        changes = [dict.fromkeys(("title", "state", "reason", "source"), text)]
        images = [{"data": png(), "description": text}]
        return {"question": text, "answer": text, "result": result, "changes": changes, "images": images}

    async with kept() as gateway:
        headers = {"Authorization": "Bearer tom-token", "Accept": "text/html"}

        async def tags(texts):
            name = max((text for text in texts if len(text) < 200 and text.isprintable()), key=len)
            talk = {"title": name, "notebook": name, "pairs": [pair(text) for text in texts]}
            sent = await gateway.send("ada", "PUT", "sessions/c1", talk)
            assert sent.status_code == 200, sent.text
            link = (await gateway.send("ada", "POST", "sessions/c1/share")).json()["link"]
            return Tags((await gateway.client.get(link, headers=headers)).text).found

        assert await tags(texts) == await tags(["words"] * len(texts))
