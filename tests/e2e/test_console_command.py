"""``rsql console``: the console on this machine's loopback, whose token no page and no other program gets."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.client import HTTPConnection
from urllib.parse import urlsplit

import httpx
import pytest
from console_world import world
from e2e import panel_lab
from playwright.sync_api import expect

from rsql_magic.cli.console import ConsoleServer
from rsql_magic.gateway import Address

HELD = """() => JSON.stringify([
    {...sessionStorage}, {...localStorage}, document.cookie, document.documentElement.outerHTML,
])"""


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    with world(tmp_path_factory.mktemp("console")) as town:
        yield town


@contextmanager
def command(town, token):
    """The command, and a function that gives a link each time."""
    environment = {**os.environ, "RSQL_GATEWAY_URL": town.url, "RSQL_GATEWAY_TOKEN": token}
    line = [sys.executable, "-m", "rsql_magic.cli", "console", "--no-browser"]
    started = subprocess.Popen(
        line, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )

    def link(first=False):
        if not first:
            started.stdin.write("\n")
            started.stdin.flush()
        return started.stdout.readline().strip()

    try:
        yield started, link
    finally:
        started.kill()
        started.communicate()


@pytest.fixture(scope="module")
def server(town):
    with ConsoleServer(Address(town.url, town.tokens["admin"])) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def client(server):
    with httpx.Client(base_url=server.origin + server.base, trust_env=False) as client:
        yield client


def secret_of(server, client):
    return client.post("console-code", headers={"X-RSQL-Code": server.codes.new()}).json()["secret"]


@pytest.mark.spine
def test_an_administrator_opens_it_and_changes_something_and_neither_page_nor_browser_has_the_token(town):
    token = town.tokens["admin"]
    with command(town, token) as (_, link), panel_lab.chromium() as chromium:
        context = chromium.new_context()
        page = context.new_page()
        sent = []
        page.on("request", lambda request: sent.append(f"{request.url} {request.headers} {request.post_data}"))
        first = link(first=True)
        page.goto(first)
        page.get_by_role("heading", name="Overview").wait_for()
        expect(page.locator("#live")).to_have_text("Live")  # events come through as they are made
        assert "code" not in page.url
        page.get_by_role("link", name="Keys", exact=True).click()
        row = page.locator("tbody tr").filter(has_text="groq-1").first
        row.get_by_role("button", name="Pause").click()
        page.locator(".toast").get_by_role("button", name="Undo").click()
        page.locator(".toast").filter(has_text="Taken back.").wait_for()
        assert token not in page.evaluate(HELD) + "".join(sent)
        assert context.cookies() == []

        page.reload()  # what was in the page's memory is gone
        expect(page.locator("main")).to_contain_text("Press Enter where 'rsql console' runs")
        page.goto("about:blank")
        page.goto(first)  # a code counts once
        expect(page.locator("main")).to_contain_text("Press Enter where 'rsql console' runs")
        page.goto("about:blank")
        page.goto(link())
        page.get_by_role("heading", name="Overview").wait_for()


def test_it_says_who_may_not(town):
    with command(town, town.tokens["ada"]) as (started, _):
        said = started.communicate(timeout=240)[1]
    assert started.returncode == 1
    assert "ada is no administrator and no instructor there." in said


def test_a_code_is_worth_a_secret_once_and_the_next_ends_it(server, client):
    old, new = server.codes.new(), server.codes.new()
    assert client.post("console-code", headers={"X-RSQL-Code": old}).status_code == 401
    assert client.get("console-code", headers={"X-RSQL-Code": new}).status_code == 401
    assert client.post("console-code", headers={"X-RSQL-Code": new}).status_code == 200
    assert client.post("console-code", headers={"X-RSQL-Code": new}).status_code == 401
    assert client.post("console-code").status_code == 401


@pytest.mark.parametrize("path", ["me", "stats", "admin/api/keys", "keys", "admin/api/overview", "docs", ""])
def test_without_the_secret_nothing_is_asked(server, client, path):
    for headers in ({}, {"X-RSQL-Page": ""}, {"X-RSQL-Page": "1"}, {"Authorization": "Bearer x"}, {"Cookie": "a=b"}):
        told = client.get(path, headers=headers)
        assert (told.status_code, told.json()["error"]["code"]) == (401, "console_refused")
    told = client.get(path, headers={"X-RSQL-Page": secret_of(server, client)})
    assert told.status_code == 200
    assert "set-cookie" not in told.headers


@pytest.mark.parametrize("host", ["evil.example", "localhost:{port}", "127.0.0.1", "127.0.0.1:{port}.evil.example", ""])
def test_a_name_that_was_made_to_lead_here_gets_nothing(server, client, host):
    port = urlsplit(server.origin).port
    headers = {"Host": host.format(port=port), "X-RSQL-Page": secret_of(server, client)}
    for path in ("admin", "me", "admin/api/keys"):
        assert client.get(path, headers=headers).status_code == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1:{port}"])
def test_another_page_may_not_ask_though_it_had_the_secret(server, client, origin):
    headers = {"Origin": origin.format(port=urlsplit(server.origin).port), "X-RSQL-Page": secret_of(server, client)}
    assert client.post("keys", headers=headers, json={"name": "evil"}).status_code == 403
    asked = client.options("keys", headers={**headers, "Access-Control-Request-Method": "POST"})
    assert asked.status_code == 501
    assert not [name for name in asked.headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", ["../x", "..%2fx", "%2e%2e/x", "a//b", "a/./b", "a%5cb"])
def test_a_path_that_leads_out_of_the_gateway_is_not_asked(server, client, path):
    with httpx.Client(trust_env=False) as raw:
        request = raw.build_request("GET", server.origin, headers={"X-RSQL-Page": secret_of(server, client)})
        request.url = request.url.copy_with(raw_path=f"{server.base}{path}".encode())
        assert raw.send(request).status_code == 404
        request.url = request.url.copy_with(raw_path=b"/hub/api/users")
        assert raw.send(request).status_code == 404


def test_a_body_of_odd_length_is_refused(server, client):
    secret = secret_of(server, client)
    for length in ("-1", "x", "99999999999"):
        asked = HTTPConnection("127.0.0.1", urlsplit(server.origin).port, timeout=240)
        asked.request("POST", f"{server.base}keys", headers={"X-RSQL-Page": secret, "Content-Length": length})
        assert asked.getresponse().status == 413
        asked.close()
