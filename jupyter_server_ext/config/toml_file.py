"""``rsql.toml`` and the environment, read into ``Settings``."""

# A file is refused, with its line and what was expected, rather than half understood. No message holds a value: a value
# may be a key in the wrong place.
#
# ``"${NAME}"`` reads the environment variable NAME, ``"$${NAME}"`` is the text ``${NAME}``.

from __future__ import annotations

import dataclasses
import os
import re
import stat
import tomllib
import typing
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_server_ext.config import settings as s
from jupyter_server_ext.config.effective import origins_of
from jupyter_server_ext.config.presets import PRESETS, add_plugged
from jupyter_server_ext.config.scopes import SCOPES
from jupyter_server_ext.config.toml_values import TomlSource, TomlTable, line_numbers, merged_tables
from jupyter_server_ext.errors import ConfigError
from jupyter_server_ext.messages import is_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_AT_LINE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
PROFILES = ("development", "production", "testing")  # settings for common cases; the file's own go before them
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(?::\d{1,5})?|https?://\[[0-9a-f:.]+\](?::\d{1,5})?")
_RUNNERS = ("{user}", "{group}", "{job}")  # what stands for those of a job in a runner's command
_BRACED = re.compile(r"\{[A-Za-z_]*\}")
_PRIVACY = ("names", "stats", "sample")
_SHORTHAND: Mapping[str, tuple[s.Unit, float]] = {
    "rpm": ("requests", 60.0),
    "rpd": ("requests", 86_400.0),
    "tpm": ("tokens", 60.0),
    "tpd": ("tokens", 86_400.0),
}


def load_settings(path: Path | str | None, environment: Mapping[str, str]) -> s.Settings:
    """The gateway's settings.

    Without a file, or with one that lists no ``[[keys]]``, the keys are those of the environment (``PRESETS``);
    with no key there either, the gateway serves the model ``offline``.

    Args:
        path: The ``rsql.toml``; None or empty for the one that RSQL_CONFIG names, if any.
        environment: Where ``${NAME}`` and the providers' keys are looked up, usually ``os.environ``.

    Raises:
        ConfigError: The file is missing, or says something that is not understood.

    Example:
        >>> load_settings(None, {"GROQ_API_KEYS": "gsk-one,gsk-two"}).keys[1].name
        'groq-2'
    """
    add_plugged()
    path = path or environment.get("RSQL_CONFIG")
    settings = _read(Path(path), environment) if path else read_settings("", environment)
    settings = dataclasses.replace(settings, default_model=settings.default_model or environment.get("RSQL_MODEL", ""))
    keys = settings.keys or tuple(
        s.KeySettings(provider=provider, key=s.Secret(key), name=f"{provider}-{number}")
        for provider, preset in PRESETS.items()
        for number, key in enumerate(_keys_in(environment, preset.variable), start=1)
    )
    if not keys and settings.default_model not in ("", "offline"):  # which never answers in the name of another
        variables = ", ".join(preset.variable for preset in PRESETS.values() if preset.variable)
        raise ConfigError(
            f"{path or 'RSQL_MODEL'}: a default model is named, but there is no key to reach it. "
            f"List [[keys]] in an rsql.toml, or set one of {variables}."
        )
    keys = keys or (s.KeySettings(provider="offline", name="offline", models=("offline",)),)
    served = ((*key.models, PRESETS[key.provider].default_model if key.provider in PRESETS else "")[0] for key in keys)
    model = settings.default_model or next(filter(None, served), "")
    return dataclasses.replace(settings, keys=keys, default_model=model)


def _keys_in(environment: Mapping[str, str], variable: str) -> Iterable[str]:
    found: dict[str, None] = {}
    for name in (variable, variable + "S") if variable else ():
        for key in filter(None, map(str.strip, environment.get(name, "").split(","))):
            if wrong := s.unsendable(key):
                raise ConfigError(f"The environment variable {name} {wrong} Several keys are separated by commas.")
            found[key] = None
    return found


def _read(path: Path, environment: Mapping[str, str]) -> s.Settings:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}). Check the name of the file.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text.") from None
    return read_settings(text, environment, name=str(path))


