"""Replies in which a model writes SQL."""

from __future__ import annotations


def sql(text: str, says: str = "", chart: str = "") -> str:
    """A reply with a query, words after it, and the JSON of a chart."""
    return f"```sql\n{text}\n```\n{says}" + (f"\n```json\n{chart}\n```" if chart else "")
