"""The files of deploy/jupyterhub, ``configure`` and the plugin say the same, and what the hub and the chart expect."""

from __future__ import annotations

import json
import runpy
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace

import pluggy
import pytest
import yaml
from jupyterhub.app import JupyterHub
from traitlets.config import Config, LazyConfigValue

from jupyter_server_ext.app import tljh
from jupyter_server_ext.app.jupyterhub import configure
from jupyter_server_ext.config.toml_file import read_settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy" / "jupyterhub"
ENTER = "access:services!service=rsql"


def loaded(name):
    """The configuration that a file makes."""
    c = Config()
    runpy.run_path(str(DEPLOY / name), {"get_config": lambda: c})
    return plain(c)


def plain(value):
    """Configuration without traitlets' stand-ins for unset values."""
    if isinstance(value, LazyConfigValue):
        changes = value.to_dict()
        return plain(value.get_value({} if "update" in changes else []))
    return {name: plain(one) for name, one in value.items()} if isinstance(value, dict) else value


def roles(config):
    return {role["name"]: role for role in config["JupyterHub"]["load_roles"]}


def test_the_function_does_what_is_written_out(monkeypatch):
    for name in ("GROQ_API_KEY", "OPENAI_API_KEY", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    short, long = loaded("jupyterhub_config.py"), loaded("jupyterhub_config_explicit.py")
    service = short["JupyterHub"]["services"][0]
    service.pop("environment")

    assert service == long["JupyterHub"]["services"][0]
    assert short["JupyterHub"]["custom_scopes"] == long["JupyterHub"]["custom_scopes"]
    assert short["Spawner"] == long["Spawner"]
    ours, written = roles(short), roles(long)
    assert ours.keys() == written.keys()
    assert all(ours[name]["scopes"] == written[name]["scopes"] for name in ours)


@pytest.mark.parametrize("file", ["jupyterhub_config.py", "jupyterhub_config_explicit.py"])
def test_a_hub_takes_the_configuration(file):
    config = Config()
    runpy.run_path(str(DEPLOY / file), {"get_config": lambda: config})
    hub = JupyterHub(config=config)

    assert hub.services[0]["name"] == "rsql"
    assert {role["name"] for role in hub.load_roles} >= {"user", "server", "rsql-service", "rsql-admin"}


def test_one_that_the_hub_does_not_start_needs_a_token(monkeypatch):
    monkeypatch.setenv("RSQL_SERVICE_TOKEN", "a-long-token")
    service = loaded("jupyterhub_config_unmanaged.py")["JupyterHub"]["services"][0]
    assert service["api_token"] == "a-long-token"
    assert "command" not in service
    with pytest.raises(ValueError, match="api_token"):
        configure(Config(), managed=False)


def test_what_an_administrator_has_set_before_stays():
    c = Config()
    c.JupyterHub.services = [{"name": "cull"}]
    c.JupyterHub.load_roles = [
        {"name": "user", "scopes": ["self", "shares!user"]},
        {"name": "server", "scopes": ["inherit"]},
        {"name": "teachers", "scopes": ["list:users"]},
    ]
    c.JupyterHub.custom_scopes = {"custom:x:y": {"description": "x"}}
    c.Spawner.environment = {"A": "b"}
    c.Spawner.server_token_scopes = ["access:servers!server"]
    configure(c)
    config = plain(c)

    assert [service["name"] for service in config["JupyterHub"]["services"]] == ["cull", "rsql"]
    assert roles(config)["user"]["scopes"] == ["self", "shares!user", ENTER]
    assert roles(config)["server"]["scopes"] == ["inherit", ENTER]
    assert "teachers" in roles(config)
    assert set(config["JupyterHub"]["custom_scopes"]) == {"custom:x:y", "custom:rsql:admin"}
    assert config["Spawner"]["environment"].keys() == {"A", "RSQL_GATEWAY_URL"}
    assert config["Spawner"]["server_token_scopes"] == ["access:servers!server", ENTER]


def test_only_some_groups_may_use_it():
    c = Config()
    configure(c, groups=["stats101"], admins=["tia"], admin_groups=["teachers"])
    known = roles(plain(c))
    told = plain(c)["JupyterHub"]["services"][0]["environment"]["RSQL_HUB_MEMBERS"]

    assert json.loads(told) == ["group:stats101", "group:teachers", "user:tia"]
    assert "user" not in known
    assert known["rsql-users"] == {"name": "rsql-users", "scopes": [ENTER], "groups": ["stats101"]}
    assert (known["rsql-admin"]["users"], known["rsql-admin"]["groups"]) == (["tia"], ["teachers"])


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "http://127.0.0.1:8000/services/rsql/"),
        ({"bind_url": "http://0.0.0.0:9000/jupyter/"}, "http://127.0.0.1:9000/jupyter/services/rsql/"),
        ({"bind_url": "http://10.0.0.5:80"}, "http://10.0.0.5:80/services/rsql/"),
        ({"port": 8123, "base_url": "/hub1/"}, "http://127.0.0.1:8123/hub1/services/rsql/"),
        ({"bind_url": "https://:443"}, "http://127.0.0.1:10101/services/rsql/"),
        ({"ssl_key": "key.pem"}, "http://127.0.0.1:10101/services/rsql/"),
    ],
)
def test_kernels_are_handed_an_address_that_they_can_reach(settings, expected):
    c = Config()
    for name, value in settings.items():
        c.JupyterHub[name] = value
    configure(c)
    assert c.Spawner.environment["RSQL_GATEWAY_URL"] == expected


