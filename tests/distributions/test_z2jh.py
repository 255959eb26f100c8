"""Zero to JupyterHub: the chart takes the values, its jupyterhub_config.py starts a hub, and the gateway joins.

What needs a cluster is replaced: pods by processes, and Kubernetes' names by addresses. Helm itself, which makes the
hub's secret from the values, is stood in for by its rules as the chart's templates have them.
"""

from __future__ import annotations

import json
import os
import subprocess

import pytest
import yaml
from distributions.conftest import works_for_ada
from hub.real_hub import PROXY, ROOT, TESTER, RealHub
from waiting import eventually

pytestmark = [pytest.mark.distributions, pytest.mark.timeout(0)]

DEPLOY = ROOT / "deploy" / "jupyterhub"
SERVICE_TOKEN = "made-by-the-chart" * 4
REPLACED = """
import sys
c.JupyterHub.bind_url = "http://127.0.0.1:{port}/"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub_port}"
c.JupyterHub.hub_connect_url = "http://127.0.0.1:{hub_port}"
c.ConfigurableHTTPProxy.should_start = True
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api_port}"
c.ConfigurableHTTPProxy.command = ["node", {proxy!r}]
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = {home!r}
c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.singleuser", "--allow-root"]
pods = c.KubeSpawner.environment
assert pods["RSQL_GATEWAY_URL"] == "http://proxy-public/services/rsql/"
c.Spawner.environment = {{
    **pods, "RSQL_GATEWAY_URL": "http://127.0.0.1:{port}/services/rsql/",
    "JUPYTERHUB_SINGLEUSER_APP": "jupyter_server.serverapp.ServerApp",
}}
for service in c.JupyterHub.services:
    if service["name"] == "rsql":
        assert service["url"] == "http://rsql:10101"
        service["url"] = "http://127.0.0.1:{service_port}"
c.JupyterHub.services = [s for s in c.JupyterHub.services if s["name"] == "rsql"]
c.JupyterHub.services.append({{"name": "tester", "api_token": {tester!r}}})
c.JupyterHub.load_roles = [r for r in c.JupyterHub.load_roles if r["name"] != "jupyterhub-idle-culler"]
c.JupyterHub.load_roles.append({{
    "name": "tester", "services": ["tester"],
    "scopes": ["admin:users", "admin:servers", "admin:groups", "tokens", "access:servers", "access:services"],
}})
"""


def merged(base, over):
    """Values as Helm merges them."""
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return over
    return {**base, **{name: merged(base[name], value) if name in base else value for name, value in over.items()}}


@pytest.fixture(scope="module")
def chart(source):
    return source("zero-to-jupyterhub-k8s") / "jupyterhub"


@pytest.fixture(scope="module")
def values(chart):
    own = yaml.safe_load((DEPLOY / "z2jh-values.yaml").read_text())
    return merged(yaml.safe_load((chart / "values.yaml").read_text()), own)


@pytest.fixture(scope="module")
def commands(chart, environment, wheel):
    image = (chart.parent / "images" / "hub" / "requirements.txt").read_text()
    wanted = ("jupyterhub==", "jupyterhub-kubespawner==", "pycurl==")
    packages = [line.split()[0] for line in image.splitlines() if line.startswith(wanted)]
    return environment("z2jh-hub", [*packages, "jsonschema", "pyyaml", "jupyter_server", "ipykernel"], wheel)


def test_the_charts_schema_takes_the_values(chart, values, commands, tmp_path):
    (tmp_path / "values.json").write_text(json.dumps(values))
    read = "values, schema = json.load(open(sys.argv[2])), yaml.safe_load(open(sys.argv[1]))"
    check = f"import json, sys, yaml, jsonschema; {read}; jsonschema.validate(values, schema)"
    files = [chart / "values.schema.yaml", tmp_path / "values.json"]
    subprocess.run([commands / "python", "-c", check, *files], check=True)


