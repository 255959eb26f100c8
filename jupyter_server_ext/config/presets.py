"""The providers that are known by name: one record each, and nothing of them elsewhere."""

# Limits are those of the free or lowest tier on the day of ``source``; configured limits, and what the headers say, go
# before them. Providers retire models: the default ones want a look with every release (November 2026: each provider's
# page of models).

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import cache

from jupyter_server_ext.config.settings import KeySettings, Limit
from jupyter_server_ext.errors import ConfigError
from jupyter_server_ext.plugins import PlugIn, Unfit, plugged

_MINUTE, _DAY = 60.0, 86_400.0
_URL = re.compile(r"https?://[^\s/@?#]+(/[^\s@?#]*)?")
_VARIABLE = re.compile(r"(?!JUPYTER|JPY_|RSQL_)[A-Z][A-Z0-9_]{2,60}")
_OWN_MACHINE = 180.0  # seconds in which two cores without a GPU read 8,000 tokens, and have some left


@dataclass(frozen=True, slots=True)
class Preset:
    """One provider, so that a key is all that need be configured.

    Example:
        >>> PRESETS["groq"].variable
        'GROQ_API_KEY'
    """

    base_url: str  # base of its OpenAI-compatible API
    # Environment variable of its key, with an S at the end of several, separated by commas; empty where no key is
    # needed.
    variable: str = ""
    default_model: str = ""  # the model of a request that names none, where the provider's key is the first
    models: tuple[str, ...] = ()  # models that a key serves when none are configured; empty for any
    limits: tuple[Limit, ...] = ()  # its free or first tier, used when no limits are configured
    request_window: float | None = None  # seconds that its ``x-ratelimit-*-requests`` headers speak of
    token_window: float | None = None  # seconds that its ``x-ratelimit-*-tokens`` headers speak of
    anthropic_headers: bool = False  # whether its limits stand in headers named as Anthropic does
    bucket: bool = False  # whether its documentation says that its limits are token buckets
    check_url: str = ""  # what tells whether a key is accepted, where its list of models is open to everybody
    stream_usage: bool = True  # whether it takes ``stream_options.include_usage``
    # Whether it is sent the member ``rsql``, which says as values what a kernel's messages state.
    takes_values: bool = False
    # Failures (``upstream.failures.Kind``) by codes that only this provider has, in lower case.
    error_codes: Mapping[str, str] = field(default_factory=dict)
    free: bool = False  # whether it never asks for money
    # Seconds that a stream's first word may take, where that is longer than of a company: a small machine reads some 50
    # tokens a second, and takes requests one after the other.
    first_byte_timeout_seconds: float | None = None
    source: str = ""  # where these facts are from


def _per_model(rpm: int = 0, rpd: int = 0, tpm: int = 0, zone: str = "") -> tuple[Limit, ...]:
    rows = (
        Limit(rpm, "requests", _MINUTE, model="*"),
        Limit(rpd, "requests", _DAY, zone, model="*"),
        Limit(tpm, "tokens", _MINUTE, model="*"),
    )
    return tuple(row for row in rows if row.amount)


OFFLINE = "offline"  # the provider, and the model, of fixed rules; it only writes

PRESETS: dict[str, Preset] = {
    "groq": Preset(
        "https://api.groq.com/openai/v1",
        variable="GROQ_API_KEY",
        default_model="openai/gpt-oss-120b",
        limits=_per_model(rpm=30, rpd=1000, tpm=6000),
        request_window=_DAY,
        token_window=_MINUTE,
        source="https://console.groq.com/docs/rate-limits",
    ),
    "openai": Preset(
        "https://api.openai.com/v1",
        variable="OPENAI_API_KEY",
        default_model="gpt-5.4-mini",
        request_window=_MINUTE,
        token_window=_MINUTE,
        source="https://platform.openai.com/docs/guides/rate-limits",
    ),
    "openrouter": Preset(
        "https://openrouter.ai/api/v1",
        variable="OPENROUTER_API_KEY",
        default_model="openrouter/auto",
        limits=(Limit(20, "requests", _MINUTE), Limit(50, "requests", _DAY, "UTC")),
        check_url="https://openrouter.ai/api/v1/key",
        source="https://openrouter.ai/docs/api-reference/limits",
    ),
    "huggingface": Preset(
        "https://router.huggingface.co/v1",
        variable="HF_TOKEN",
        default_model="openai/gpt-oss-120b",
        check_url="https://huggingface.co/api/whoami-v2",
        source="https://huggingface.co/docs/inference-providers",
    ),
    "mistral": Preset(
        "https://api.mistral.ai/v1",
        variable="MISTRAL_API_KEY",
        default_model="mistral-small-latest",
        limits=(Limit(1, "requests", 1.0), Limit(500_000, "tokens", _MINUTE, model="*")),
        stream_usage=False,  # it sends the usage unasked, and knows no stream_options
        source="https://docs.mistral.ai/deployment/laplateforme/tier/",
    ),
    "together": Preset(
        "https://api.together.xyz/v1",
        variable="TOGETHER_API_KEY",
        default_model="openai/gpt-oss-120b",
        limits=(Limit(60, "requests", _MINUTE),),
        source="https://docs.together.ai/docs/rate-limits",
    ),
    "deepseek": Preset(
        "https://api.deepseek.com/v1",
        variable="DEEPSEEK_API_KEY",
        default_model="deepseek-flash",
        source="https://api-docs.deepseek.com/quick_start/rate_limit",
    ),
    "gemini": Preset(
        "https://generativelanguage.googleapis.com/v1beta/openai",
        variable="GEMINI_API_KEY",
        default_model="gemini-flash-latest",
        limits=_per_model(rpm=10, rpd=250, tpm=250_000, zone="America/Los_Angeles"),
        source="https://ai.google.dev/gemini-api/docs/rate-limits",
    ),
    "anthropic": Preset(
        "https://api.anthropic.com/v1",
        variable="ANTHROPIC_API_KEY",
        default_model="claude-haiku-4-5",
        limits=(
            Limit(50, "requests", _MINUTE, model="*"),
            Limit(30_000, "input_tokens", _MINUTE, model="*"),
            Limit(8_000, "output_tokens", _MINUTE, model="*"),
        ),
        request_window=_MINUTE,
        token_window=_MINUTE,
        anthropic_headers=True,
        bucket=True,
        source="https://docs.anthropic.com/en/api/rate-limits",
    ),
    "offline": Preset("http://offline/v1", default_model="offline", models=("offline",), takes_values=True, free=True),
    "llamacpp": Preset(
        "http://127.0.0.1:8080/v1",
        free=True,
        first_byte_timeout_seconds=_OWN_MACHINE,
        source="https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md",
    ),
    "ollama": Preset(
        "http://127.0.0.1:11434/v1",
        free=True,
        first_byte_timeout_seconds=_OWN_MACHINE,
        source="https://github.com/ollama/ollama/blob/main/docs/openai.md",
    ),
    "vllm": Preset(
        "http://127.0.0.1:8000/v1",
        first_byte_timeout_seconds=_OWN_MACHINE,
        source="https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html",
    ),
}


