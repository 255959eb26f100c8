"""What ``deploy/`` has is of one piece: every file fits its schema and its program, and names what exists."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx
import pytest
import yaml
from helm_templates import ChartError, rendered
from servers import free_port, http_server, postgresql, redis

from jupyter_server_ext.config import load_settings

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
SERVICES = COMPOSE["services"]
SECRETS = {"RSQL_METRICS_TOKEN": "metrics", "REDIS_PASSWORD": "redis", "POSTGRES_PASSWORD": "pg", "RSQL_INSTANCE": "g1"}


def run(*command: object, **options: object) -> str:
    """What a program says; it has to succeed."""
    done = subprocess.run([str(one) for one in command], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


# Compose --------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_compose_fits_its_schema(capsys):
    from check_jsonschema import main

    command = ["--builtin-schema", "vendor.compose-spec", str(DEPLOY / "compose.yaml")]
    assert not main(command, standalone_mode=False), capsys.readouterr().out


def test_compose_has_all_that_is_promised():
    images = {service["image"].split("/")[-1].split(":")[0] for service in SERVICES.values()}
    programs = {"redis", "postgres", "haproxy", "prometheus", "alertmanager", "grafana", "opentelemetry-collector"}
    assert images == programs | {"rsql-gateway"}
    assert [name for name in SERVICES if name.startswith("gateway-")] == ["gateway-1", "gateway-2", "gateway-3"]
    assert len([name for name in SERVICES if name.startswith("sentinel-")]) == 3


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_pinned_bounded_and_names_what_exists(name):
    service = SERVICES[name]
    assert re.search(r":v?\d+\.\d+", service["image"]), "an image of one version"
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["read_only"] or name == "prometheus"
    assert service["restart"] == "unless-stopped"
    assert service.get("depends_on", {}).keys() <= SERVICES.keys()
    for wanted in service.get("depends_on", {}):
        is_image_of_ours = SERVICES[wanted]["image"].startswith("rsql-gateway")  # which has a check of its own
        assert is_image_of_ours or "healthcheck" in SERVICES[wanted]
    for volume in service.get("volumes", ()):
        source = volume.split(":")[0]
        assert (DEPLOY / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]
    for one in service.get("configs", ()):
        assert one["source"] in COMPOSE["configs"]
    for port in service.get("ports", ()):
        assert port.startswith(("127.0.0.1:", "${RSQL_ADDRESS:-127.0.0.1}:")), "seen from this machine alone"
    assert set(service["networks"]) <= COMPOSE["networks"].keys()
    assert "outside" not in service["networks"] or not name.startswith(("redis", "sentinel", "postgres"))


def test_every_file_of_compose_exists():
    assert [one["file"] for one in COMPOSE["configs"].values() if "file" in one] == [
        name for name in ("./compose/rsql.toml", "./compose/sentinel.sh") if (DEPLOY / name).exists()
    ]


def test_every_variable_of_compose_is_in_the_example():
    asked = set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yaml").read_text(encoding="utf-8")))
    asked |= set(re.findall(r"\$\{(\w+)\}", (DEPLOY / "compose" / "rsql.toml").read_text(encoding="utf-8")))
    known = set(re.findall(r"^#? ?([A-Z_]+)=", (DEPLOY / "compose" / "env.example").read_text(encoding="utf-8"), re.M))
    assert asked - {"RSQL_INSTANCE", "NAME"} == known


def test_the_gateways_of_compose_read_their_configuration():
    settings = load_settings(DEPLOY / "compose" / "rsql.toml", SECRETS)
    assert (settings.default_model, settings.storage.instance, settings.storage.instances) == ("offline", "g1", 3)
    assert "metrics" in settings.api_keys[0].scopes
    hosts = re.findall(r"([\w-]+):26379", settings.storage.state)
    assert hosts == [name for name in SERVICES if name.startswith("sentinel-")]
    assert "@postgres/" in settings.storage.ledger


def test_prometheus_and_haproxy_find_the_services():
    targets = {
        name: yaml.safe_load((DEPLOY / "compose" / "targets" / f"{name}.yml").read_text())[0]["targets"]
        for name in ("rsql", "haproxy", "alertmanager")
    }
    assert targets["rsql"] == ["gateway-1:8899", "gateway-2:8899", "gateway-3:8899"]
    assert {one.split(":")[0] for group in targets.values() for one in group} <= SERVICES.keys()
    haproxy = SERVICES["haproxy"]["environment"]
    asked = re.findall(r"\$\{(RSQL_\w+)", (DEPLOY / "haproxy" / "haproxy.cfg").read_text())
    assert haproxy.keys() == set(asked)
    assert [haproxy[f"RSQL_GATEWAY_{n}"] for n in (1, 2, 3)] == targets["rsql"]
    assert haproxy["RSQL_STATUS"].split(":")[1] == targets["haproxy"][0].split(":")[1]
    for name in ("rsql", "haproxy", "alertmanager"):
        assert (DEPLOY / "prometheus" / "targets" / f"{name}.yml").exists()


def test_grafana_finds_prometheus_and_the_board():
    source = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yaml").read_text())
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
    folder = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/rsql.yaml").read_text())
    path = folder["providers"][0]["options"]["path"]
    assert f"./grafana/rsql.json:{path}/rsql.json:ro" in SERVICES["grafana"]["volumes"]


def test_the_collector_takes_what_the_gateways_send():
    config = yaml.safe_load((DEPLOY / "otel" / "collector.yaml").read_text())
    port = config["receivers"]["otlp"]["protocols"]["http"]["endpoint"].split(":")[1]
    assert f'endpoint = "http://otel-collector:{port}"' in (DEPLOY / "compose" / "rsql.toml").read_text()
    (pipeline,) = config["service"]["pipelines"].values()
    for kind in ("receivers", "processors", "exporters"):
        assert set(pipeline[kind]) <= config[kind].keys()
    assert set(config["service"]["extensions"]) <= config["extensions"].keys()


@pytest.mark.slow
def test_the_programs_themselves_accept_their_configurations(programs, tmp_path):
    haproxy = dict.fromkeys(SERVICES["haproxy"]["environment"], "127.0.0.1:1")
    run("haproxy", "-c", "-f", DEPLOY / "haproxy/haproxy.cfg", env={**os.environ, **haproxy})
    shutil.copytree(DEPLOY / "prometheus", tmp_path / "prometheus")
    config = tmp_path / "prometheus" / "prometheus.yml"
    config.write_text(config.read_text().replace("/etc/prometheus/rsql-token", str(config)))
    run("promtool", "check", "config", config)
    run("amtool", "check-config", DEPLOY / "alertmanager/alertmanager.yml")


# The image ------------------------------------------------------------------------------------------------------------

DOCKERFILE = (DEPLOY / "docker" / "Dockerfile").read_text(encoding="utf-8")


def locked(path: Path) -> dict[str, set[str]]:
    """The hashes of each version of a lock file."""
    found: dict[str, set[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if name := re.match(r"[a-z0-9][\w.-]*(\[[\w,]+\])?==\S+", line):
            package = found.setdefault(re.sub(r"\[.*?\]", "", name[0]), set())
        elif digest := re.search(r"--hash=(\S+)", line):
            package.add(digest[1])
    return found


@pytest.mark.parametrize("name", ["requirements", "build"])
def test_the_image_has_the_versions_of_the_lock(name):
    everything, image = locked(ROOT / "requirements.lock"), locked(DEPLOY / "docker" / f"{name}.txt")
    assert image
    assert {one for one in image if one not in everything} <= {one for one in image if one.startswith("pip==")}
    assert all(digests == everything.get(one, digests) for one, digests in image.items())
    asked = [line for line in (DEPLOY / "docker" / f"{name}.in").read_text().splitlines() if not line.startswith("#")]
    assert {re.sub(r"\[.*", "", one) for one in asked} <= {one.split("==")[0] for one in image}


def test_the_image_is_as_careful_as_is_promised():
    stages = DOCKERFILE.split("\nFROM ")
    assert len(stages) == 3, "what builds is not what runs"
    assert re.search(r"^ARG BASE=python:3\.\d+\.\d+-slim-\w+$", DOCKERFILE, re.M), "a base of one version"
    assert re.search(r"^USER \d+:\d+$", stages[2], re.M)
    assert "\nHEALTHCHECK " in stages[2]
    assert "pip" not in stages[2], "nothing is installed where it runs"
    installs = re.findall(r"pip (?:--python \S+ )?install (.*?)(?:&&|$)", stages[1].replace("\\\n", ""), re.M)
    assert all("--require-hashes" in one or "--no-index" in one for one in installs)
    assert len(installs) == 3


@pytest.mark.slow
def test_hadolint_finds_nothing():
    assert not run(Path(sys.executable).parent / "hadolint", DEPLOY / "docker" / "Dockerfile").strip()


def test_nothing_else_gets_into_the_image():
    kept = [
        line[1:] for line in (DEPLOY / "docker/Dockerfile.dockerignore").read_text().splitlines() if line[:1] == "!"
    ]
    assert all((ROOT / name).exists() for name in kept)
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    wheel = {*build["packages"], *build["force-include"], *(one.split("/")[0] for one in build["shared-data"])}
    assert wheel | {"hatch_build.py"} <= set(kept), "all that the wheel is made of"


WITHOUT_OTHERS = """
import importlib.metadata, sys