def read_settings(text: str, environment: Mapping[str, str], name: str = "rsql.toml") -> s.Settings:
    """The settings that the text of an ``rsql.toml`` describes; messages call the file ``name``.

    Raises:
        ConfigError: With file, line and what was expected.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _AT_LINE.search(str(error))
        line = found[1] if found and found[1] else text.count("\n") + 1
        raise ConfigError(f"{name}, line {line}: not TOML: {_AT_LINE.sub('', str(error))}.") from None
    source = TomlSource(name, line_numbers(text), environment)
    both, profile, chosen = _with_profile(source, values)
    settings = _settings(TomlTable(source, (), "the file", both))
    where = origins_of(profile, {}, f"profile {chosen}") | origins_of(values, source.lines, Path(name).name)
    return dataclasses.replace(settings, origins=where)


def _with_profile(source: TomlSource, values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], str]:
    """What the file says, over the profile that it or RSQL_PROFILE names; and the profile's own values and name."""
    name = values.pop("profile", "") or source.environment.get("RSQL_PROFILE", "")
    if name and name not in PROFILES:
        there_are = f"must be one of: {', '.join(PROFILES)}."
        if ("profile",) not in source.lines:
            raise ConfigError(f"RSQL_PROFILE {there_are}")
        source.refuse(("profile",), f"'profile' {there_are}")
    if not name:
        return values, {}, ""
    profile = tomllib.loads((Path(__file__).parent / "profiles" / f"{name}.toml").read_text(encoding="utf-8"))
    return merged_tables(profile, values), profile, name


def _settings(file: TomlTable) -> s.Settings:
    file.only(
        [
            *("default_model", "keys", "pool", "limits", "api_keys", "tenants", "fallbacks", "models"),
            *("storage", "prices", "cache", "server", "hub", "virtual_keys", "documents", "telemetry"),
            *("sessions", "webhooks", "jobs", "notebooks"),
        ]
    )
    limits = file.table("limits")
    limits.only(["caller", "tenant", "everyone", "inline_completion", "routes"])
    everyone = limits.table("everyone").fields(s.CallerLimits)
    settings = s.Settings(
        default_model=file.read("default_model", str) if "default_model" in file.values else "",
        keys=_keys(file.tables("keys")),
        pool=s.PoolSettings(**_positive(file.table("pool"), s.PoolSettings, "attempts")),
        caller=s.CallerLimits(**limits.table("caller").fields(s.CallerLimits)),
        tenant=s.CallerLimits(**limits.table("tenant").fields(s.CallerLimits)),
        everyone=dataclasses.replace(s.Settings().everyone, **everyone),
        inline_completion=_inline_completion(limits.table("inline_completion")),
        api_keys=_api_keys(file.tables("api_keys")),
        tenants=_tenants(file.table("tenants")),
        routes=_routes(limits.table("routes")),
        fallbacks=_fallbacks(file.table("fallbacks")),
        models=_models(file.table("models")),
        storage=_storage(file.table("storage")),
        prices=_prices(file.table("prices")),
        cache=s.CacheSettings(**{"enabled": "cache" in file.values} | file.table("cache").fields(s.CacheSettings)),
        server=_server(file.table("server")),
        hub=s.HubSettings(**file.table("hub").fields(s.HubSettings)),
        virtual_keys=_virtual_keys(file.table("virtual_keys")),
        documents=_documents(file.table("documents")),
        sessions=_sessions(file.table("sessions")),
        jobs=s.JobSettings(**_positive(file.table("jobs"), s.JobSettings, *s.JobSettings.__dataclass_fields__)),
        notebooks=_notebooks(file.table("notebooks")),
        telemetry=_telemetry(file.table("telemetry")),
        webhooks=s.WebhookSettings(**file.table("webhooks").fields(s.WebhookSettings)),
    )
    served = {model for key in settings.keys for model in key.models}
    known = bool(settings.keys) and all(key.models for key in settings.keys)
    if known and settings.default_model and settings.default_model not in served:
        file.refuse("default_model", f"no key serves 'default_model'; the keys list: {', '.join(sorted(served))}.")
    _check_api_keys(file.tables("api_keys"), settings)
    return settings


