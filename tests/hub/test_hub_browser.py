"""Browsers log in through the hub to pages on an origin of their own, which ask the routes; other pages cannot."""

from __future__ import annotations

import contextlib
import re

import httpx
import pytest
from callers import PERSON
from e2e import panel_lab
from playwright.sync_api import expect

HTML = {"Accept": "text/html", "Sec-Fetch-Dest": "document"}
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-rsql-page"}


def logged_in(hub, name):
    """A browser's cookies after a login to the hub and the gateway's page, which it followed the way to."""
    browser = httpx.Client(trust_env=False, timeout=240, follow_redirects=True, headers=HTML)
    form = browser.get(f"{hub.url}hub/login")
    token = re.search(r'name="_xsrf" value="([^"]+)"', form.text)[1]
    browser.post(f"{hub.url}hub/login", data={"username": name, "password": "any", "_xsrf": token})
    return browser


def opened(hub, browser, path=""):
    """A page of the gateway, after the way to the hub and back where it is the first."""
    shown = browser.get(hub.pages + path)
    if (onward := re.search(r'http-equiv="refresh" content="0;url=([^"]+)"', shown.text)) is not None:
        assert shown.headers["Referrer-Policy"] == "no-referrer"
        shown = browser.get(hub.console + onward[1])
    return shown


def by_script(hub, browser, method, path, *, of_page=True, base=None, **options):
    """What a script gets: of a page of the gateway, or without what only such a page sends."""
    headers = {"Accept": "application/json", "Sec-Fetch-Dest": "empty", **({"X-RSQL-Page": "1"} if of_page else {})}
    return browser.request(method, (base or hub.pages) + path, headers=headers, follow_redirects=False, **options)


@pytest.fixture
def ada(hub):
    browser = logged_in(hub, "ada")
    yield browser
    browser.close()


def test_a_browser_is_sent_to_the_hub_and_back(hub, ada):
    way = [str(one.url) for one in ada.get(hub.pages).history]
    assert any(url.startswith(f"{hub.url}hub/api/oauth2/authorize") for url in way)
    page = opened(hub, ada)

    assert page.status_code == 200
    assert str(page.url) == hub.pages
    policy = page.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert ada.get(hub.pages).history == []  # the session goes on
    me = by_script(hub, ada, "GET", "me").json()
    assert (me["caller"], me["tenant"], me["scopes"]) == ("ada", "stats101", [*PERSON])
    assert me["hub"] == {name: f"{hub.url}hub/{name}" for name in ("home", "token", "logout", "logo")}
    assert ada.get(f"{hub.url}hub/logo").headers["content-type"].startswith("image/")


def test_without_a_login_there_is_only_the_hubs_login_page(hub):
    with httpx.Client(trust_env=False, follow_redirects=True, headers=HTML) as browser:
        for path in ("", "docs", "stats", "admin/api/keys"):
            page = browser.get(f"{hub.pages}{path}")
            assert "/hub/login" in str(page.url), path
    assert httpx.get(hub.gateway, trust_env=False).json()["status"] == "ok"  # a program's look


def test_a_key_is_made_by_the_page_and_revoked(hub, ada):
    opened(hub, ada)
    wanted = {"name": "from the page", "days": 1, "limits": {"requests_per_day": 9, "usd_per_month": 2.5}}
    made = by_script(hub, ada, "POST", "keys", json=wanted).json()
    told = hub.ask("stats", made["key"]).json()
    assert told["caller"] == "ada"
    assert {name: one["limit"] for name, one in told["key"]["limits"].items()} == wanted["limits"]
    listed = by_script(hub, ada, "GET", "keys")
    assert "from the page" in listed.text
    assert made["key"] not in listed.text

    assert by_script(hub, ada, "DELETE", f"keys/{made['id']}").status_code == 200
    assert hub.ask("stats", made["key"]).status_code == 401


WANTED = [("GET", "me"), ("POST", "keys"), ("DELETE", "conversations"), ("GET", "admin/api/keys")]


@pytest.mark.parametrize("fetched", [{"Sec-Fetch-Dest": "empty"}, {"Sec-Fetch-Dest": "document"}, {}])
def test_no_cookie_counts_where_users_servers_are(hub, ada, fetched):
    """The hub's own origin: nothing is shown and nothing is done, with the session's cookie itself and all headers."""
    opened(hub, ada)
    session = {one.name: one.value for one in ada.cookies.jar if one.name.startswith("rsql-session")}
    assert session
    with httpx.Client(trust_env=False, cookies=session) as stolen:
        assert stolen.get(hub.pages + "me").status_code == 200, "it is the session"
        for base in (hub.gateway, hub.direct):
            for method, path in WANTED:
                headers = {"Accept": "application/json", "X-RSQL-Page": "1", **fetched}
                told = stolen.request(method, base + path, headers=headers, json={"name": "stolen"})
                assert told.status_code == 401, (base, path)
            for path in ("", "admin", "stats", "docs"):
                shown = stolen.get(base + path, headers={"Accept": "text/html", **fetched})
                assert (shown.status_code, shown.headers["Location"]) == (302, hub.pages + path)
                assert "set-cookie" not in shown.headers
    assert "stolen" not in by_script(hub, ada, "GET", "keys").text


