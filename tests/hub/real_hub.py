"""A real JupyterHub: configurable-http-proxy, the gateway as its service, users' servers and their kernels."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import httpx
import psutil
import websocket
from e2e.conftest import TOKEN as TESTER
from servers import free_port
from waiting import eventually

ROOT = Path(__file__).parents[2]
PROXY = ROOT / "build" / "npm" / "node_modules" / ".bin" / "configurable-http-proxy"

_CONFIG = """
import sys
from jupyter_server_ext.jupyterhub import configure

c = get_config()
c.JupyterHub.bind_url = "http://127.0.0.1:{port}{base}"
c.JupyterHub.public_url = {public!r}
c.JupyterHub.hub_port = {hub_port}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api_port}"
c.ConfigurableHTTPProxy.command = ["node", {proxy!r}]
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.Authenticator.admin_users = {{"boss"}}
c.Authenticator.allowed_users = {users!r}
c.JupyterHub.load_groups = {groups!r}
c.JupyterHub.spawner_class = "simple"
c.JupyterHub.allow_named_servers = True
c.JupyterHub.concurrent_spawn_limit = 0
c.SimpleLocalProcessSpawner.home_dir_template = {home!r} + "/{{username}}"
c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.singleuser"]
c.Spawner.args = [
    "--allow-root",
    "--ServerApp.jpserver_extensions={{'jupyterlab': False, 'notebook': False, 'jupyter_lsp': False}}",
]
c.Spawner.environment = {{"JUPYTERHUB_SINGLEUSER_APP": "jupyter_server.serverapp.ServerApp"}}

def with_jupyterlab(spawner):
    if spawner.user.name in {lab!r}:
        spawner.args = [
            "--allow-root",
            "--LabApp.expose_app_in_browser=True",
            "--JupyterNotebookApp.expose_app_in_browser=True",
        ]
        spawner.environment = {environment!r}