@cache
def add_plugged() -> None:
    """Add the providers of plug-ins (``rsql.providers``) to `PRESETS`, once; what cannot be used is left out."""
    plugged("rsql.providers", _added)


def _added(plug: PlugIn) -> Preset:
    preset = plug.value
    if not isinstance(preset, Preset):
        raise Unfit("it is no jupyter_server_ext.config.Preset")
    if plug.name in PRESETS:
        raise Unfit("rsql knows a provider of this name")
    _check_fields(preset)
    # Or the key of one provider, or the server's own token, would be sent to another.
    taken = {name for one in PRESETS.values() if one.variable for name in (one.variable, f"{one.variable}S")}
    if preset.variable and (preset.variable in taken or not _VARIABLE.fullmatch(preset.variable)):
        raise Unfit("its 'variable' is none of its own: such as ACME_API_KEY")
    if preset.takes_values:
        raise Unfit("only the offline model is sent values")
    PRESETS[plug.name] = preset
    return preset


def _check_fields(preset: Preset) -> None:
    if wrong := [one.name for one in fields(Preset) if not _is_of_type(getattr(preset, one.name), one.default)]:
        raise Unfit(f"its '{wrong[0]}' is of another type")
    if not all(isinstance(limit, Limit) and limit.amount > 0 and limit.seconds > 0 for limit in preset.limits):
        raise Unfit("its 'limits' are no jupyter_server_ext.config.Limit")
    if not all(isinstance(text, str) for text in (*preset.models, *preset.error_codes, *preset.error_codes.values())):
        raise Unfit("its 'models' and 'error_codes' are texts")
    for url in filter(None, (preset.base_url, preset.check_url)):
        if not _URL.fullmatch(url):
            raise Unfit("its addresses begin with http:// or https:// and hold no password")
    if not preset.base_url:
        raise Unfit("it has no 'base_url'")


def _is_of_type(value: object, default: object) -> bool:
    if default is None:
        return value is None or isinstance(value, int | float)
    if default is MISSING:  # of ``base_url``, and of ``error_codes``, which has a factory
        return isinstance(value, str | Mapping)
    return isinstance(value, type(default))


def with_preset(key: KeySettings) -> KeySettings:
    """A key's settings with what its preset knows filled in.

    Raises:
        ConfigError: The provider is not known and no ``base_url`` is given.
    """
    preset = PRESETS.get(key.provider)
    if preset is None and not key.base_url:
        known = ", ".join(PRESETS)
        raise ConfigError(f"The provider '{key.provider}' is not known. Give its base_url, or use one of: {known}.")
    if preset is None:
        return key
    assumed = tuple(replace(limit, assumed=True) for limit in preset.limits)
    models, limits = key.models or preset.models, key.limits or (() if key.base_url else assumed)
    bucket = preset.bucket and not key.base_url if key.bucket is None else key.bucket
    patience = key.first_byte_timeout_seconds or preset.first_byte_timeout_seconds
    return replace(
        key,
        base_url=key.base_url or preset.base_url,
        models=models,
        limits=limits,
        bucket=bucket,
        first_byte_timeout_seconds=patience,
    )


def presets_table() -> str:
    """The providers that are known by name, as a table of docs/gateway.md.

    Example:
        >>> presets_table().splitlines()[2]
        '| `groq` | `GROQ_API_KEY` | `openai/gpt-oss-120b` | https://console.groq.com/docs/rate-limits |'
    """
    lines = []
    for name, preset in PRESETS.items():
        words = " | ".join(f"`{word}`" if word else "none" for word in (name, preset.variable, preset.default_model))
        lines.append(f"| {words} | {preset.source or 'part of the gateway'} |")
    return "\n".join(
        ["| provider | variable of its key | default model | limits and protocol |", "|---|---|---|---|", *lines, ""]
    )
