"""The administrator's guide, command by command: from nothing to a class, backup, restore, upgrade and back.

What the page says is run as it stands, in a new folder and a new environment, but for what a test may not do: folders
of the machine are below the test's own, ports are free ones, the key is the simulated provider's, and packages other
than the project's own are those that the tests have (with RSQL_GUIDE=pypi they are installed, too).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys

import pytest
import servers
from waiting import eventually

from jupyter_server_ext.ledger import SqlLedgerStore
from jupyter_server_ext.messages import Entry

from .real_hub import PROXY, ROOT, TESTER, RealHub

PAGE = (ROOT / "docs" / "administration.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```", PAGE, re.M | re.S)
FROM_PYPI = os.environ.get("RSQL_GUIDE") == "pypi"
FOLDERS = ("rsql_magic", "jupyter_server_ext", "jupyter-config", "r")
SHIPPED = (*FOLDERS, "pyproject.toml", "hatch_build.py", "README.md", "LICENSE")
MORE = """
c.JupyterHub.hub_port = {hub_port}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api_port}"
c.SimpleLocalProcessSpawner.home_dir_template = {home!r}
c.JupyterHub.services = [{{"name": "tester", "api_token": {tester!r}}}]
c.JupyterHub.load_roles = [{{
    "name": "tester", "services": ["tester"],
    "scopes": ["admin:users", "admin:servers", "admin:groups", "tokens", "access:servers", "access:services"],
}}]
"""
VENV = """#!/bin/sh
{python} "$@" || exit
[ "$2" = venv ] || exit 0
site=$(echo "$3"/lib/python*/site-packages)
echo {packages} > "$site/packages.pth"
for line in jupyter:jupyter_core.command:main jupyterhub:jupyterhub.app:main \\
  jupyterhub-singleuser:jupyterhub.singleuser:main; do
  IFS=: read -r name module function <<END
$line
END
  printf '#!%s/bin/python\\nimport sys\\nfrom %s import %s as main\\nsys.exit(main())\\n' \\
    "$3" "$module" "$function" > "$3/bin/$name"
  chmod +x "$3/bin/$name"
done
"""
"""``python3`` whose new environments find the packages that the tests have."""


class Trial(RealHub):
    """A machine on which somebody follows the guide."""

    def __init__(self, folder, provider):
        super().__init__(folder, "")
        self.provider = provider
        self.done = []
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("JUPYTERHUB", "VIRTUAL_ENV"))},
            "HOME": str(folder),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_ROOT_USER_ACTION": "ignore",
            "PIP_NO_COMPILE": "1",  # most of it is never imported here
            **{f"GIT_{who}_{what}": "test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        }
        own = folder / "bin"
        own.mkdir()
        if not FROM_PYPI:
            (packages,) = {path for path in sys.path if path.endswith("site-packages") and path.startswith(sys.prefix)}
            base = os.path.realpath(sys.executable)
            (own / "python3").write_text(VENV.format(python=base, packages=packages))
            (own / "python3").chmod(0o755)
            # pip reads "0" as: do not isolate.
            self.environment |= {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0"}
        self.environment["PATH"] = os.pathsep.join(
            [f"{folder}/srv/hub/bin", str(own), str(PROXY.parent), os.environ["PATH"]]
        )
        for name in ("srv", "etc", "var/lib", "var/backups", "homes"):
            (folder / name).mkdir(parents=True)

    def here(self, code):
        """The commands of a block, for this machine."""
        for path in ("/etc/jupyterhub", "/var/lib/rsql", "/var/backups", "/srv/hub"):
            code = code.replace(path, f"{self.folder}{path}")
        code = code.replace("npm install -g configurable-http-proxy@5", "command -v configurable-http-proxy")
        code = code.replace("127.0.0.1:8000", f"127.0.0.1:{self.port}")
        return code.replace('key = "gsk_…"', f'key = "gsk-simulated"\nbase_url = "{self.provider.url}"')

    def block(self, beginning):
        """The block of the page that holds these words; it is ticked off."""
        (found,) = [code for _, code in BLOCKS if beginning in code]
        self.done.append(found)
        return self.here(found)

    def again(self, beginning):
        """A block that was run before."""
        return self.here(next(code for _, code in BLOCKS if beginning in code))

    def sh(self, code, cwd=None, **environment):
        """What commands print."""
        done = subprocess.run(
            ["sh", "-ec", code],
            cwd=cwd or self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=900 if FROM_PYPI else 120,
            check=False,
        )
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def configure(self, code):
        """Write the guide's lines at the end of the configuration, after what only a test needs."""
        homes = f"{self.folder}/homes/{{username}}"
        more = MORE.format(hub_port=self.hub_port, api_port=self.api_port, home=homes, tester=TESTER)
        code = code.replace('rsql.toml")', f'rsql.toml", url="http://127.0.0.1:{self.service_port}")')
        with (self.folder / "jupyterhub_config.py").open("a") as file:
            file.write(f"{more}\n{code}")

    def begin(self):
        """Start the hub as the guide does."""
        command = self.again("jupyterhub -f").strip()
        self.launch(["sh", "-c", f"exec {command}"], self.environment)

    def restart_gateway(self, pkill):
        """Do what a line with ``pkill --oldest`` does, when it has found the supervisor of this hub and nobody else."""
        words = pkill.split('"')[1]
        (supervisor,) = map(int, self.sh(f"pgrep --oldest -f '{words.replace('supervisor', 's[u]pervisor')}'").split())
        before = self.sh(f"pgrep -P {supervisor}")
        os.kill(supervisor, signal.SIGUSR1)
        eventually(lambda: self.sh(f"pgrep -P {supervisor} || true") not in ("", before))
        eventually(lambda: self._answers(f"{self.gateway}health"))