class Missing:
    names = {names!r}

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.names:
            raise ImportError(f"the image has no {{name}}")

sys.meta_path.insert(0, Missing())
sys.argv = ["jupyter-rsql", *{options!r}]
from jupyter_server_ext.app import main
main()
"""


@pytest.mark.slow
def test_the_gateway_runs_on_what_the_image_has(programs, tmp_path):
    """No module of any other distribution can be imported, and all its storage is in use."""
    image = {one.split("==")[0] for one in locked(DEPLOY / "docker" / "requirements.txt")} | {"rsql-jupyter"}
    owners = importlib.metadata.packages_distributions()
    others = {
        module
        for module, of in owners.items()
        if not {re.sub(r"[-_.]+", "-", one).lower() for one in of} & image and module not in sys.stdlib_module_names
    }
    assert {"pandas", "duckdb", "IPython", "jupyter_server"} <= others
    spans = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            spans.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with redis() as state, postgresql() as ledger, http_server(Collector) as collector:
        config = tmp_path / "rsql.toml"
        config.write_text(
            f'default_model = "offline"\n[storage]\nstate = "{state.url}"\nledger = "{ledger.url}/postgres"\n'
            f'[telemetry]\nendpoint = "http://127.0.0.1:{collector}"\nsample = 1.0\n'
        )
        port = free_port()
        options = ["--ip=127.0.0.1", f"--port={port}", f"--gateway-config={config}"]
        script = WITHOUT_OTHERS.format(names=others - {"_virtualenv"}, options=options)
        env = {**os.environ, "JUPYTER_TOKEN": "t"}
        with subprocess.Popen([sys.executable, "-c", script], env=env, stderr=subprocess.PIPE, text=True) as process:
            try:
                with httpx.Client(
                    base_url=f"http://127.0.0.1:{port}/rsql/", headers={"Authorization": "token t"}
                ) as asks:
                    answer = _asked(asks, process)
                    figures = asks.get("metrics").text
                    errors = asks.get("admin/api/errors").status_code
            finally:
                process.terminate()
                said = process.communicate(timeout=240)[1]
    assert answer["choices"][0]["message"]["content"]
    assert 'rsql_check_ok{check="ledger"} 1.0' in figures
    assert errors == 200
    assert b"gen_ai" in spans[0]
    assert "the image has no" not in said


def _asked(client, process):
    """An answer, as soon as the gateway gives one."""
    until = time.monotonic() + 30
    while True:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < until
        try:
            body = {"model": "offline", "messages": [{"role": "user", "content": "Hello?"}]}
            return client.post("v1/chat/completions", json=body).raise_for_status().json()
        except httpx.TransportError:
            time.sleep(0.1)


# A plain machine ------------------------------------------------------------------------------------------------------

UNIT = DEPLOY / "systemd" / "rsql.service"
SCRIPTS = [*DEPLOY.rglob("*.sh"), *(ROOT / "scripts").glob("*.sh")]


@pytest.mark.slow
def test_shellcheck_finds_nothing(programs):
    assert len(SCRIPTS) >= 3
    run("shellcheck", "--severity=warning", *SCRIPTS)


def test_a_dry_run_says_what_it_would_do_and_does_nothing(programs, tmp_path):
    told = run("bash", DEPLOY / "install.sh", "--dry-run", env={**os.environ, "RSQL_ROOT": str(tmp_path)})
    assert told.count("\n+ ") + 1 == 5, told
    assert told.endswith("Nothing was done.\n")
    assert list(tmp_path.iterdir()) == []


def test_an_option_that_is_not_there_is_refused(programs):
    done = subprocess.run(["bash", DEPLOY / "install.sh", "--dryrun"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--dryrun" in done.stderr


@pytest.mark.sweep
@pytest.mark.timeout(300)
def test_it_installs_once_and_runs(programs, tmp_path):
    """In a folder, as far as a service and its user are not needed; the second time there is nothing to do."""
    env = {**os.environ, "RSQL_ROOT": str(tmp_path)}
    told = run("bash", DEPLOY / "install.sh", env=env)
    assert "JUPYTER_TOKEN" not in told
    token = tmp_path / "etc" / "rsql" / "rsql.env"
    assert re.fullmatch(r"JUPYTER_TOKEN=[0-9a-f]{48}\n", token.read_text())
    assert token.stat().st_mode & 0o777 == 0o600
    python = tmp_path / "opt" / "rsql" / "bin" / "python"
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert run(python, "-m", "jupyter_server_ext", "--version").strip() == version
    assert run("bash", DEPLOY / "install.sh", env=env) == "Nothing to do.\n"


@pytest.mark.slow
def test_the_unit_is_valid_and_hardened(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze")
    text = UNIT.read_text(encoding="utf-8")
    (tmp_path / "rsql.service").write_text(text.replace("/opt/rsql/bin/jupyter-rsql", sys.executable))
    assert not run("systemd-analyze", "verify", "--man=no", tmp_path / "rsql.service").strip()
    run("systemd-analyze", "security", "--offline=true", "--threshold=20", UNIT)  # of 100


def test_the_unit_is_what_the_script_installs():
    script, unit = (DEPLOY / "install.sh").read_text(), UNIT.read_text()
    (start,) = re.findall(r"^ExecStart=(.*)$", unit, re.M)
    assert start.startswith("/opt/rsql/bin/jupyter-rsql --ip=127.0.0.1 --port=8899 ")
    assert "http://127.0.0.1:8899/rsql/health" in script
    seconds = {name: int(n) for name, n in re.findall(r"(TimeoutStopSec|--drain-seconds)=(\d+)", unit) if n.isdigit()}
    assert seconds["TimeoutStopSec"] > seconds["--drain-seconds"]


# Kubernetes -----------------------------------------------------------------------------------------------------------

CHART = DEPLOY / "helm" / "rsql"
STORES = {
    "state": "redis://:${REDIS_PASSWORD}@redis/0",
    "ledger": "postgresql://rsql:${POSTGRES_PASSWORD}@postgres/rsql",
}
CHOICES = {
    "one": {},
    "three": {"replicas": 3, "storage": STORES},
    "at a hub": {"replicas": 2, "storage": STORES, "hub": {"enabled": True}, "networkPolicy": {"enabled": True}},
    "everything": {
        "replicas": 3,
        "storage": STORES | {"className": "fast", "size": "5Gi"},
        "image": {"repository": "example/rsql", "digest": f"sha256:{'0' * 64}", "pullSecrets": [{"name": "pull"}]},
        "networkPolicy": {"enabled": True, "from": [{"namespaceSelector": {"matchLabels": {"of": "proxy"}}}]},
        "podAnnotations": {"prometheus.io/scrape": "true"},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "llm", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
        "podDisruptionBudget": {"minAvailable": "60%"},
        "service": {"type": "NodePort", "port": 80},
        "trustProxy": False,
        "resources": {},
    },
}


def by_kind(**values):
    return {f"{one['kind']} {one['metadata']['name']}": one for one in rendered(CHART, "rsql", **values)}


@pytest.mark.slow
@pytest.mark.parametrize("version", ["1.27", ""], ids=["the oldest", "the newest"])
def test_the_manifests_fit_the_schemas_of_kubernetes(version):
    import kubernetes_validate

    for choice in CHOICES.values():
        for one in rendered(CHART, "rsql", **choice):
            kubernetes_validate.validate(one, version or kubernetes_validate.latest_version(), strict=True)
    broken = by_kind()["StatefulSet rsql"] | {"replica": 3}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, version or kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("choice", CHOICES)
def test_pods_have_no_rights_and_names_fit_together(choice):
    found = by_kind(**CHOICES[choice])
    of_all = found["StatefulSet rsql"]["spec"]
    pod = of_all["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    assert f"USER {pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" in DOCKERFILE
    rights = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert container["securityContext"] == rights
    assert {one["mountPath"] for one in container["volumeMounts"]} >= {"/tmp", "/var/lib/rsql"}
    mounted = {one["name"] for one in container["volumeMounts"]}
    assert mounted == {one["name"] for one in pod["volumes"]} | {"data"}
    assert container["envFrom"] == [{"secretRef": {"name": "rsql"}}]
    assert not [kind for kind in found if kind.startswith("Secret ")], "secrets are made elsewhere"
    assert pod["terminationGracePeriodSeconds"] > 60
    labels = of_all["template"]["metadata"]["labels"].items()
    selectors = [of_all["selector"]["matchLabels"]]
    selectors += [one["spec"]["selector"] for kind, one in found.items() if kind.startswith("Service ")]
    assert all(selector.items() <= labels for selector in selectors)
    assert of_all["serviceName"] == "rsql-each"
    assert f"Service {of_all['serviceName']}" in found
    assert ("PodDisruptionBudget rsql" in found) == (choice != "one")
    assert ("NetworkPolicy rsql" in found) == ("networkPolicy" in CHOICES[choice])
    path = "/services/rsql/health" if choice == "at a hub" else "/rsql/health"
    assert container["readinessProbe"]["httpGet"]["path"] == container["startupProbe"]["httpGet"]["path"] == path
    assert "httpGet" not in container["livenessProbe"], "a provider that is away is no reason to kill"


@pytest.mark.parametrize("choice", ["one", "three"])
def test_the_pods_read_their_configuration(choice, tmp_path):
    (tmp_path / "rsql.toml").write_text(by_kind(**CHOICES[choice])["ConfigMap rsql"]["data"]["rsql.toml"])
    settings = load_settings(tmp_path / "rsql.toml", SECRETS)
    assert settings.default_model == "offline"
    assert settings.caller.requests_per_minute == 20
    assert settings.storage.instances == (1 if choice == "one" else 3)
    assert settings.storage.ledger.startswith("sqlite:" if choice == "one" else "postgresql:")


def test_a_configuration_that_changes_starts_new_pods():
    one, other = (
        by_kind(config=text)["StatefulSet rsql"]["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
        for text in ('default_model = "offline"', 'default_model = "m"')
    )
    assert one != other


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"replicas": 2}, "Several gateways need storage.state"),
        ({"replicas": 2, "storage": {"state": "redis://r"}}, "Several gateways need storage.state"),
        ({"replicas": 0}, "replicas"),
        ({"replica": 2}, "replica"),
        ({"existingSecret": ""}, "existingSecret"),
        ({"image": {"tag": "latest"}}, "tag"),
        ({"storage": {"ledger": "mysql://m"}}, "ledger"),
    ],
)
def test_values_that_cannot_work_are_refused(values, told):
    with pytest.raises(ChartError, match=re.escape(told)):
        rendered(CHART, "rsql", **values)


def test_the_chart_has_the_version_of_the_project():
    about = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert about["version"] == about["appVersion"] == project
    assert SERVICES["gateway-1"]["image"] == f"rsql-gateway:{project}"
    assert f"-t rsql-gateway:{project} ." in DOCKERFILE


@pytest.mark.skipif(shutil.which("helm") is None, reason="Helm is not installed")
@pytest.mark.parametrize("choice", CHOICES)
def test_helm_gives_the_same(choice, tmp_path):
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(CHOICES[choice]))
    given = run("helm", "template", "rsql", CHART, "-f", tmp_path / "values.yaml")
    real = {f"{one['kind']} {one['metadata']['name']}": one for one in yaml.safe_load_all(given) if one}
    assert real == by_kind(**CHOICES[choice])
    run("helm", "lint", "--strict", CHART, "-f", tmp_path / "values.yaml")