def test_providers_keys_of_the_hub_reach_the_service_and_nobody_else(monkeypatch):
    monkeypatch.setenv("GROQ_API_KEYS", "gsk-1,gsk-2")
    monkeypatch.setenv("OTHER", "x")
    c = Config()
    configure(c, environment={"MORE": "y"})
    config = plain(c)

    assert config["JupyterHub"]["services"][0]["environment"] == {"GROQ_API_KEYS": "gsk-1,gsk-2", "MORE": "y"}
    assert "gsk-1" not in str(config["Spawner"])


def test_the_littlest_jupyterhub_finds_the_plugin():
    (found,) = entry_points(group="tljh", name="rsql")
    manager = pluggy.PluginManager("tljh")
    manager.add_hookspecs(_Specs)
    manager.register(found.load())
    c = Config()
    manager.hook.tljh_custom_jupyterhub_config(c=c)

    assert plain(c)["JupyterHub"]["services"][0]["command"][0] == sys.executable
    ((package,),) = manager.hook.tljh_extra_user_pip_packages()
    assert package == f"rsql-jupyter @ {ROOT.as_uri()}"  # the folder that the tests' own was installed from


@pytest.mark.parametrize(
    ("told", "package"),
    [
        (None, "rsql-jupyter"),
        ({"url": "file:///srv/rsql.whl", "archive_info": {}}, "rsql-jupyter @ file:///srv/rsql.whl"),
        (
            {"url": "https://git.example/rsql", "vcs_info": {"vcs": "git", "commit_id": "abc123"}},
            "rsql-jupyter @ git+https://git.example/rsql@abc123",
        ),
    ],
)
def test_users_get_what_the_hubs_side_was_installed_from(monkeypatch, told, package):
    text = json.dumps(told) if told else None
    monkeypatch.setattr(tljh, "distribution", lambda _: SimpleNamespace(read_text=lambda _: text))
    assert tljh.tljh_extra_user_pip_packages() == [package]


class _Specs:
    """The hooks of TLJH that the plugin has: tljh/hooks.py."""

    @pluggy.HookspecMarker("tljh")
    def tljh_custom_jupyterhub_config(self, c):
        """Customise the hub."""

    @pluggy.HookspecMarker("tljh")
    def tljh_extra_user_pip_packages(self):
        """Packages of users."""


def test_the_charts_values_are_those_of_the_function():
    values = yaml.safe_load((DEPLOY / "z2jh-values.yaml").read_text())
    c = Config()
    configure(c)
    known = roles(plain(c))

    assert {name: role["scopes"] for name, role in values["hub"]["loadRoles"].items()} == {
        name: role["scopes"] for name, role in known.items()
    }
    assert values["hub"]["services"]["rsql"]["url"] == "http://rsql:10101"
    assert values["singleuser"]["extraEnv"]["RSQL_GATEWAY_URL"] == "http://proxy-public/services/rsql/"
    more = Config()
    exec(values["hub"]["extraConfig"]["rsql"], {"c": more})
    assert set(more.JupyterHub.custom_scopes) == {"custom:rsql:admin"}


def test_the_gateways_pod_is_a_service_of_that_hub():
    documents = list(yaml.safe_load_all((DEPLOY / "z2jh-gateway.yaml").read_text()))
    kinds = {document["kind"]: document for document in documents}
    container = kinds["Deployment"]["spec"]["template"]["spec"]["containers"][0]

    assert kinds.keys() == {"Deployment", "PersistentVolumeClaim", "Service", "NetworkPolicy"}
    assert "jupyter rsql --hub" in container["command"][-1]
    assert kinds["Service"]["spec"]["ports"] == [{"port": 10101}]


def test_the_example_of_an_rsql_toml_is_understood():
    text = (DEPLOY / "rsql.toml").read_text()
    tomllib.loads(text)
    settings = read_settings(text, {"GROQ_API_KEY": "gsk-x"})
    assert settings.caller.requests_per_minute == 10
    assert settings.tenants[0].name == "stats101"
