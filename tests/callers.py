"""Scopes of callers in tests: what a person has, and an instructor, as entries of ``[[api_keys]]`` list them."""

from __future__ import annotations

from jupyter_server_ext import config

PERSON = tuple(sorted(config.PERSON))
TEACHER = tuple(sorted(config.PERSON | config.TEACHES))
EVERYTHING = frozenset(config.SCOPES)
