"""What a handler's method takes and how it replies, said where it stands, for openapi.json and for checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from jupyter_server_ext.handlers.parameters import Parameter

Method = TypeVar("Method", bound="Callable[..., Any]")
Counts = dict[str, int]
Object = dict[str, Any]


class Description(NamedTuple):
    """What a method of a handler takes in its address, and how it replies."""

    reply: Any  # a type for JSON, or the name of another kind of content
    parameters: tuple[Parameter, ...] = ()
    status: int = 200


def described(reply: Any, *parameters: Parameter, status: int = 200) -> Callable[[Method], Method]:
    """Say what a handler's method takes and how it replies; an administrator's route refuses other parameters."""

    def mark(method: Method) -> Method:
        method._described = Description(reply, parameters, status)  # type: ignore[attr-defined]  # noqa: SLF001
        return method

    return mark


def description_of(method: object) -> Description | None:
    """What ``described`` said of a method."""
    return getattr(method, "_described", None)
