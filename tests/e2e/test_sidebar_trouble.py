"""What breaks beside an open sidebar: a full disk, a gateway that is away, a limit, a lost connection; and copies."""

from __future__ import annotations

import re
from http.server import BaseHTTPRequestHandler
from typing import ClassVar

import pytest
from e2e import panel_lab
from e2e.conftest import TOKEN
from playwright.sync_api import expect
from servers import free_port, http_server
from waiting import eventually

HALF = "half a quest"


@pytest.fixture(scope="module")
def side(town):
    side = panel_lab.Side(town.page("jupyterlab", "trouble", ["word = 1"]))
    side.open()
    yield side
    assert side.notebook.errors == []


@pytest.fixture
def provider(town):
    with panel_lab.answers_of_a_test(town.provider) as provider:
        yield provider


FULL = """\
import resource
from rsql_magic.panel.kept import writing
writing._AGAIN, limits = 0.5, resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1, limits[1]))"""
ROOM = "resource.setrlimit(resource.RLIMIT_FSIZE, limits)"


def test_a_full_disk_is_said_and_what_was_said_meanwhile_is_kept_after_it(side):
    trouble = side.sidebar.locator(".rsql-panel > .rsql-trouble")
    side.cell(FULL)
    side.ask("What is said on a full disk?")
    expect(trouble).to_contain_text("The disk, or your share of it, is full: what is said is not kept.")
    side.ask("And does it go on?")
    side.box.fill(HALF)
    side.cell(ROOM)
    expect(trouble).to_be_hidden()
    side.page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.restartKernel()")
    side.sidebar.locator(".rsql-banner").wait_for()
    side.sidebar.locator(".rsql-banner").wait_for(state="hidden")
    expect(side.box).to_have_value(HALF)
    expect(side.turns.filter(has_text="What is said on a full disk?")).not_to_have_count(0)
    expect(side.turns.last).to_contain_text("And does it go on?")


class Away(BaseHTTPRequestHandler):
    """A proxy that has lost the gateway behind it."""

    asked: ClassVar[list[str]] = []

    def do_GET(self):
        self.rfile.read(int(self.headers["content-length"] or 0))
        self.asked.append(self.path)
        page = b"<html><head><title>503</title></head><body><h1>Service Unavailable</h1></body></html>"
        self.send_response(503)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def do_POST(self):
        self.do_GET()

    def log_message(self, *args):
        pass


@pytest.mark.sweep  # half a minute; tests/e2e/test_panel.py has its parts for a cell
def test_a_gateway_that_is_away_is_waited_for_behind_its_proxy_too(side, town, provider, tmp_path):
    port = free_port()
    with panel_lab.gateway(tmp_path, provider.url, requests=1, port=port) as (url, _):
        side.cell(f"T = {TOKEN!r}\n%rsql connect {url} --token-from T")
        side.ask("Is anybody there?")
        limited = side.ask("Once more?").locator(".rsql-limited")
        expect(limited).to_contain_text(re.compile(r"Limit reached.*Try again in \d+ (s|min|h)"))
        expect(limited.get_by_role("button", name="Try again")).to_be_disabled()
    again = "It is asked again by itself as soon as the gateway answers."
    try:
        down = side.ask("And now?").locator(".rsql-trouble")
        expect(down).to_contain_text("No gateway answers")
        expect(down).to_contain_text(again)
        with http_server(Away, port):
            eventually(lambda: any(path.endswith("health") for path in Away.asked))
            expect(down).to_contain_text(again)  # a proxy's page is no answer of the gateway
            told = side.ask("And behind the proxy?").locator(".rsql-trouble")
            expect(told).to_contain_text("503")
            expect(told).to_contain_text("%rsql doctor")
            expect(told).to_contain_text(again)
            expect(told).not_to_contain_text("<")
            side.box.fill(HALF)
        with panel_lab.gateway(tmp_path, provider.url, port=port):
            side.turns.last.get_by_text("An answer in some words.").wait_for()
            expect(side.turns.filter(has_text="And behind the proxy?")).to_have_count(1)
            expect(side.turns.locator(".rsql-trouble").filter(has_text=again)).to_have_count(0)
            expect(side.box).to_have_value(HALF)
    finally:
        own = "JUPYTERHUB_API_TOKEN" if "/services/" in town.gateway else "RSQL_GATEWAY_TOKEN"
        expect(side.cell(f"%rsql connect {town.gateway} --token-from {own}")).to_contain_text("Connected to")


@pytest.mark.sweep  # a page tries again after longer and longer pauses; tests/e2e/test_panel.py has it for a cell
def test_a_lost_connection_is_said_and_what_was_missed_comes_after_it(town, provider):
    provider.answers["slowly"] = panel_lab.SLOWLY
    line = panel_lab.Line()
    page = panel_lab.Page(town.browser, town.lab, town.folder, "cut", ["word = 1"], prepare=line.through)
    try:
        side = panel_lab.Side(page)
        side.open()
        side.box.fill("Answer slowly, please")
        side.box.press("Enter")
        said = side.turns.last.locator(".rsql-said")
        said.filter(has_text="word word").wait_for()
        line.cut()
        banner = side.sidebar.locator(".rsql-banner")
        expect(banner).to_contain_text("The connection is lost; trying again")
        side.box.fill(HALF)
        before = len(said.inner_text())
        line.broken = False
        banner.wait_for(state="hidden")
        eventually(lambda: len(said.inner_text()) > before + 500)
        expect(side.box).to_have_value(HALF)
        side.button("Stop", side.sidebar).click()
        side.turns.last.filter(has_text="Stopped;").wait_for()
        assert page.errors == []
    finally:
        page.close()


COPIES = """\
import time
from rsql_magic.notebook import loaded
from rsql_magic.panel.kept.copies import background
background.GATHER = 0.2
gateway = loaded(get_ipython()).assistant.locator.gateway
def copies(wanted):
    end = time.monotonic() + 20
    while bool(found := gateway.get("sessions")["sessions"]) != wanted and time.monotonic() < end:
        time.sleep(0.1)
    return f"{len(found)} copied"
%config Rsql.copy_conversations = True"""


def test_a_copy_at_the_gateway_is_made_when_wanted_and_forgotten(side):
    side.cell(COPIES)
    expect(side.cell("copies(False)")).to_contain_text("0 copied")
    side.button("New conversation", side.sidebar).click()
    expect(side.turns).to_have_count(0)
    side.ask("Does it follow me?")
    expect(side.cell("copies(True)")).to_contain_text("1 copied")
    # All that a gateway keeps of its caller; what is kept here stays, and is copied with the next answer.
    expect(side.cell("gateway.delete('conversations'); copies(False)")).to_contain_text("0 copied")
    side.ask("Does it still?")
    expect(side.cell("copies(True)")).to_contain_text("1 copied")
    side.sidebar.locator(".rsql-title").click()
    side.sidebar.get_by_role("menuitem", name="Find and manage all").click()
    kept = side.sidebar.get_by_role("dialog", name="Conversations")
    everything = kept.get_by_role("button", name=re.compile("^Delete all conversations of all notebooks"))
    everything.click()
    everything.click()
    side.sidebar.get_by_text(re.compile(r"Deleted \d+ conversation")).wait_for()
    side.button("Close", kept).click()
    expect(side.turns).to_have_count(0)
    expect(side.cell("copies(False)")).to_contain_text("0 copied")
    side.cell("%config Rsql.copy_conversations = False")