def _server(table: TomlTable) -> s.ServerSettings:
    read = _positive(table, s.ServerSettings, "max_body_mb", "sending_mb", "sending_per_caller_mb")
    for origin in read.get("cors_origins", ()):
        if not _ORIGIN.fullmatch(origin):
            words = "must hold origins such as 'https://app.example.org': scheme, host, and a port if it is unusual."
            table.refuse("cors_origins", f"'cors_origins' in {table.title} {words}")
    return s.ServerSettings(**read)


def _routes(table: TomlTable) -> tuple[tuple[str, s.CallerLimits], ...]:
    found = []
    for route in table.values:
        own = table.table(route)
        own.only(name for name in s.CallerLimits.__dataclass_fields__ if name.startswith("requests_"))
        found.append((route, s.CallerLimits(**own.fields(s.CallerLimits))))
    return tuple(found)


def _inline_completion(table: TomlTable) -> s.InlineCompletionSettings:
    read = s.InlineCompletionSettings(**table.fields(s.InlineCompletionSettings))
    for name in ("share", "provider_share"):
        if getattr(read, name) > 1:
            table.refuse(name, f"'{name}' in {table.title} must be from 0 to 1.")
    return read


def _virtual_keys(table: TomlTable) -> s.VirtualKeySettings:
    keys = s.VirtualKeySettings(**table.fields(s.VirtualKeySettings))
    if keys.default_days <= keys.most_days:
        return keys
    if "default_days" in table.values:
        words = f"'default_days' in {table.title} is above 'most_days'. Make it {keys.most_days:g}."
        table.refuse("default_days", words)
    return dataclasses.replace(keys, default_days=keys.most_days)


def _notebooks(table: TomlTable) -> s.NotebookSettings:
    read = s.NotebookSettings(**_positive(table, s.NotebookSettings, "at_once", "attempts", "output_mb"))
    if read.runner and not Path(read.runner[0]).is_absolute():
        table.refuse("runner", f"'runner' in {table.title} must begin with the whole path of a program.")
    if wrong := next((word for each in read.runner for word in _BRACED.findall(each) if word not in _RUNNERS), ""):
        table.refuse("runner", f"'runner' in {table.title} may hold {', '.join(_RUNNERS)}, not {wrong}.")
    return read


def _telemetry(table: TomlTable) -> s.TelemetrySettings:
    telemetry = s.TelemetrySettings(**table.fields(s.TelemetrySettings))
    if telemetry.endpoint and not telemetry.endpoint.startswith(("http://", "https://")):
        table.refuse("endpoint", f"'endpoint' in {table.title} must be a URL such as http://127.0.0.1:4318.")
    if not 0 <= telemetry.sample <= 1:
        table.refuse("sample", f"'sample' in {table.title} must be from 0 to 1.")
    return telemetry


def _documents(table: TomlTable) -> s.DocumentSettings:
    documents = s.DocumentSettings(**table.fields(s.DocumentSettings))
    if not documents.most_days or 0 < documents.default_days <= documents.most_days:
        return documents
    if "default_days" in table.values:
        words = f"'default_days' in {table.title} is above 'most_days'. Make it {documents.most_days:g}."
        table.refuse("default_days", words)
    return dataclasses.replace(documents, default_days=documents.most_days)


def _sessions(table: TomlTable) -> s.SessionSettings:
    sessions = s.SessionSettings(**table.fields(s.SessionSettings))
    if sessions.most_shared_days <= 0:
        table.refuse("most_shared_days", f"'most_shared_days' in {table.title} must be above 0.")
    return sessions