def test_another_origins_script_has_no_session(hub, ada):
    opened(hub, ada)
    assert by_script(hub, ada, "GET", "stats", of_page=False).status_code == 401
    assert by_script(hub, ada, "POST", "keys", of_page=False, json={"name": "stolen"}).status_code == 401
    asked = ada.options(hub.pages + "keys", headers={"Origin": hub.url.rstrip("/"), **PREFLIGHT})
    assert asked.status_code == 405
    assert "access-control-allow-origin" not in asked.headers
    (cookie,) = [one for one in ada.cookies.jar if one.name.startswith("rsql-session")]
    assert (cookie.domain_specified, cookie.path) == (False, "/")
    assert {"HttpOnly", "SameSite"} <= set(cookie._rest)
    assert cookie._rest["SameSite"] == "Strict"


def test_a_login_that_was_not_begun_here_begins_no_session(hub):
    with httpx.Client(trust_env=False, headers=HTML) as browser:
        for query in ("", "?code=x&state=y", "?code=x&state=../..", "?state="):
            assert browser.get(f"{hub.pages}oauth_callback{query}").status_code == 403
        assert not browser.cookies


def test_a_code_signs_in_once_and_only_the_browser_that_began(hub, ada):
    """Who reads the address that the hub sends a browser back to, in a log or over a shoulder, has nothing of it."""
    ada.follow_redirects = False
    at = ada.get(hub.pages)
    while not at.headers["Location"].startswith(f"{hub.pages}oauth_callback"):
        at = ada.get(httpx.URL(str(at.url)).join(at.headers["Location"]))
    callback, begun = at.headers["Location"], {one.name: one.value for one in ada.cookies.jar}

    def signed_in(browser):
        reply = browser.get(callback)
        return reply.status_code, any(one.name.endswith("session-rsql") for one in browser.cookies.jar)

    with (
        httpx.Client(trust_env=False, headers=HTML) as thief,
        contextlib.closing(logged_in(hub, "boss")) as other,
        httpx.Client(trust_env=False, headers=HTML, cookies=begun) as again,
    ):
        other.follow_redirects = False
        other.get(hub.pages)  # which has begun one of its own
        assert signed_in(thief) == (403, False)
        assert signed_in(other) == (403, False)
        assert signed_in(ada) == (200, True)
        assert ada.get(callback).status_code == 403, "the browser does not remember it any more"
        assert signed_in(again) == (403, False), "and the hub takes a code once, even with what the browser knew"


def test_an_administrators_browser_opens_administrators_routes(hub, ada):
    with contextlib.closing(logged_in(hub, "boss")) as boss:
        opened(hub, boss, "admin")
        assert boss.get(f"{hub.pages}admin/api/keys").status_code == 200
        assert by_script(hub, boss, "GET", "admin/api/overview").json()["status"] == "ok"
        assert by_script(hub, boss, "POST", "admin/health-check", of_page=False).status_code == 401
        assert by_script(hub, boss, "POST", "admin/health-check").status_code == 200
        assert by_script(hub, boss, "GET", "me").json()["hub"]["admin"] == f"{hub.url}hub/admin"
    opened(hub, ada, "admin")
    assert by_script(hub, ada, "GET", "admin/api/overview").status_code == 403
    assert ada.get(f"{hub.pages}admin/api/keys").status_code == 403


@pytest.mark.spine
def test_the_console_is_a_page_of_the_hub(hub):
    """In a real browser: the hub's login, its header and its way out, and changes by the session."""
    with panel_lab.chromium() as chromium:
        page = chromium.new_page()
        said = []
        page.on("console", lambda line: said.append(line.text) if line.type == "error" else None)
        page.goto(f"{hub.gateway}admin")  # which leads on
        page.get_by_label("Username:").fill("boss")
        page.get_by_label("Password:").fill("any")
        page.locator("#login_submit").click()
        page.get_by_role("heading", name="Overview").wait_for()
        assert page.url == f"{hub.pages}admin"
        logo = page.get_by_role("img", name="JupyterHub")
        page.wait_for_function("image => image.complete && image.naturalWidth > 20", arg=logo.element_handle())
        header = page.locator("header")
        expect(header.get_by_role("link", name="Home")).to_have_attribute("href", f"{hub.url}hub/home")
        expect(header.get_by_role("link", name="Admin")).to_have_attribute("href", f"{hub.url}hub/admin")
        page.get_by_role("link", name="Keys", exact=True).click()
        row = page.locator("tbody tr").filter(has_text="simulated")
        row.get_by_role("button", name="Pause").click()
        page.locator(".toast").get_by_role("button", name="Undo").click()
        page.locator(".toast").filter(has_text="Taken back.").wait_for()
        assert said == []
        page.get_by_role("link", name="Logout").click()
        page.wait_for_url(re.compile("/hub/(login|logout)"))


def test_a_forged_host_leads_nowhere_else(hub):
    forged = {**HTML, "Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}
    sent = httpx.get(hub.direct, headers=forged, trust_env=False)

    assert sent.status_code == 302
    assert sent.headers["Location"] == hub.pages
    assert "evil" not in str(sent.headers)
