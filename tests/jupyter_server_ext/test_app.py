"""``jupyter rsql`` as people and programs start it: alone, with mistakes, and embedded in a kernel's life."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from jupyter_core.application import JupyterApp

from jupyter_server_ext.app import main
from jupyter_server_ext.app.advice import advice_on
from jupyter_server_ext.app.assembly import RSQLGatewayApp, open_state, owner
from jupyter_server_ext.app.command import GatewayCommand
from jupyter_server_ext.app.serve import Listening, serve
from jupyter_server_ext.config import SCOPES, Settings
from jupyter_server_ext.config.toml_file import read_settings
from jupyter_server_ext.errors import ConfigError

COMMAND = [sys.executable, "-P", "-m", "jupyter_server_ext"]
ASK = {"messages": [{"role": "user", "content": "Question: What can you do?"}]}


def start(*arguments, token="server-token", **options):
    environment = {**os.environ, "JUPYTER_TOKEN": token}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*COMMAND, *arguments], env=environment, **pipes, **options)


def ready_url(process) -> str:
    line = process.stdout.readline()
    assert line.startswith("rsql gateway ready at "), line + process.stderr.read()
    return line.split()[-1]


def stop(process, number=signal.SIGTERM) -> tuple[str, str]:
    process.send_signal(number)
    return process.communicate(timeout=240)


@pytest.fixture(scope="module")
def alone(programs, tmp_path_factory):
    """One gateway on its own, with a file."""
    file = tmp_path_factory.mktemp("config") / "rsql.toml"
    file.write_text('[[keys]]\nprovider = "offline"\n[[api_keys]]\nname = "ada"\nkey = "${ADA_KEY}"\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADA_KEY", "ada-token")
        process = start("--ip", "127.0.0.1", "--port", "0", "--no-browser", "--gateway-config", str(file))
    yield ready_url(process)
    rest, errors = stop(process)
    said = [line for line in errors.splitlines() if "rsql-head" not in line]  # besides the end of the ledger's chain
    assert (process.returncode, rest, said) == (0, "", [])


def test_it_says_where_it_is_and_answers_there(alone):
    assert alone.startswith("http://127.0.0.1:")
    assert alone.endswith("/rsql/")
    assert httpx.get(f"{alone}health").json()["status"] == "ok"


@pytest.mark.parametrize("token", ["server-token", "ada-token"])
def test_the_servers_token_and_those_of_the_file_open_it(alone, token):
    reply = httpx.post(f"{alone}v1/chat/completions", json=ASK, headers={"Authorization": f"Bearer {token}"})

    assert reply.json()["choices"][0]["message"]["content"]
    assert reply.json()["rsql"]["key"] == "offline"


def test_options_may_stand_in_a_file_of_jupyters(programs, tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path))
    (tmp_path / "jupyter_rsql_config.py").write_text('c.RSQLGatewayApp.url_prefix = "elsewhere"\n')
    process = start("--port", "0")

    assert ready_url(process).endswith("/elsewhere/")
    stop(process)


def test_a_process_that_holds_keys_serves_nothing_else(alone):
    for path in ("/", "/api", "/api/kernels", "/api/contents", "/api/terminals", "/lab", "/tree", "/files/", "/login"):
        reply = httpx.get(httpx.URL(alone).join(path), headers={"Authorization": "token server-token"})
        assert (path, reply.status_code) == (path, 404)


def test_the_servers_token_administers_and_a_callers_does_not(alone):
    for token, status in (("server-token", 200), ("ada-token", 403)):
        assert httpx.get(f"{alone}admin/api/keys", headers={"Authorization": f"Bearer {token}"}).status_code == status


def test_a_mistyped_option_does_not_start_it(monkeypatch, capsys):
    GatewayCommand.clear_instance()
    with pytest.raises(SystemExit) as end:
        main(["--gatway-config", "rsql.toml"])
    GatewayCommand.clear_instance()

    assert end.value.code != 0
    assert "--gatway-config" in capsys.readouterr().err


def refused(monkeypatch, capsys, *arguments, token="server-token") -> str:
    """The one line that a wrong start gives."""
    monkeypatch.setenv("JUPYTER_TOKEN", token)
    # A gateway freezes what there is as it starts: what one that ends at once leaves would not be collected below.
    monkeypatch.setattr(gc, "freeze", lambda: None)
    GatewayCommand.clear_instance()
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    GatewayCommand.clear_instance()
    said, code = capsys.readouterr(), end.value.code
    del end
    gc.collect()
    assert code == 1
    assert said.out == ""
    assert said.err.count("\n") == 1
    return said.err


def test_the_help_names_every_option_in_short_words(programs):
    shown = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, check=True).stdout
    own = set(GatewayCommand.class_trait_names(config=True)) - set(JupyterApp.class_trait_names(config=True))
    for name in own:
        assert f"  --{name.replace('_', '-')} " in shown
    assert "RSQLGatewayApp" not in shown
    assert max(map(len, shown.splitlines())) <= 120


@pytest.mark.slow
def test_a_wrong_file_is_one_line_with_the_place(monkeypatch, capsys, tmp_path):
    file = tmp_path / "rsql.toml"
    file.write_text('[[keys]]\nprovider = "groq"\nkey = "gsk_secret"\nrpm = "30"\n')

    line = refused(monkeypatch, capsys, "--gateway-config", str(file))

    assert line.endswith("rsql.toml, line 4: 'rpm' in [[keys]] must be a whole number, not text.\n")
    assert "gsk_secret" not in line


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--gateway-config", "nowhere.toml"], "nowhere.toml: cannot be read"),
        (["--prot", "8899"], "no option --prot"),
        (["--RSQLGatewayApp.prot=8899"], "no option --RSQLGatewayApp.prot"),
        (["--port", "abc"], "'port' must be a whole number, not 'abc'. See jupyter rsql --help."),
        (["--port", "99999"], "'port' must be at most 65535, not 99999."),
        (["--gateway-config"], "--gateway-config: expected one argument."),
        (["--url-prefix", "a b"], "'url_prefix' may hold letters"),
        (["serve"], "'serve' is not an option"),
        (["--ip", "192.0.2.1", "--port", "0"], "Cannot listen"),
        (["--certfile", "nowhere.pem", "--port", "0"], "certificate"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(monkeypatch, capsys, arguments, words):
    assert words in refused(monkeypatch, capsys, *arguments)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # tornado's, of the socket it could not bind
def test_a_port_in_use_is_said(monkeypatch, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        assert f"port {port} of 127.0.0.1" in refused(monkeypatch, capsys, "--port", str(port))


@pytest.mark.parametrize(
    ("storage", "words"),
    [
        ('state = "mongodb://localhost"', "'state' in"),
        ('state = "redis://localhost:x"', "a port that is no number"),
        ('state = "redis+sentinel://:s3cret@localhost:x/name"', "a port that is no number"),
    ],
)
def test_state_that_cannot_be_kept_refuses_to_start(storage, words):
    with pytest.raises(ConfigError, match=words) as refused:
        open_state(read_settings(f"[storage]\n{storage}", {}))
    assert "s3cret" not in str(refused.value)


def test_a_gateway_that_nobody_could_ask_does_not_start(monkeypatch, capsys):
    assert "JUPYTER_TOKEN" in refused(monkeypatch, capsys, token="")


def test_what_is_configured_and_not_there_yet_is_said():
    assert [*advice_on(Settings())] == []
    text = '[limits.caller]\nusd_per_day = 5\n[storage]\nledger = "memory://"\n[cache]\nttl_seconds = 60'
    assert [words.split()[3] for words in advice_on(read_settings(text, {}))] == ["usd_per_day"]
    assert [*advice_on(read_settings(text.replace("[storage]", '[storage]\nstate = "redis://localhost"'), {}))] == []


def gone(pid: int, seconds: float = 5.0) -> bool:
    """Whether a process that is not our child ends in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z":
                time.sleep(0.02)
                continue
        return True
    return False


