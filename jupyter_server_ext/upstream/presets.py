"""The providers that are known by name.

Limits are those of the free or lowest tier on the day of ``source``; configured limits, and what the headers
say, go before them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from jupyter_server_ext.config import Limit
from jupyter_server_ext.errors import ConfigError

from .provider import Preset

if TYPE_CHECKING:
    from jupyter_server_ext.config import KeySettings

_MINUTE, _DAY = 60.0, 86_400.0


def _per_model(rpm: int = 0, rpd: int = 0, tpm: int = 0, tpd: int = 0, zone: str = "") -> tuple[Limit, ...]:
    rows = (
        Limit(rpm, "requests", _MINUTE, model="*"),
        Limit(rpd, "requests", _DAY, zone, model="*"),
        Limit(tpm, "tokens", _MINUTE, model="*"),
        Limit(tpd, "tokens", _DAY, zone, model="*"),
    )
    return tuple(row for row in rows if row.amount)


PRESETS: dict[str, Preset] = {
    "groq": Preset(
        "https://api.groq.com/openai/v1",
        limits=_per_model(rpm=30, rpd=1000, tpm=6000),
        request_window=_DAY,
        token_window=_MINUTE,
        environment="GROQ_API_KEY",
        source="https://console.groq.com/docs/rate-limits",
    ),
    "openai": Preset(
        "https://api.openai.com/v1",
        request_window=_MINUTE,
        token_window=_MINUTE,
        environment="OPENAI_API_KEY",
        source="https://platform.openai.com/docs/guides/rate-limits",
    ),
    "openrouter": Preset(
        "https://openrouter.ai/api/v1",
        limits=(Limit(20, "requests", _MINUTE), Limit(50, "requests", _DAY, "UTC")),
        check_url="https://openrouter.ai/api/v1/key",
        environment="OPENROUTER_API_KEY",
        source="https://openrouter.ai/docs/api-reference/limits",
    ),
    "huggingface": Preset(
        "https://router.huggingface.co/v1",
        check_url="https://huggingface.co/api/whoami-v2",
        environment="HF_TOKEN",
        source="https://huggingface.co/docs/inference-providers",
    ),
    "mistral": Preset(
        "https://api.mistral.ai/v1",
        limits=(Limit(1, "requests", 1.0), Limit(500_000, "tokens", _MINUTE, model="*")),
        stream_usage=False,  # it sends the usage unasked, and knows no stream_options
        environment="MISTRAL_API_KEY",
        source="https://docs.mistral.ai/deployment/laplateforme/tier/",
    ),
    "together": Preset(
        "https://api.together.xyz/v1",
        limits=(Limit(60, "requests", _MINUTE),),
        environment="TOGETHER_API_KEY",
        source="https://docs.together.ai/docs/rate-limits",
    ),
    "deepseek": Preset(
        "https://api.deepseek.com/v1",
        environment="DEEPSEEK_API_KEY",
        source="https://api-docs.deepseek.com/quick_start/rate_limit",
    ),
    "gemini": Preset(
        "https://generativelanguage.googleapis.com/v1beta/openai",
        limits=_per_model(rpm=10, rpd=250, tpm=250_000, zone="America/Los_Angeles"),
        zone="America/Los_Angeles",
        environment="GEMINI_API_KEY",
        source="https://ai.google.dev/gemini-api/docs/rate-limits",
    ),
    "anthropic": Preset(
        "https://api.anthropic.com/v1",
        limits=(
            Limit(50, "requests", _MINUTE, model="*"),
            Limit(30_000, "input_tokens", _MINUTE, model="*"),
            Limit(8_000, "output_tokens", _MINUTE, model="*"),
        ),
        request_window=_MINUTE,
        token_window=_MINUTE,
        anthropic_headers=True,
        bucket=True,
        environment="ANTHROPIC_API_KEY",
        source="https://docs.anthropic.com/en/api/rate-limits",
    ),
    "ollama": Preset("http://127.0.0.1:11434/v1", source="https://github.com/ollama/ollama/blob/main/docs/openai.md"),
    "vllm": Preset(
        "http://127.0.0.1:8000/v1", source="https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html"
    ),
    "offline": Preset("http://offline/v1", models=("offline",)),
}


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
    own_limits = key.limits or (() if key.base_url else assumed)
    bucket = preset.bucket and not key.base_url if key.bucket is None else key.bucket
    return replace(
        key,
        base_url=key.base_url or preset.base_url,
        models=key.models or preset.models,
        limits=own_limits,
        bucket=bucket,
    )
