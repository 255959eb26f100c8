"""The gateway inside a Jupyter Server: that server's authentication, and what its kernels are handed."""

from __future__ import annotations

import asyncio
import json
import os
from types import SimpleNamespace

import pytest
from tornado.httpclient import HTTPClientError

from jupyter_server_ext import _jupyter_server_extension_points
from jupyter_server_ext.app.extension import server_url

pytestmark = pytest.mark.usefixtures("programs")

pytest_plugins = ["pytest_jupyter.jupyter_server"]

ASK = json.dumps({"messages": [{"role": "user", "content": "Question: What can you do?"}]})


@pytest.fixture
def jp_server_config():
    return {
        "ServerApp": {"jpserver_extensions": {"jupyter_server_ext": True}},
        "IdentityProvider": {"token": "server-token"},
    }


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch):
    for name in ("RSQL_SERVER_URL", "RSQL_SERVER_TOKEN"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


async def refused(asking) -> tuple[int, dict]:
    with pytest.raises(HTTPClientError) as error:
        await asking
    return error.value.code, json.loads(error.value.response.body)


def test_jupyter_server_finds_it():
    (point,) = _jupyter_server_extension_points()

    assert point["module"] == "jupyter_server_ext.app.extension"
    assert point["app"].name == "rsql"


async def test_the_servers_token_opens_it(jp_fetch):
    reply = await jp_fetch("rsql", "v1", "chat", "completions", method="POST", body=ASK)

    answer = json.loads(reply.body)
    assert answer["choices"][0]["message"]["content"]
    assert answer["rsql"]["request_id"] == reply.headers["x-request-id"]
    bearer = await jp_fetch("rsql", "stats", headers={"Authorization": "Bearer server-token"})
    assert json.loads(bearer.body)["limits"]["minute"]["current"] == 1


async def test_no_and_wrong_tokens_do_not(jp_fetch):
    for headers in ({"Authorization": "token wrong"}, {"Authorization": ""}):
        status, body = await refused(jp_fetch("rsql", "stats", headers=headers))
        assert (status, body["error"]["type"]) == (401, "authentication_error")
    status, _ = await refused(
        jp_fetch("rsql", "stats", headers={"Authorization": ""}, params={"token": "server-token"})
    )
    assert status == 401


async def test_root_and_health_are_open_and_the_rest_of_the_server_is_untouched(jp_fetch):
    for path in ("rsql/", "rsql/health"):
        reply = await jp_fetch(path, headers={"Authorization": ""})
        assert json.loads(reply.body)["status"] == "ok"
    assert json.loads((await jp_fetch("api/status")).body)["kernels"] == 0


async def test_kernels_are_handed_the_address_and_a_token_that_can_only_ask(jp_serverapp, jp_fetch):
    await jp_serverapp.extension_manager.start_all_extensions()
    token = os.environ["RSQL_SERVER_TOKEN"]

    assert os.environ["RSQL_SERVER_URL"] == f"http://127.0.0.1:{jp_serverapp.port}/a%40b/rsql/"
    assert token != "server-token"
    headers = {"Authorization": f"Bearer {token}"}
    assert (await jp_fetch("rsql", "stats", headers=dict(headers))).code == 200
    status, body = await refused(jp_fetch("rsql", "admin", "api", "keys", headers=dict(headers)))
    assert (status, body["error"]["code"]) == (403, "missing_scope")
    with pytest.raises(HTTPClientError) as error:
        await jp_fetch("api", "contents", headers=dict(headers))
    assert error.value.code == 403
    assert (await jp_fetch("rsql", "admin", "api", "keys")).code == 200

    await jp_serverapp.extension_manager.stop_all_extensions()
    assert "RSQL_SERVER_TOKEN" not in os.environ


async def test_it_tells_webhooks_and_works_off_jobs_until_it_stops(jp_serverapp):
    await jp_serverapp.extension_manager.start_all_extensions()

    def working():
        return {task.get_name() for task in asyncio.all_tasks()} & {"rsql-webhooks", "rsql-jobs"}

    assert working() == {"rsql-webhooks", "rsql-jobs"}
    await jp_serverapp.extension_manager.stop_all_extensions()
    await asyncio.sleep(0)
    assert working() == set()


async def test_cookies_open_what_only_shows(jp_fetch):
    login = await jp_fetch("api/status")
    cookie = {"Cookie": login.headers["Set-Cookie"].split(";")[0], "Authorization": ""}

    assert json.loads((await jp_fetch("rsql", "stats", headers=dict(cookie))).body)["limits"]
    status, _ = await refused(jp_fetch("rsql", "chat", method="POST", body='{"message": "Hi"}', headers=dict(cookie)))
    assert status == 401


async def test_pages_of_the_server_change_something_by_its_cookies_and_others_do_not(jp_fetch):
    login = await jp_fetch("api/status")
    session, mark = login.headers["Set-Cookie"].split(";")[0], "0123456789abcdef"
    headers = {"Cookie": f"{session}; _xsrf={mark}", "Authorization": ""}

    async def change(**more):
        return await jp_fetch("rsql", "admin", "health-check", method="POST", body="{}", headers={**headers, **more})

    assert (await change(**{"X-XSRFToken": mark})).code == 200
    forged = ({}, {"X-XSRFToken": "fedcba9876543210"}, {"X-XSRFToken": mark, "Origin": "https://evil.example"})
    for more in (*forged, {"Cookie": session, "X-XSRFToken": mark}, {"Cookie": f"_xsrf={mark}", "X-XSRFToken": mark}):
        assert (await refused(change(**more)))[0] == 401
    page = await jp_fetch("rsql", "admin", headers={"Accept": "text/html", "Authorization": ""})
    assert '<meta name="rsql-session" content="">' in page.body.decode()


async def test_a_cookie_does_not_help_a_wrong_token(jp_fetch):
    login = await jp_fetch("api/status")
    headers = {"Cookie": login.headers["Set-Cookie"].split(";")[0], "Authorization": "token wrong"}

    assert (await refused(jp_fetch("rsql", "stats", headers=headers)))[0] == 401


async def test_streams_pass_through_the_server(jp_fetch):
    pieces = []
    body = json.dumps({**json.loads(ASK), "stream": True})
    reply = await jp_fetch("rsql/v1/chat/completions", method="POST", body=body, streaming_callback=pieces.append)

    assert reply.headers["Content-Type"] == "text/event-stream"
    assert b"".join(pieces).endswith(b"data: [DONE]\n\n")


class TestWithoutAuthentication:
    """A server that lets anybody in lets them ask, but not the pages of other sites."""

    @pytest.fixture
    def jp_server_config(self):
        return {
            "ServerApp": {"jpserver_extensions": {"jupyter_server_ext": True}},
            "IdentityProvider": {"token": ""},
            "PasswordIdentityProvider": {"token": ""},
        }

    @pytest.fixture
    def jp_auth_header(self):
        return {}

    async def test_anybody_may_ask_but_other_sites(self, jp_serverapp, jp_fetch):
        jp_serverapp.identity_provider.token = ""
        assert not jp_serverapp.identity_provider.auth_enabled
        assert (await jp_fetch("rsql/v1/chat/completions", method="POST", body=ASK)).code == 200
        for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
            status, _ = await refused(jp_fetch("rsql/v1/chat/completions", method="POST", body=ASK, headers=headers))
            assert status == 401


class TestWithAWrongFile:
    """The server starts; the gateway says that it is off and why."""

    @pytest.fixture
    def jp_server_config(self, tmp_path):
        file = tmp_path / "rsql.toml"
        file.write_text("[pool]\njitter = 3")
        return {
            "ServerApp": {"jpserver_extensions": {"jupyter_server_ext": True}},
            "RSQLGatewayApp": {"gateway_config": str(file)},
        }

    async def test_the_line_is_in_the_log_and_the_rest_works(self, jp_fetch, caplog):
        assert (await jp_fetch("api/status")).code == 200
        for path in ("rsql/health", "rsql/stats"):
            status, body = await refused(jp_fetch(path))
            assert (status, body["status"], body["error"]["code"]) == (503, "unavailable", "config_error")


class TestWithOptions:
    """The prefix and the file are options of the server."""

    @pytest.fixture
    def jp_server_config(self, tmp_path):
        file = tmp_path / "rsql.toml"
        file.write_text('[[keys]]\nprovider = "offline"\n[limits.caller]\nrequests_per_minute = 7')
        return {
            "ServerApp": {"jpserver_extensions": {"jupyter_server_ext": True}},
            "RSQLGatewayApp": {"gateway_config": str(file), "url_prefix": "ai/rsql"},
        }

    async def test_they_hold(self, jp_serverapp, jp_fetch):
        stats = json.loads((await jp_fetch("ai/rsql/stats")).body)

        assert stats["limits"]["minute"]["limit"] == 7
        await jp_serverapp.extension_manager.start_all_extensions()
        assert os.environ["RSQL_SERVER_URL"].endswith("/a%40b/ai/rsql/")


class TestWithoutAPrefix:
    """The gateway does not take over the whole server."""

    @pytest.fixture
    def jp_server_config(self):
        return {
            "ServerApp": {"jpserver_extensions": {"jupyter_server_ext": True}},
            "RSQLGatewayApp": {"url_prefix": "/"},
        }

    async def test_it_keeps_its_own(self, jp_fetch):
        assert (await jp_fetch("rsql/health")).code == 200
        assert "kernels" in json.loads((await jp_fetch("api/status")).body)


@pytest.mark.parametrize(
    ("ip", "certfile", "sock", "url"),
    [
        ("127.0.0.1", "", "", "http://127.0.0.1:8888/"),
        ("localhost", "", "", "http://127.0.0.1:8888/"),
        ("", "", "", "http://127.0.0.1:8888/"),
        ("*", "", "", "http://127.0.0.1:8888/"),
        ("0.0.0.0", "", "", "http://127.0.0.1:8888/"),
        ("::", "", "", "http://[::1]:8888/"),
        ("::1", "", "", "http://[::1]:8888/"),
        ("10.0.0.7", "", "", "http://10.0.0.7:8888/"),
        ("hub.example", "server.pem", "", "https://hub.example:8888/"),
        ("localhost", "", "/run/jupyter.sock", ""),
    ],
)
def test_kernels_reach_the_server_by_the_shortest_way(ip, certfile, sock, url):
    assert server_url(SimpleNamespace(ip=ip, port=8888, certfile=certfile, sock=sock)) == url


async def session_of(jp_fetch):
    login = await jp_fetch("api/status")
    return {"Cookie": login.headers["Set-Cookie"].split(";")[0], "Authorization": ""}


class TestInAUsersServerOfAHub:
    """Without subdomains the servers of all users are on one origin: no cookie counts, and no page is shown."""

    @pytest.fixture(autouse=True)
    def _server(self, monkeypatch):
        monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/ada/")
        monkeypatch.setenv("JUPYTERHUB_HOST", "")

    async def test_cookies_open_nothing_and_tokens_do(self, jp_fetch):
        session = await session_of(jp_fetch)
        for path in (("rsql", "stats"), ("rsql", "admin", "api", "keys"), ("rsql", "me")):
            status, body = await refused(jp_fetch(*path, headers=dict(session)))
            assert (status, "rsql console" in body["error"]["message"]) == (401, True)
        for path in (("rsql/",), ("rsql", "admin")):
            with pytest.raises(HTTPClientError) as error:
                await jp_fetch(*path, headers={**session, "Accept": "text/html"})
            assert (error.value.code, b"rsql console" in error.value.response.body) == (403, True)
        assert (await jp_fetch("rsql", "stats")).code == 200


class TestInAUsersServerOfAHubWithSubdomains:
    @pytest.fixture(autouse=True)
    def _server(self, monkeypatch):
        monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/ada/")
        monkeypatch.setenv("JUPYTERHUB_HOST", "https://hub.example.org")

    async def test_cookies_open_what_only_shows(self, jp_fetch):
        assert (await jp_fetch("rsql", "stats", headers=await session_of(jp_fetch))).code == 200
