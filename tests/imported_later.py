"""Heavy libraries of one file of tests, which the workers that only collect it do not import."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class Later:
    """A module that is imported when a name of it is first used.

    Args:
        name: Its whole name, such as ``sklearn.compose``.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("_"):  # pytest asks each name in a file whether it wraps a fixture
            raise AttributeError(attribute)
        return getattr(import_module(self._name), attribute)