def _check_api_keys(tables: Sequence[TomlTable], settings: s.Settings) -> None:
    providers, tenants = {key.key for key in settings.keys}, [tenant.name for tenant in settings.tenants]
    for table, one in zip(tables, settings.api_keys, strict=True):
        if one.key in providers:
            table.refuse("key", f"'key' in {table.title} is a provider's key. Callers need one that you make up.")
    # A key may name a tenant without rules of its own; one that is nearly a tenant's name would miss its rules.
    for table in tables:
        name = str(table.values.get("tenant", ""))
        near = get_close_matches(name, tenants, n=1) if name and name not in tenants else []
        if near:
            table.refuse("tenant", f"there is no [tenants.{name}]; did you mean '{near[0]}'?")


def _storage(table: TomlTable) -> s.StorageSettings:
    storage = s.StorageSettings(**_positive(table, s.StorageSettings, "instances"))
    for name in ("state", "cache", "ledger"):
        if wrong := s.wrong_url(name, getattr(storage, name)):
            table.refuse(name, wrong)
    _known_zone(table, "time_zone", storage.time_zone)
    try:
        s.cache_bytes(storage.cache)
    except ValueError:
        expected = "must be like memory://?max_mb=256, with a number of 0 or more."
        table.refuse("cache", f"'cache' in {table.title} {expected}")
    if storage.without_state not in {"share", "refuse"}:
        table.refuse("without_state", "'without_state' in [storage] must be 'share' or 'refuse'.")
    return storage


def _prices(table: TomlTable) -> s.PriceSettings:
    models = {name: table.table("models").table(name) for name in table.table("models").values}
    own = []
    for model, price in models.items():
        read = price.fields(s.ModelPrice)
        for name in ("input", "output"):
            if name not in read:
                price.refuse("", f"{price.title} needs '{name}', in US dollars per million tokens.")
        own.append((model, s.ModelPrice(**read)))
    return s.PriceSettings(**table.fields(s.PriceSettings, also=["models"]), models=tuple(own))


def _models(table: TomlTable) -> tuple[tuple[str, s.ModelSettings], ...]:
    told = {name: table.table(name) for name in table.values}
    for model in told.values():
        if "pictures" not in model.values:
            model.only(["pictures"])
            model.refuse("", f"{model.title} needs 'pictures', true or false: whether the model takes them.")
    return tuple((name, s.ModelSettings(**model.fields(s.ModelSettings))) for name, model in told.items())


def _positive(table: TomlTable, values: type[Any], *names: str) -> dict[str, Any]:
    read = table.fields(values)
    for name in names:
        if read.get(name) == 0:
            table.refuse(name, f"'{name}' in {table.title} must be more than 0.")
    return read


def _keys(tables: Sequence[TomlTable]) -> tuple[s.KeySettings, ...]:
    taken = {str(table.values["name"]) for table in tables if "name" in table.values}
    keys: list[s.KeySettings] = []
    for table in tables:
        key = _key(table)
        if not key.name:
            numbered = (f"{key.provider}-{number}" for number in range(1, len(taken) + 2))
            # The provider's name alone, where it is the only one and has no key.
            bare = not key.key.reveal() and key.provider not in taken
            name = key.provider if bare else next(name for name in numbered if name not in taken)
            key = dataclasses.replace(key, name=name)
            taken.add(name)
        _refuse_repeated(table, "name", key.name in {other.name for other in keys})
        _refuse_other_limits(table, key, keys)
        keys.append(key)
    return tuple(keys)


def _refuse_other_limits(table: TomlTable, key: s.KeySettings, before: Sequence[s.KeySettings]) -> None:
    """The keys of a quota group share their limits, and one limit cannot have two amounts."""
    members = [other for other in before if key.quota_group and other.quota_group == key.quota_group]
    known = {_window(limit): limit.amount for other in members for limit in other.limits}
    for limit in key.limits:
        amount = known.setdefault(_window(limit), limit.amount)
        if amount != limit.amount:
            place = next((name for name, kind in _SHORTHAND.items() if kind == _window(limit)[:2]), "limits")
            where = f"for the quota group '{key.quota_group}'" if key.quota_group else f"in {table.title}"
            words = f"a limit of {limit.unit} in {limit.seconds:g} s is {amount:,} and {limit.amount:,} {where}."
            table.refuse(place if place in table.values else "limits", f"{words} Give it one amount.")


