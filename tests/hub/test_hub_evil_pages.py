"""A student's page on the hub's origin, open in an administrator's browser: it reads and does nothing of hers."""

from __future__ import annotations

import contextlib
import re

import httpx
import pytest
from e2e import panel_lab
from waiting import eventually

from .evil_server import OPEN, EvilServer
from .real_hub import RealHub
from .tls_front import TlsFront

RSQL = """
[[keys]]
provider = "offline"
name = "simulated-one"
[storage]
ledger = "sqlite:///rsql.db"
"""
WAYS = ("fetch", "xhr", "frame", "popup", "script", "form", "write", "beacon", "stream", "toss", "worker")
READ = ("fetch", "xhr", "frame", "popup")
PATHS = ("admin", "admin/api/keys")


def signed_in(page, hub, name="boss"):
    """Somebody in a browser, logged in to the hub and to the console, which is open in a tab of its own."""
    page.goto(f"{hub.pages}admin")
    page.get_by_label("Username:").fill(name)
    page.get_by_label("Password:").fill("any")
    page.locator("#login_submit").click()
    page.get_by_role("heading", name="Overview").wait_for()
    return page


def tried(page, way, *targets):
    """What a student's page keeps of some addresses that it tries in a way, side by side."""
    all_of_them = "await Promise.all(targets.map((to) => ways[way](...to)))"
    go = f"async ([way, targets]) => {{ loot.length = 0; {all_of_them}; return loot; }}"
    return page.evaluate(go, [way, targets])


def attacked(hub, site, chromium, ways, paths):
    """What the student's pages read of the gateway in the browser of ``boss``, by every way at every address."""
    read = []
    for page_of in ("", "policy"):
        context = chromium.new_context()
        signed_in(context.new_page(), hub)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.goto(f"{site}services/evil/{page_of}")
        # What can be read is: the same ways at a page that protects itself by nothing.
        for way in READ:
            got = tried(page, way, (f"{site}services/evil/", f"{page_of}-open"))
            assert any(OPEN in text for _, text in got), (way, page_of, got)
        targets = [(base, path) for base in (f"{site}services/rsql/", hub.pages) for path in paths]
        for way in ways:
            got = tried(page, way, *targets)
            read += [(way, what, text) for what, text in got if "simulated-" in text
                     or "boss" in text or "Overview" in text or '"key"' in text]  # fmt: skip
        context.close()
    return read


def done(hub, token):
    """What administrators and boss herself would have done."""
    made = [(one["kind"], one["name"]) for one in hub.ask("admin/api/changes", token).json()["changes"]]
    return made, hub.ask("keys", token).json()["keys"], hub.ask("admin/api/tenants", token).text.count("evil")


@pytest.mark.spine
def test_a_students_page_reads_and_does_nothing_of_an_administrators(hub):
    token = hub.token("boss")
    before = done(hub, token)
    with panel_lab.chromium() as chromium:
        read = attacked(hub, hub.url, chromium, ("fetch", "popup", "write"), ("admin",))
    assert read == []
    assert done(hub, token) == before


@pytest.mark.sweep
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    "names",
    [("", ""), ("hub.test", "rsql.test"), ("hub.class.test", "rsql.class.test")],
    ids=["this machine", "sites", "hosts of a site"],
)
def test_no_way_at_any_address_reads_or_does_anything(tmp_path, names, scheme):
    """Also where browsers do not say what a request is for: plain http by a name that is not this machine's."""
    arguments = ["--host-resolver-rules=MAP *.test 127.0.0.1", "--ignore-certificate-errors"]
    with EvilServer() as evil, panel_lab.chromium(args=arguments) as chromium, contextlib.ExitStack() as fronts:
        hub = RealHub(tmp_path, RSQL, beside={"evil": evil.url})
        of_hub, of_pages = hub.port, hub.service_port
        if scheme == "https":
            of_hub, of_pages = (fronts.enter_context(TlsFront(tmp_path, port)).port for port in (of_hub, of_pages))
        hub.public = f"{scheme}://{names[0] or '127.0.0.1'}:{of_hub}/"
        hub.console = hub.options["console"] = f"{scheme}://{names[1] or 'localhost'}:{of_pages}"
        try:
            hub.start()
            if names[0]:  # which only the browser knows
                eventually(lambda: "cannot be asked from here" in hub.log_path.read_text())
            with httpx.Client(trust_env=False, verify=False) as seen:
                address = f"{scheme}://127.0.0.1:{of_pages}/services/rsql/admin"
                host = hub.console.partition("://")[2]
                eventually(lambda: seen.get(address, headers={"Host": host}).status_code != 403)
            token = hub.token("boss")
            before = done(hub, token)
            assert attacked(hub, hub.public, chromium, WAYS, PATHS) == []
            assert done(hub, token) == before
            assert [sent for sent in evil.cookies if re.search(r"rsql-session[\w-]*=(?!evil)", sent)] == []
        finally:
            hub.close()


def test_a_name_that_leads_to_the_hub_as_well_shows_no_pages(tmp_path):
    """Users' servers would be on it, too: the gateway looks who answers there."""
    hub = RealHub(tmp_path, RSQL)
    hub.console = hub.options["console"] = f"http://localhost:{hub.port}"
    try:
        hub.start()
        told = hub.http.get(f"{hub.console}/services/rsql/admin", headers={"Accept": "text/html"})
        assert (told.status_code, "rsql console" in told.text) == (403, True)
        eventually(lambda: "shows no pages here" in hub.log_path.read_text())
    finally:
        hub.close()


def test_without_a_name_of_its_own_there_are_no_pages_and_the_log_says_how(tmp_path):
    hub = RealHub(tmp_path, RSQL, console="")
    try:
        hub.start()
        for path in ("", "admin", "docs", "admin/api/keys"):
            told = hub.http.get(hub.gateway + path, headers={"Accept": "text/html"}, follow_redirects=True)
            assert (told.status_code, "rsql console" in told.text) == (403, True), path
            assert "set-cookie" not in told.headers
        assert hub.ask("admin/api/keys", hub.token("boss")).status_code == 200, "programs go on"
        eventually(lambda: "shows no pages here" in hub.log_path.read_text())
    finally:
        hub.close()