KERNEL = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-P", "-m", "jupyter_server_ext", "--embedded"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
print(child.pid, child.stdout.readline(), flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_embedded_gateway_ends_with_its_kernel_even_when_that_is_killed(programs):
    environment = {**os.environ, "JUPYTER_TOKEN": "kernel-token"}
    kernel = subprocess.Popen([sys.executable, "-c", KERNEL], env=environment, stdout=subprocess.PIPE, text=True)
    pid, *_, url = kernel.stdout.readline().split()
    reply = httpx.post(f"{url}chat", json={"message": "Hi"}, headers={"Authorization": "Bearer kernel-token"})
    assert reply.status_code == 200

    kernel.kill()
    kernel.communicate()

    assert gone(int(pid))
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_an_embedded_gateway_ends_with_the_process_it_was_told_of(programs):
    with subprocess.Popen(["sleep", "60"]) as other:
        process = start("--embedded", f"--parent-pid={other.pid}", stdin=subprocess.PIPE)
        ready_url(process)
        other.kill()
        assert process.wait(60) == 0
        process.communicate()


def test_an_embedded_gateway_is_not_for_other_machines(programs, tmp_path):
    process = start("--embedded", "--ip", "0.0.0.0", "--port", "1", stdin=subprocess.PIPE)

    assert ready_url(process).startswith("http://127.0.0.1:")
    process.stdin.close()
    assert process.wait(60) == 0
    process.stdout.close()
    process.stderr.close()


@pytest.mark.asyncio
async def test_what_is_under_way_is_answered_before_the_end(served):
    async with served() as gateway:
        answer, end, url = asyncio.Event(), asyncio.Event(), asyncio.get_running_loop().create_future()
        gateway.gateway.events = [answer, b"{}"]
        listening = Listening(port=0, until=end.wait, signals=(), drain_seconds=5)
        serving = asyncio.ensure_future(serve(replace(gateway.app, base="/rsql/"), listening, url.set_result))
        async with httpx.AsyncClient() as client:
            ask = client.post(
                f"{await url}v1/chat/completions", json=ASK, headers={"Authorization": "Bearer ada-token"}
            )
            asking = asyncio.ensure_future(ask)
            while not gateway.gateway.asked:
                await asyncio.sleep(0.01)
            end.set()
            await asyncio.sleep(0.05)
            assert not serving.done()
            with pytest.raises(httpx.ConnectError):
                await client.get(f"{await url}health")
            answer.set()
            assert (await asking).status_code == 200
        await asyncio.wait_for(serving, 60)


@pytest.mark.asyncio
async def test_nobody_is_answered_by_half_a_gateway(served, monkeypatch):
    """Neither before it has reached the others, nor while it closes what it needs."""
    async with served() as gateway:
        reached, closed, end = asyncio.Event(), asyncio.Event(), asyncio.Event()
        monkeypatch.setattr(gateway.gateway, "start", reached.wait)
        close = gateway.gateway.close

        async def closing():
            await closed.wait()
            await close()

        monkeypatch.setattr(gateway.gateway, "close", closing)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        listening = Listening(port=port, until=end.wait, signals=(), drain_seconds=5)
        serving = asyncio.ensure_future(serve(replace(gateway.app, base="/"), listening, lambda _: None))
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            await asyncio.sleep(0.05)
            with pytest.raises(httpx.ReadTimeout):
                await client.get("/health", timeout=0.1)
            asking = asyncio.ensure_future(client.get("/health"))
            reached.set()
            assert (await asking).status_code == 200
            end.set()
            await asyncio.sleep(0.05)
            with pytest.raises(
                httpx.RemoteProtocolError, match="without sending a response"
            ):  # over the kept connection
                await client.get("/health")
        closed.set()
        await asyncio.wait_for(serving, 60)


@pytest.mark.asyncio
async def test_a_second_signal_does_not_wait(served):
    async with served() as gateway:
        gateway.gateway.events = [asyncio.Event()]
        url = asyncio.get_running_loop().create_future()
        listening = Listening(port=0, signals=(signal.SIGUSR1,), drain_seconds=60)
        serving = asyncio.ensure_future(serve(gateway.app, listening, url.set_result))
        async with httpx.AsyncClient() as client:
            ask = client.post(
                f"{await url}v1/chat/completions", json=ASK, headers={"Authorization": "Bearer ada-token"}
            )
            asking = asyncio.ensure_future(ask)
            while not gateway.gateway.asked:
                await asyncio.sleep(0.01)
            os.kill(os.getpid(), signal.SIGUSR1)
            await asyncio.sleep(0.05)
            assert not serving.done()
            os.kill(os.getpid(), signal.SIGUSR1)
            await asyncio.wait_for(serving, 60)
            await asyncio.wait_for(gateway.gateway.ended.wait(), 5)
            told = (await asking).json()["error"]
            assert "restarted" in told["message"]


@pytest.mark.parametrize(
    ("server", "prefix", "base"),
    [
        ("/", "rsql", "/rsql/"),
        ("/user/ada/", "rsql", "/user/ada/rsql/"),
        ("services/x", "", "/services/x/"),
        ("/", "/a/b", "/a/b/"),
        ("/", "", "/"),
    ],
)
def test_the_prefix_is_below_the_servers_base(server, prefix, base):
    assert RSQLGatewayApp(url_prefix=prefix).base_below(server) == base


def test_the_owner_is_the_hubs_user_or_the_systems():
    assert owner({"JUPYTERHUB_USER": "ada"}).name == "ada"
    assert owner({}).name
    assert owner({}).scopes == set(SCOPES)


@pytest.mark.parametrize(
    ("ip", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80/rsql/"),
        ("", "http://127.0.0.1:80/rsql/"),
        ("0.0.0.0", "http://127.0.0.1:80/rsql/"),
        ("::", "http://[::1]:80/rsql/"),
        ("localhost", "http://localhost:80/rsql/"),
    ],
)
def test_the_address_that_is_told_can_be_opened(ip, url):
    assert Listening(ip).url(80, "/rsql/") == url


def test_a_start_loads_no_library_that_may_not_be_needed(programs):
    code = "import sys, jupyter_server_ext.app.command; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=240
    ).stdout
    assert not {"sqlalchemy", "cryptography", "redis", "sqlglot", "structlog", "genai_prices"} & {*loaded.split()}