@pytest.fixture(scope="module")
def trial(tmp_path_factory, provider):
    trial = Trial(tmp_path_factory.mktemp("guide"), provider)
    upstream = trial.folder / "upstream"
    upstream.mkdir()
    for name in SHIPPED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, upstream / name)
    trial.sh("git init -q -b main && git add -A && git commit -q -m one", upstream)
    trial.sh("git clone -q upstream clone")
    try:
        yield trial
    finally:
        trial.close()


@pytest.mark.sweep  # its hub is started, used and stopped by the other files of this folder
@pytest.mark.timeout(0 if FROM_PYPI else 600)
def test_the_guide_from_nothing_to_a_class_and_back(trial):
    clone = trial.folder / "clone"
    trial.sh(trial.block("python3 -m venv"))
    trial.sh(trial.block("pip install .          #"), clone)
    trial.sh(trial.block("install -d"))
    assert (trial.folder / "etc/jupyterhub/rsql.toml").stat().st_mode & 0o777 == 0o600
    assert "75 users, 25 requests a day each" in trial.sh(trial.block("jupyter rsql sizing"))
    trial.configure(trial.block("from jupyter_server_ext.jupyterhub"))
    trial.block("jupyterhub -f")
    trial.begin()
    look(trial)
    a_class(trial)
    copied_and_restored(trial)
    upgraded_and_back(trial, clone)

    kept_in_postgresql(trial)

    assert sorted(trial.done) == sorted(code for _, code in BLOCKS), "a command of the page was not run"


def look(trial):
    """What any user sees in a terminal."""
    for name in ("teacher", "ada", "bob"):
        trial.api("POST", f"users/{name}", expect=(201, 409))
    trial.start_servers("ada")
    kernel = trial.kernel("ada")
    told = kernel.run("import json, os; print(json.dumps({k: v for k, v in os.environ.items() if k != 'LS_COLORS'}))")
    kernel.close()
    terminal = json.loads(told)
    shown = trial.sh(trial.block('rsql ask "What'), **terminal)
    assert "1 of 100" in shown
    assert trial.sh("rsql doctor", **terminal)
    assert trial.provider.of("openai/gpt-oss-120b")


def a_class(trial):
    """The group's rules hold as soon as its members are in it."""
    token = trial.token("teacher")
    trial.sh(trial.block("[tenants.stats101]"))
    trial.restart_gateway(trial.block("pkill"))
    trial.sh(trial.block("groups=http"), HUB_TOKEN=token)
    ada = trial.token("ada")
    eventually(lambda: trial.ask("stats", ada).json().get("tenant") == "stats101")
    kernel = trial.kernel("ada")
    kernel.run("%load_ext rsql_magic")
    assert "lazy" in kernel.run("%%ask\nWhat is a median?")
    kernel.close()
    asked = str(trial.provider.of("openai/gpt-oss-120b")[-1].body)
    assert "Give hints, not solutions." in asked
    told = trial.sh(trial.block("admin/api/usage"), HUB_TOKEN=token)
    assert '"ada"' in told
    assert "rsql_requests_total" in told


def copied_and_restored(trial):
    """A copy of the running ledger is whole; what was used and made since is gone when it is put back."""
    ada = trial.token("ada")
    before = trial.ask("keys", ada, "POST", json={"name": "before"}).json()["key"]
    used = trial.ask("stats", ada).json()["limits"]["day"]["current"]
    trial.sh(trial.block("import sqlite3"))
    verified = trial.sh(trial.block("sqlite3 /var/lib"))
    assert "entries" in verified
    assert trial.complete(ada).status_code == 200
    since = trial.ask("keys", ada, "POST", json={"name": "since"}).json()["key"]
    restore(trial, trial.block("cp /var/backups"))

    assert trial.ask("stats", before).json()["limits"]["day"]["current"] == used
    assert trial.ask("stats", since).status_code == 401


def restore(trial, commands):
    trial.stop()
    eventually(lambda: not trial.sh(f"pgrep -f '[k]eeper --gateway-config={trial.folder}/' || true"))
    trial.sh(commands)
    trial.begin()


def kept_in_postgresql(trial):
    """A ledger in PostgreSQL goes back to what it was when the copy was made."""
    with servers.postgresql() as server:
        url = f"{server.url}/postgres"
        store = SqlLedgerStore(url, instance="one")
        store.finish([Entry("r1", at=0.0, caller="ada"), Entry("r2", at=1.0, caller="ada")])
        trial.sh(trial.block("pg_dump").replace("postgresql://rsql@db.example.org/rsql", url))
        store.finish([Entry("r3", at=2.0, caller="ada")])
        store.close()
        verified = trial.sh(trial.block("pg_restore").replace("postgresql://rsql@db.example.org/rsql", url))
        assert "2 entries" in verified


def upgraded_and_back(trial, clone):
    """A new version comes in while the hub runs; the one of before is put back with the backup."""
    version = trial.http.get(f"{trial.gateway}health").json()["version"]
    upstream = trial.folder / "upstream"
    project = (upstream / "pyproject.toml").read_text()
    (upstream / "pyproject.toml").write_text(project.replace(f'version = "{version}"', 'version = "99.0"'))
    trial.sh("git commit -q -a -m two", upstream)
    trial.sh(trial.block("git pull"), clone)
    trial.restart_gateway(trial.again("pkill"))
    assert trial.http.get(f"{trial.gateway}health").json()["version"] == "99.0"

    back = trial.block("git checkout ORIG_HEAD")
    trial.sh(back, clone)
    restore(trial, trial.again("cp /var/backups"))
    assert trial.http.get(f"{trial.gateway}health").json()["version"] == version
    assert trial.complete(trial.token("ada")).status_code == 200