c.Spawner.pre_spawn_hook = with_jupyterlab
c.JupyterHub.services = [{{"name": "tester", "api_token": {tester!r}}}, *{beside!r}]
c.JupyterHub.load_roles = [{{
    "name": "tester", "services": ["tester"],
    "scopes": ["admin:users", "admin:servers", "admin:groups", "tokens", "access:servers", "access:services"],
}}]
configure(c, config={rsql!r}, url="http://127.0.0.1:{service_port}", cwd={home!r}, **{options!r})
"""


class RealHub:
    """A hub in a folder of its own.

    Args:
        folder: For its database, log and users' homes.
        rsql: The text of the gateway's rsql.toml.
        groups: As ``c.JupyterHub.load_groups`` has them.
        base: Path of the hub.
        lab: Users whose servers have JupyterLab; others' have kernels only, which start sooner.
        environment: Of the servers with JupyterLab.
        beside: Other servers below the hub, ``services/NAME/``, by their addresses: on its origin, as users' are.
        public: What browsers call the hub, without its port; 127.0.0.1 without it.
        options: More for ``configure``. ``console`` is a name of this machine that no server of a user has.
    """

    def __init__(
        self, folder, rsql, groups=None, *, base="/", lab=(), environment=None, beside=None, public="", **options
    ):
        self.folder = Path(folder)
        self.base = base
        self.groups, self.lab, self.environment = groups or {}, tuple(lab), environment or {}
        self.port, self.hub_port, self.api_port, self.service_port = (free_port() for _ in range(4))
        self.console = f"http://localhost:{self.service_port}"
        self.beside = [{"name": name, "url": url} for name, url in (beside or {}).items()]
        self.public = f"{public or 'http://127.0.0.1'}:{self.port}{base}"
        self.options = {"console": self.console, **options}
        (self.folder / "rsql.toml").write_text(rsql)
        self.log_path = self.folder / "hub.log"
        self._process = None
        self.http = httpx.Client(trust_env=False, timeout=240)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}{self.base}"

    @property
    def gateway(self):
        return f"{self.url}services/rsql/"

    @property
    def pages(self):
        """Where browsers see the gateway."""
        return f"{self.console}{self.base}services/rsql/"

    @property
    def direct(self):
        """The gateway without the hub's proxy."""
        return f"http://127.0.0.1:{self.service_port}{self.base}services/rsql/"

    def log(self):
        return self.log_path.read_text(errors="replace")[-6000:]

    def start(self):
        users = {user for group in self.groups.values() for user in group["users"]} | {"boss"}
        config = self.folder / "jupyterhub_config.py"
        config.write_text(
            _CONFIG.format(
                port=self.port,
                base=self.base,
                hub_port=self.hub_port,
                api_port=self.api_port,
                service_port=self.service_port,
                proxy=str(PROXY),
                users=users,
                groups=self.groups,
                lab=self.lab,
                environment=self.environment,
                home=str(self.folder),
                tester=TESTER,
                beside=self.beside,
                public=self.public,
                rsql=str(self.folder / "rsql.toml"),
                options=self.options,
            )
        )
        environment = {key: value for key, value in os.environ.items() if not key.startswith("JUPYTERHUB")}
        self.launch([sys.executable, "-m", "jupyterhub", "-f", str(config)], environment)

    def launch(self, command, environment):
        """Start the hub by a command, and wait until it serves."""
        with self.log_path.open("a") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        eventually(lambda: self._answers(f"{self.url}hub/api/"), self.log)
        if self.options.get("managed", True):
            eventually(lambda: self._answers(f"{self.gateway}health"), self.log)
            if self.options["console"] == f"http://localhost:{self.service_port}":  # once the gateway has looked there
                eventually(lambda: self.http.get(f"{self.pages}admin").status_code != 403, self.log)

    def _answers(self, url):
        assert self._process.poll() is None, self.log()
        try:
            return self.http.get(url, timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def stop(self):
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(30)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
            self._process = None

    @property
    def pid(self):
        """The hub's own process."""
        return self._process.pid

    def kill(self):
        """End the hub's own process and leave its children behind."""
        self._process.kill()
        self._process.wait(60)
        self._process = None

    def close(self):
        """End all that runs in the hub's folder at once; the hub would end one thing after the other."""
        running = [one for one in psutil.process_iter(["cwd"]) if str(one.info["cwd"]).startswith(str(self.folder))]
        for signalled in (psutil.Process.terminate, psutil.Process.kill):
            for one in running:
                with contextlib.suppress(psutil.NoSuchProcess):
                    signalled(one)
            _, running = psutil.wait_procs(running, timeout=5)
        if self._process is not None:
            self._process.wait(60)
        self.http.close()

    def api(self, method, path, body=None, expect=range(200, 300)):
        """Ask the hub's API as the one who may do everything here."""
        reply = self.http.request(
            method, f"{self.url}hub/api/{path}", json=body, headers={"Authorization": f"token {TESTER}"}
        )
        assert reply.status_code in expect, f"{method} {path}: {reply.status_code} {reply.text}"
        return reply.json() if reply.content and reply.status_code != 404 else None

    def token(self, user, **options):
        return self.api("POST", f"users/{user}/tokens", options)["token"]

    def ask(self, path, token, method="GET", *, direct=False, headers=None, **options):
        """A request to the gateway with somebody's token."""
        given = {"Authorization": f"Bearer {token}"} if token is not None else {}
        base = self.direct if direct else self.gateway
        return self.http.request(method, base + path, headers=given | (headers or {}), **options)

    def complete(self, token, text="Hi", model=None, **options):
        body = {"messages": [{"role": "user", "content": text}], **({"model": model} if model else {})}
        return self.ask("v1/chat/completions", token, "POST", json=body, **options)

    def start_servers(self, *names):
        """Start users' servers side by side; ``ada/lab`` is ada's named server."""
        for name in names:
            user, _, server = name.partition("/")
            self.api("POST", f"users/{user}/servers/{server}" if server else f"users/{user}/server")
        for name in names:
            eventually(lambda n=name: self._ready(n), self.log)

    def _ready(self, name):
        user, _, server = name.partition("/")
        return self.api("GET", f"users/{user}")["servers"].get(server, {}).get("ready")

    def kernel(self, name):
        user, _, server = name.partition("/")
        return HubKernel(self, f"{self.url}user/{user}/{server + '/' if server else ''}")


class HubKernel:
    """A kernel on somebody's server, reached as a browser reaches it: through the hub's proxy."""

    def __init__(self, hub, server):
        self._headers = {"Authorization": f"token {TESTER}"}
        self._http = hub.http
        self._kernels = f"{server}api/kernels"
        reply = hub.http.post(self._kernels, json={"name": "python3"}, headers=self._headers)
        assert reply.status_code == 201, reply.text
        self.id = reply.json()["id"]
        self._socket = websocket.create_connection(
            f"{self._kernels.replace('http', 'ws', 1)}/{self.id}/channels",
            header=[f"Authorization: token {TESTER}"],
            timeout=240,
        )

    def messages(self, code):
        """Messages that a cell causes, as they come, until it is idle."""
        for message in self._sent(code):
            if message["channel"] == "iopub":
                yield message

    def _sent(self, code):
        request = uuid.uuid4().hex
        header = {"msg_id": request, "msg_type": "execute_request", "username": "", "session": "test", "version": "5.3"}
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": True}
        self._socket.send(
            json.dumps({"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"})
        )
        idle = replied = False
        while not (idle and replied):
            message = json.loads(self._socket.recv())
            if message["parent_header"].get("msg_id") != request:
                continue
            replied |= message["msg_type"] == "execute_reply"
            idle |= message["msg_type"] == "status" and message["content"]["execution_state"] == "idle"
            yield message

    def run(self, code):
        """What a cell showed, as one text; an error is part of it."""
        shown = []
        for message in self.messages(code):
            content = message["content"]
            if message["msg_type"] == "stream":
                shown.append(content["text"])
            elif message["msg_type"] in {"display_data", "execute_result", "update_display_data"}:
                shown.append(content["data"].get("text/markdown") or content["data"].get("text/plain", ""))
            elif message["msg_type"] == "error":
                shown.append(f"{content['ename']}: {content['evalue']}")
        return "\n".join(shown)

    def close(self):
        self._socket.close()
        self._http.delete(f"{self._kernels}/{self.id}", headers=self._headers)
