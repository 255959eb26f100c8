"""What a gateway may reply to a request about copies, and what that means for trying again."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rsql_magic.errors import BadInput, GatewayError, RsqlError

if TYPE_CHECKING:
    from collections.abc import Iterator

ODD = (AttributeError, KeyError, TypeError, ValueError)  # what reading a reply of another form ends in
_PASSING = {408, 425, 429}  # statuses below 500 of a gateway that has no time now


class OddReply(GatewayError):
    """A reply of another form than that of a gateway."""


@contextmanager
def understood() -> Iterator[None]:
    """Make what reading a reply of another form ends in an error of the gateway.

    Example:
        >>> with understood():
        ...     {}["sessions"]
        Traceback (most recent call last):
        ...
        rsql_magic.panel.kept.copies.replies.OddReply: The gateway's reply has another form. Upgrade it.
    """
    try:
        yield
    except ODD:
        raise OddReply("The gateway's reply has another form.", hint="Upgrade it.") from None


def may_pass(error: RsqlError) -> bool:
    """Whether it may go better a moment later: the gateway is away or busy, and did not refuse.

    Example:
        >>> [may_pass(GatewayError("No.", status=status)) for status in (0, 403, 413, 429, 503)]
        [True, False, False, True, True]
    """
    status = error.status if isinstance(error, GatewayError) else 0
    return not 400 <= status < 500 or status in _PASSING


def no_gateway() -> BadInput:
    """The error of who has none within reach."""
    return BadInput("No gateway is within reach.", hint="%rsql connect URL.")