def _window(limit: s.Limit) -> tuple[s.Unit, float, str, str]:
    return limit.unit, limit.seconds, limit.zone, limit.model


def _refuse_repeated(table: TomlTable, name: str, repeated: bool) -> None:
    if repeated:
        table.refuse(name, f"another {table.title} has the same '{name}'.")


def _key(table: TomlTable) -> s.KeySettings:
    read = table.fields(s.KeySettings, also=[*_SHORTHAND, "limits"])
    short = (s.Limit(table.read(name, int), *kind) for name, kind in _SHORTHAND.items() if name in table.values)
    limits = (dataclasses.replace(one, title=f"'limits' of {table.title}") for one in table.tables("limits"))
    key = s.KeySettings(**{"provider": "", **read}, limits=(*short, *map(_limit, limits)))
    if not key.provider:
        table.refuse("provider", f"{table.title} needs a 'provider': a preset, or any name with 'base_url'.")
    preset = PRESETS.get(key.provider)
    if preset is None and not key.base_url:
        known = ", ".join(PRESETS)
        table.refuse("provider", f"'provider' in {table.title} is no preset ({known}), so it needs a 'base_url'.")
    if key.base_url and not re.match(r"https?://[^/]", key.base_url):
        table.refuse("base_url", f"'base_url' in {table.title} must start with http:// or https://.")
    for name in ("concurrency", *_SHORTHAND):
        if table.values.get(name) == 0:
            table.refuse(name, f"'{name}' in {table.title} is 0, so the key serves nothing. Leave the key out.")
    if key.counts not in typing.get_args(s.Counts):
        table.refuse("counts", f"'counts' in {table.title} must be 'arrival' or 'end'.")
    if preset is not None and preset.variable and not key.base_url and "key" not in table.values:
        table.refuse("key", f"{table.title} needs a 'key', for example key = \"${{{preset.variable}}}\".")
    return key


def _limit(table: TomlTable) -> s.Limit:
    units = typing.get_args(s.Unit)
    table.only([*units, "seconds", "zone", "model"])
    given = [unit for unit in units if unit in table.values]
    if len(given) != 1 or not table.values.get("seconds"):
        table.refuse("", f"each of {table.title} needs one of {', '.join(units)}, and 'seconds' of more than 0.")
    zone, model = (table.read(name, str) if name in table.values else "" for name in ("zone", "model"))
    _known_zone(table, "zone", zone)
    if table.values[given[0]] == 0:
        table.refuse(given[0], f"'{given[0]}' in {table.title} is 0, so the key serves nothing. Leave the key out.")
    return s.Limit(table.read(given[0], int), given[0], table.read("seconds", float), zone=zone, model=model)


def _known_zone(table: TomlTable, name: str, zone: str) -> None:
    if zone not in ("", "UTC"):
        from zoneinfo import ZoneInfo  # a file rarely names one

        try:
            ZoneInfo(zone)
        except (KeyError, ValueError, OSError):
            table.refuse(name, f"'{name}' of {table.title} must be a time zone such as 'UTC' or 'America/Los_Angeles'.")


def _api_keys(tables: Sequence[TomlTable]) -> tuple[s.ApiKeySettings, ...]:
    keys: list[s.ApiKeySettings] = []
    for table in tables:
        read = table.fields(s.ApiKeySettings)
        for name in ("name", "key"):
            if not read.get(name):
                table.refuse(name, f"{table.title} needs a '{name}'.")
        key = s.ApiKeySettings(**read)
        if not set(key.scopes) <= set(SCOPES):
            table.refuse("scopes", f"'scopes' in {table.title} may hold: {', '.join(SCOPES)}.")
        _refuse_repeated(table, "name", key.name in {other.name for other in keys})
        _refuse_repeated(table, "key", key.key in {other.key for other in keys})
        for variable in ("JUPYTER_TOKEN", "JUPYTERHUB_API_TOKEN"):
            # A caller with the server's own token would administer it.
            if key.key.reveal() == table.source.environment.get(variable, "").strip():
                own = f"is the server's own token, {variable}. Make another one for this caller."
                table.refuse("key", f"'key' in {table.title} {own}")
        keys.append(key)
    return tuple(keys)


