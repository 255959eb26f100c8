"""Explanations of common errors of Python, R and SQL, with the names of the notebook put in."""

from __future__ import annotations

from .reply import explain_error, is_about_error, is_known_message

__all__ = ["explain_error", "is_about_error", "is_known_message"]
