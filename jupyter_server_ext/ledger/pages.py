"""Pages of long lists, by the last row of the page before: the next one costs no more than the first."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from jupyter_server_ext.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    import sqlalchemy as sa

_LONGEST = 1_500  # letters of a mark; the longest names are in it


class LedgerPage(NamedTuple):
    """Which part of a list is wanted.

    Example:
        >>> first = LedgerPage(2)
        >>> mark = first.mark([{"at": 3.0}, {"at": 2.0}, {"at": 1.0}], "at")
        >>> LedgerPage.after(mark, limit=2).last
        (2.0,)
    """

    limit: int  # rows of a page
    last: tuple[Any, ...] = ()  # the values by which the page before was ordered, of its last row; empty for the first

    @classmethod
    def after(cls, mark: str, limit: int) -> LedgerPage:
        """The page after the one that had this mark; the first one where it is empty.

        Raises:
            BadRequest: It is no mark of a page.
        """
        if not mark:
            return cls(limit)
        try:
            text = base64.urlsafe_b64decode(mark[:_LONGEST].encode() + b"==")
            values = msgspec.json.decode(text, type=list[float | int | str])
        except (ValueError, binascii.Error, msgspec.DecodeError):
            words = "'after' must be the 'next' of the page before, as it was."
            raise BadRequest(words, param="after") from None
        return cls(limit, tuple(values))

    def of(self, query: sa.Select[Any], *by: sa.ColumnElement[Any]) -> sa.Select[Any]:
        """The rows of this page and one more, the greatest first, of a query ordered by these columns.

        Raises:
            BadRequest: The mark is of another list.
        """
        if self.last:
            if [type(value) is str for value in self.last] != [c.type.python_type is str for c in by]:
                raise BadRequest("'after' is of another list. Leave it out for the first page.", param="after")
            query = query.where(_before(by, self.last))
        return query.order_by(*(column.desc() for column in by)).limit(self.limit + 1)

    def mark(self, rows: Sequence[dict[str, Any]], *by: str) -> str | None:
        """What names the page after this one, of rows as ``of`` brings them; None for the last."""
        if len(rows) <= self.limit:
            return None
        values = [rows[self.limit - 1][name] for name in by]
        return base64.urlsafe_b64encode(msgspec.json.encode(values)).decode().rstrip("=")


def _before(by: Sequence[sa.ColumnElement[Any]], last: Sequence[Any]) -> sa.ColumnElement[bool]:
    # Written so that an index on the first column is used: at <= x AND (at < x OR (at = x AND …)).
    column, value = by[0], last[0]
    before: sa.ColumnElement[bool] = column < value
    if len(by) == 1:
        return before
    within: sa.ColumnElement[bool] = column <= value
    same: sa.ColumnElement[bool] = column == value
    return within.__and__(before.__or__(same.__and__(_before(by[1:], last[1:]))))


class LogFilter(NamedTuple):
    """Which requests are wanted of the log; None for any."""

    who: str | None = None  # part of the caller's name
    tenant: str | None = None
    model: str | None = None
    task: str | None = None
    key: str | None = None
    outcome: str | None = None
    since: float | None = None  # Unix time
    until: float | None = None  # Unix time, which is none of it
    least_seconds: float | None = None
    least_nanodollars: int | None = None