def _tenants(tables: TomlTable) -> tuple[s.TenantSettings, ...]:
    for name in tables.values:
        if not name or not is_name(name) or name != name.strip():
            words = "a group's name may have 255 characters, and no control characters or blanks around it."
            tables.refuse(name, words)
    return tuple(_tenant(tables.table(name), name) for name in tables.values)


def _tenant(table: TomlTable, name: str) -> s.TenantSettings:
    read = table.fields(s.TenantSettings, also=["limits"], without=["name"])
    if read.get("weight") == 0:
        table.refuse("weight", f"'weight' in {table.title} must be more than 0.")
    if read.get("privacy_floor", "") not in ("", *_PRIVACY):
        table.refuse("privacy_floor", f"'privacy_floor' in {table.title} must be one of: {', '.join(_PRIVACY)}.")
    return s.TenantSettings(name, **read, limits=s.CallerLimits(**table.table("limits").fields(s.CallerLimits)))


def read_tenant(name: str, values: object, where: str) -> s.TenantSettings:
    """The rules of a tenant that stand somewhere else than in the file, in the form of ``[tenants.NAME]``.

    They may be written by others than the gateway's administrator, so ``${NAME}`` reads nothing. Messages call the
    place ``where``.

    Raises:
        ConfigError: With the place and what was expected.
    """
    source = TomlSource(where, {}, {})
    if not isinstance(values, dict):
        source.refuse((), "it must be a table.")
    return _tenant(TomlTable(source, (), "the table", values), name)


def read_key(values: Mapping[str, Any], where: str) -> s.KeySettings:
    """A key that stands somewhere else than in the file, in the form of ``[[keys]]``; ``${NAME}`` reads nothing.

    Raises:
        ConfigError: With the place and what was expected.
    """
    return _key(TomlTable(TomlSource(where, {}, {}), (), "the key", values))


def _fallbacks(table: TomlTable) -> tuple[tuple[str, tuple[str, ...]], ...]:
    for model in table.values:
        if model in table.read(model, tuple[str, ...]):
            table.refuse(model, f"'{model}' in {table.title} falls back to itself. Name another model.")
    return tuple((model, table.read(model, tuple[str, ...])) for model in table.values)


_SECRET_NAMES = re.compile(r"(?:\A|_)(?:keys?|secrets?|tokens?|passwords?)\Z")
_PASSWORD_IN_URL = re.compile(r"://[^/@\s]*:(?!\$\{)[^/@\s]+@")


def read_by_others(path: Path | str | None, environment: Mapping[str, str]) -> str:
    """What to say of a file with keys that others on this machine may read; empty where there is nothing to say.

    Keys that stand as ``"${NAME}"`` are not in the file.

    Args:
        path: The ``rsql.toml``; None or empty for the one that RSQL_CONFIG names, if any.
        environment: Where RSQL_CONFIG is looked up, usually ``os.environ``.

    Example:
        >>> read_by_others(None, {})
        ''
    """
    if not (path := path or environment.get("RSQL_CONFIG")) or os.name != "posix":
        return ""
    try:
        mode = stat.S_IMODE(Path(path).stat().st_mode)
        holds_keys = mode & 0o044 and _holds_secrets("", tomllib.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, ValueError):  # which is said by who reads its settings
        return ""
    if not holds_keys:
        return ""
    who = "all users of this machine" if mode & 0o004 else "its group"
    return f"{path} holds keys, and {who} may read it (mode {mode:04o}). Run: chmod 600 {path}"


def _holds_secrets(name: str, value: Any) -> bool:
    if isinstance(value, dict):
        return any(_holds_secrets(str(key), each) for key, each in value.items())
    if isinstance(value, list):
        return any(_holds_secrets(name, each) for each in value)
    if not isinstance(value, str) or not value:
        return False
    is_named = _SECRET_NAMES.search(name) is not None and not re.fullmatch(r"\$\{\w+\}", value)
    return is_named or _PASSWORD_IN_URL.search(value) is not None
