"""What a gateway refuses at its start beyond what an ``rsql.toml`` says, and what it takes though it cannot work."""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from jupyter_server_ext.errors import ConfigError
from jupyter_server_ext.handlers import ROUTES
from jupyter_server_ext.ledger import PromptVault
from jupyter_server_ext.pipeline import limits_money

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jupyter_server_ext.config import Settings

_ENDPOINT = re.compile(r"/(chat/completions|completions|embeddings|responses|models)/*\Z")
_HOST = re.compile(r"[A-Za-z0-9*](?:[A-Za-z0-9.*_-]*[A-Za-z0-9])?")


def refuse_unusable(settings: Settings) -> None:
    """Refuse what a file may say and no gateway can start with.

    Raises:
        ConfigError: With the line, where the settings were read from a file.
    """
    known = {route.path for route in ROUTES}
    for name, _ in settings.routes:
        if name not in known:
            words = f"There is no route '{name}' for [limits.routes]. docs/gateway.md lists them."
            raise ConfigError(f"{_where(settings, f'limits.routes.{name}')}{words}")
    if settings.storage.prompt_keys:
        try:
            PromptVault(settings.storage.prompt_keys)
        except ConfigError as error:
            raise ConfigError(f"{_where(settings, 'storage.prompt_keys')}{error.message}") from None


def refuse_missing_folders(settings: Settings) -> None:
    """Refuse folders of the settings that are not there, or cannot be written.

    Raises:
        ConfigError: With the line, where the settings were read from a file.
    """
    stored = settings.storage
    is_server = stored.ledger.startswith("postgres")
    files = {"anchor": stored.anchor, "spool": f"{stored.spool or '.'}/file" if is_server else ""}
    if stored.ledger.startswith("sqlite:///"):
        files["ledger"] = stored.ledger.removeprefix("sqlite:///").partition("?")[0]
    for name, file in files.items():
        folder = Path(file).absolute().parent
        if file and not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
            what = "cannot be written" if folder.is_dir() else "is not there"
            words = f"the folder {folder} of '{name}' in [storage] {what}. Make it, for the user the gateway runs as."
            raise ConfigError(f"{_where(settings, f'storage.{name}')}{words}")


def advice_on(settings: Settings) -> Iterator[str]:
    """What a gateway takes, and what cannot work or is without effect: one sentence each, with its line.

    Example:
        >>> from jupyter_server_ext.config import KeySettings, Settings
        >>> key = KeySettings("own", base_url="http://127.0.0.1:1/v1/chat/completions")
        >>> next(advice_on(Settings(keys=(key,))))
        "'base_url' of [[keys]] 1 ends in /chat/completions, which is added to it: leave that out."
    """
    for name, words in (*_of_keys(settings), *_of_models(settings), *_of_tenants(settings), *_of_storage(settings)):
        yield f"{_where(settings, name)}{words}"
    for host in settings.webhooks.allow_hosts:
        if not _is_host(host):
            words = "is no host, address or network such as 'alerts.internal' or '10.1.0.0/16'; a URL matches nothing."
            yield f"{_where(settings, 'webhooks.allow_hosts')}'{host}' of 'allow_hosts' in [webhooks] {words}"


def _of_keys(settings: Settings) -> Iterator[tuple[str, str]]:
    for number, key in enumerate(settings.keys, start=1):
        if found := _ENDPOINT.search(key.base_url):
            words = f"'base_url' of [[keys]] {number} ends in /{found[1]}, which is added to it: leave that out."
            yield f"keys.{number}.base_url", words


def _of_models(settings: Settings) -> Iterator[tuple[str, str]]:
    served = {model for key in settings.keys for model in key.models}
    if not served or not all(key.models for key in settings.keys):  # a key without a list takes any
        return
    served |= {"offline"}
    for model, others in settings.fallbacks:
        for other in (model, *others):
            if other not in served:
                yield f"fallbacks.{model}", f"no key serves '{other}' of [fallbacks]."
    for tenant in settings.tenants:
        for model in tenant.models:
            if model not in served:
                yield f"tenants.{tenant.name}.models", f"no key serves '{model}' of [tenants.{tenant.name}]."


def _of_tenants(settings: Settings) -> Iterator[tuple[str, str]]:
    stored = settings.storage
    for tenant in settings.tenants:
        for name in ("keep_prompts", "keep_answers"):
            if getattr(tenant, name) and not stored.prompt_keys:
                words = f"'{name}' of [tenants.{tenant.name}] keeps nothing without 'prompt_keys' in [storage]."
                yield f"tenants.{tenant.name}.{name}", words


def _of_storage(settings: Settings) -> Iterator[tuple[str, str]]:
    stored = settings.storage
    is_memory = stored.state.startswith("memory:")
    if stored.instances > 1 and is_memory:
        words = "'instances' in [storage] is above 1, and 'state' is memory://, so that each gateway counts alone."
        yield "storage.instances", words
    if stored.anchor_key.reveal() and not stored.anchor:
        yield "storage.anchor_key", "'anchor_key' in [storage] signs nothing without an 'anchor'."
    if 0 < stored.retention_days < stored.keep_text_days:
        words = "'keep_text_days' in [storage] is above 'retention_days', after which all of an entry is deleted."
        yield "storage.keep_text_days", words
    if limits_money(settings) and is_memory and stored.ledger.startswith("memory:"):
        yield (
            "storage.ledger",
            "usd_per_day and usd_per_month are forgotten at a restart: name a 'ledger' in [storage].",
        )


def _is_host(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return _HOST.fullmatch(text) is not None
    return True


def _where(settings: Settings, name: str) -> str:
    """The file and line of a setting, before what is said of it; empty where it stands in no file."""
    places = (place for known, place in settings.origins.items() if known == name or known.startswith(f"{name}."))
    place = next((place for place in places if ", line " in place), "")
    return f"{place}: " if place else ""
