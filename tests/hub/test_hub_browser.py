"""Browsers log in through the hub, and their page asks the routes; other pages of the same origin cannot."""

from __future__ import annotations

import contextlib
import re

import httpx
import pytest
from e2e import panel_lab
from playwright.sync_api import expect

HTML = {"Accept": "text/html", "Sec-Fetch-Dest": "document"}


def logged_in(hub, name):
    """A browser's cookies after a login to the hub and the gateway's page, which it followed the way to."""
    browser = httpx.Client(trust_env=False, timeout=30, follow_redirects=True, headers=HTML)
    form = browser.get(f"{hub.url}hub/login")
    token = re.search(r'name="_xsrf" value="([^"]+)"', form.text)[1]
    browser.post(f"{hub.url}hub/login", data={"username": name, "password": "any", "_xsrf": token})
    return browser


def page_token(browser, address):
    """What a page tells its scripts to send along."""
    return re.search(r'<meta name="rsql-token" content="(\w+)">', browser.get(address).text)[1]


def by_script(hub, browser, method, path, token=None, **options):
    """What a script of a page of this origin gets, with the page's token or without."""
    headers = {"Accept": "application/json", "Sec-Fetch-Dest": "empty", **({"X-XSRFToken": token} if token else {})}
    return browser.request(method, hub.gateway + path, headers=headers, follow_redirects=False, **options)


@pytest.fixture
def ada(hub):
    browser = logged_in(hub, "ada")
    yield browser
    browser.close()


def test_a_browser_is_sent_to_the_hub_and_back(hub, ada):
    page = ada.get(hub.gateway)

    assert page.status_code == 200
    assert str(page.url) == hub.gateway
    assert len(page.history) >= 3  # the hub's login, its grant, and back
    policy = page.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert ada.get(hub.gateway).history == []  # the session goes on
    me = by_script(hub, ada, "GET", "me", page_token(ada, hub.gateway)).json()
    assert (me["caller"], me["tenant"], me["scopes"]) == ("ada", "stats101", ["chat"])
    assert me["hub"] == {name: f"{hub.url}hub/{name}" for name in ("home", "token", "logout", "logo")}
    assert ada.get(f"{hub.url}hub/logo").headers["content-type"].startswith("image/")


def test_without_a_login_there_is_only_the_hubs_login_page(hub):
    with httpx.Client(trust_env=False, follow_redirects=True, headers=HTML) as browser:
        for path in ("", "docs", "stats", "admin/api/keys"):
            page = browser.get(f"{hub.gateway}{path}")
            assert "/hub/login" in str(page.url), path
    assert httpx.get(hub.gateway, trust_env=False).json()["status"] == "ok"  # a program's look


def test_a_key_is_made_by_the_page_and_revoked(hub, ada):
    token = page_token(ada, hub.gateway)
    wanted = {"name": "from the page", "days": 1, "limits": {"requests_per_day": 9, "usd_per_month": 2.5}}
    made = by_script(hub, ada, "POST", "keys", token, json=wanted).json()
    told = hub.ask("stats", made["key"]).json()
    assert told["caller"] == "ada"
    assert {name: one["limit"] for name, one in told["key"]["limits"].items()} == wanted["limits"]
    listed = by_script(hub, ada, "GET", "keys", token)
    assert "from the page" in listed.text
    assert made["key"] not in listed.text

    assert by_script(hub, ada, "DELETE", f"keys/{made['id']}", token).status_code == 200
    assert hub.ask("stats", made["key"]).status_code == 401


def test_what_another_page_of_the_origin_sends_is_refused(hub, ada):
    ada.get(hub.gateway)
    others = logged_in(hub, "bob")
    stolen = page_token(others, hub.gateway)
    others.close()
    for forged in (None, "0" * 64, stolen):
        assert by_script(hub, ada, "GET", "stats", forged).status_code == 401
        assert by_script(hub, ada, "POST", "keys", forged, json={"name": "stolen"}).status_code == 401
        assert by_script(hub, ada, "DELETE", "conversations", forged).status_code == 401
    # A script or a frame gets no page with a token to repeat: it is sent to the hub's login.
    for kind in ("empty", "iframe", "script"):
        headers = {"Accept": "text/html", "Sec-Fetch-Dest": kind}
        for path in ("", "admin"):
            assert "rsql-token" not in ada.get(hub.gateway + path, headers=headers, follow_redirects=False).text
    assert "stolen" not in by_script(hub, ada, "GET", "keys", page_token(ada, hub.gateway)).text


def test_a_login_that_was_not_begun_here_begins_no_session(hub):
    with httpx.Client(trust_env=False, headers=HTML) as browser:
        for query in ("", "?code=x&state=y", "?code=x&state=../..", "?state="):
            assert browser.get(f"{hub.gateway}oauth_callback{query}").status_code == 403
        assert not browser.cookies


def test_an_administrators_browser_opens_administrators_routes(hub, ada):
    with contextlib.closing(logged_in(hub, "boss")) as boss:
        token = page_token(boss, f"{hub.gateway}admin")
        assert boss.get(f"{hub.gateway}admin/api/keys").status_code == 200
        assert by_script(hub, boss, "GET", "admin/api/overview", token).json()["status"] == "ok"
        assert by_script(hub, boss, "POST", "admin/health-check").status_code == 401
        assert by_script(hub, boss, "POST", "admin/health-check", token).status_code == 200
        assert by_script(hub, boss, "GET", "me", token).json()["hub"]["admin"] == f"{hub.url}hub/admin"
    assert by_script(hub, ada, "GET", "admin/api/overview", page_token(ada, f"{hub.gateway}admin")).status_code == 403
    assert ada.get(f"{hub.gateway}admin/api/keys").status_code == 403


def test_the_console_is_a_page_of_the_hub(hub):
    """In a real browser: the hub's login, its header and its way out, and changes by the session."""
    with panel_lab.chromium() as chromium:
        page = chromium.new_page()
        said = []
        page.on("console", lambda line: said.append(line.text) if line.type == "error" else None)
        page.goto(f"{hub.gateway}admin")
        page.get_by_label("Username:").fill("boss")
        page.get_by_label("Password:").fill("any")
        page.locator("#login_submit").click()
        page.get_by_role("heading", name="Overview").wait_for()
        assert page.url == f"{hub.gateway}admin"
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
    assert sent.headers["Location"].startswith(f"{hub.url}hub/api/oauth2/authorize?")
    assert "evil" not in str(sent.headers)