def test_users_pods_reach_the_proxy_and_the_gateways_pod_the_hub(chart):
    """By the chart's own policies, which the values leave as they are."""
    policy = (chart / "templates" / "singleuser" / "netpol.yaml").read_text()
    assert '"componentLabel" "proxy"' in policy.split("egress:")[1]
    assert 'hub.jupyter.org/network-access-hub: "true"' in (chart / "templates" / "hub" / "netpol.yaml").read_text()
    own = yaml.safe_load((DEPLOY / "z2jh-values.yaml").read_text())
    assert "networkPolicy" not in own["singleuser"]
    assert "hub.services.{{ $key }}.apiToken" in (chart / "templates" / "hub" / "secret.yaml").read_text()


def test_the_charts_configuration_starts_a_hub_that_has_the_gateway(chart, values, commands, tmp_path):
    hub = RealHub(tmp_path, '[[keys]]\nprovider = "offline"\n[tenants.stats101]\nprivacy_floor = "names"\n')
    config = rendered(hub, chart, values, tmp_path)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTERHUB")}
    ports = {"HUB_SERVICE_PORT": "8081", "PROXY_API_SERVICE_PORT": "8001", "CONFIGPROXY_AUTH_TOKEN": "secret"}
    gateway = None
    try:
        hub.options = {"managed": False}
        hub.launch([commands / "python", "-m", "jupyterhub", "-f", str(config)], {**clean, **ports})
        gateway = start_gateway(hub, commands, clean)
        eventually(lambda: hub._answers(f"{hub.gateway}health"), hub.log)
        works_for_ada(hub)
    finally:
        if gateway is not None:
            gateway.terminate()
            gateway.wait(20)
        hub.close()


def rendered(hub, chart, values, tmp_path):
    """The files that the hub's pod has: configuration, names, and the secret."""
    place = tmp_path / "etc"
    for name in ("config", "secret", "homes"):
        (place / name).mkdir(parents=True)
    for name in ("jupyterhub_config.py", "z2jh.py"):
        text = (chart / "files" / "hub" / name).read_text()
        (place / name).write_text(text.replace("/usr/local/etc/jupyterhub", str(place)))
    for name in ("hub", "proxy-api", "proxy-public", "user-scheduler", "priority", "singleuser", "image-pull-secret"):
        (place / "config" / name).write_text(name)
    ports = {name: getattr(hub, name) for name in ("port", "hub_port", "api_port", "service_port")}
    replaced = REPLACED.format(**ports, proxy=str(PROXY), home=f"{place}/homes/{{username}}", tester=TESTER)
    auth = {"JupyterHub": {"authenticator_class": "dummy"}, "Authenticator": {"allow_all": True}}
    values = merged(values, {"hub": {"extraConfig": {"test": replaced}, "config": auth}})
    secret = {
        "values.yaml": yaml.safe_dump({**values, "Chart": {"Name": "jupyterhub"}, "Release": {"Name": "test"}}),
        "hub.services.rsql.apiToken": SERVICE_TOKEN,
        "hub.services.jupyterhub-idle-culler.apiToken": "x" * 32,
        "hub.config.JupyterHub.cookie_secret": "ab" * 32,
        "hub.config.CryptKeeper.keys": "cd" * 32,
    }
    for name, text in secret.items():
        (place / "secret" / name).write_text(text)
    return place / "jupyterhub_config.py"


def start_gateway(hub, commands, clean):
    """The command and the environment of the gateway's pod, on this machine."""
    documents = yaml.safe_load_all((DEPLOY / "z2jh-gateway.yaml").read_text())
    (deployment,) = [one for one in documents if one["kind"] == "Deployment"]
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    told = {one["name"]: one.get("value", SERVICE_TOKEN) for one in container["env"]}
    (token,) = [one["valueFrom"]["secretKeyRef"] for one in container["env"] if "valueFrom" in one]
    assert token == {"name": "hub", "key": "hub.services.rsql.apiToken"}
    told["JUPYTERHUB_API_URL"] = told["JUPYTERHUB_API_URL"].replace("hub:8081", f"127.0.0.1:{hub.hub_port}")
    told["RSQL_CONFIG"] = str(hub.folder / "rsql.toml")
    command = container["command"][-1].split("exec ")[1]
    command = command.replace("0.0.0.0", "127.0.0.1").replace("10101", str(hub.service_port))
    environment = {**clean, **told, "PATH": f"{commands}{os.pathsep}{clean['PATH']}"}
    return subprocess.Popen(["sh", "-c", f"exec {command}"], env=environment, cwd=hub.folder)
