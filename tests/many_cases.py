"""Many small cases in one test, where a test of its own would cost each more than what it checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def check_each(check: Callable[..., Any], cases: Iterable[tuple[Any, ...]]) -> None:
    """Call ``check`` with each case, and raise all that fail together, each with its case as a note."""
    failures = []
    for case in cases:
        try:
            check(*case)
        except (Exception, pytest.fail.Exception) as failure:
            failure.add_note(f"The case: {case!r}")
            failures.append(failure)
    if failures:
        raise BaseExceptionGroup(f"{len(failures)} cases fail", failures)
