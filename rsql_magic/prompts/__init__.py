"""Prompts are Markdown files beside this one; ``render`` fills their ``{{name}}`` fields.

A field holds text that is put in as it is, in one pass: what it brings is never looked at again.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

_FIELD = re.compile(r"\{\{(\w+)\}\}")


@cache
def load(name: str) -> str:
    """The text of ``NAME.md``."""
    return files(__name__).joinpath(f"{name}.md").read_text(encoding="utf-8").strip()


def render(name: str, **fields: str) -> str:
    """The prompt ``NAME.md`` with a text for each of its ``{{field}}``.

    Raises:
        KeyError: A field of the file was not given.

    Example:
        >>> render("question", context="", question="How many?").endswith("Question: How many?")
        True
    """
    return _FIELD.sub(lambda match: fields[match[1]], load(name))
