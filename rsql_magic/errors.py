"""Every error a user can meet, and how it looks in a notebook."""

# RsqlError
# ├── BadInput              the cell, an option or a name is wrong
# │   ├── ConnectionProblem   the database cannot be found, opened or read
# │   └── UnknownName         a variable, table or connection that does not exist (also a ``NameError``)
# ├── GatewayError          the gateway refused, or cannot be reached
# │   ├── GatewayUnreachable
# │   ├── NotAllowed          401, 403
# │   ├── UnknownModel        404 with code ``model_not_found``
# │   ├── LimitReached        429; ``retry_after`` says when
# │   └── AnswerCut           the answer ended before it was complete; ``partial`` holds what came
# ├── QueryRejected         the guard will not let a statement through
# ├── QueryFailed           no draft of a query passed its checks, or the database stopped it
# │   └── NoQuery             the model answered in words
# ├── CodeFailed            code run by ``--run`` raised
# ├── BudgetSpent           the budget of ``rsql run`` does not reach for another answer
# └── Stopped               the user stopped the cell (also a ``KeyboardInterrupt``)
#
# An error is one sentence on what went wrong and one on what to do next. In a notebook it is one line, not a
# traceback: IPython asks an exception for ``_render_traceback_``. It still raises, so "Run all", nbconvert and
# papermill stop.

from __future__ import annotations

from rsql_magic.plain_text import unlinked


class RsqlError(Exception):
    """The base of all our errors: what went wrong, and what to do next, in one sentence each.

    Example:
        >>> print(RsqlError("Nothing was asked.", hint="Write a question below %%ask."))
        Nothing was asked. Write a question below %%ask.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        message = unlinked(message)  # it may hold a model's or a database's words, and goes to terminals and notebooks
        super().__init__(message)
        self.message = message
        self.hint = unlinked(hint)

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()

    # Give IPython the lines to show in place of a traceback.
    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


class BadInput(RsqlError):
    """The cell, an option or an argument is wrong."""


class ConnectionProblem(BadInput):
    """A database that cannot be found, opened or read."""


class UnknownName(BadInput, NameError):
    """A variable, table or connection that does not exist."""


class GatewayError(RsqlError):
    """The gateway refused the request or failed.

    ``status`` is 0 when there was no reply, ``code`` is machine-readable, such as ``rate_limit_exceeded``, and
    ``retry_after`` is in seconds.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        status: int = 0,
        code: str = "",
        request_id: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after


class GatewayUnreachable(GatewayError):
    """No gateway answers at the address."""


class NotAllowed(GatewayError):
    """The token is missing, wrong, or lacks the permission."""


class UnknownModel(GatewayError):
    """The gateway has no such model for this caller."""


class LimitReached(GatewayError):
    """A rate limit, quota or budget is used up; ``retry_after`` says when to come back."""


class AnswerCut(GatewayError):
    """The answer ended before it was complete; ``partial`` holds what arrived."""

    partial: str = ""


class QueryRejected(RsqlError):
    """A statement that the guard does not let through; ``piece`` is the offending part of it, as written.

    A slip that may be corrected and tried again (a table or function that does not exist, a join without a condition, a
    typing error) is ``repairable``; a statement that would do what is not allowed is not.
    """

    def __init__(self, reason: str, *, piece: str = "", hint: str = "", repairable: bool = False) -> None:
        super().__init__(reason, hint=hint)
        self.reason = reason
        self.piece = piece
        self.repairable = repairable

    @classmethod
    def slip(cls, reason: str, piece: str = "", hint: str = "") -> QueryRejected:
        """The refusal of what may be corrected and tried again."""
        return cls(reason, piece=piece, hint=hint, repairable=True)


class QueryFailed(RsqlError):
    """No draft of a query passed its checks, or the database stopped the query; ``sql`` is the last draft."""

    def __init__(self, message: str, *, hint: str = "", sql: str = "") -> None:
        super().__init__(message, hint=hint)
        self.sql = sql


class NoQuery(QueryFailed):
    """The model answered without a query; the message is what it said."""


class CodeFailed(RsqlError):
    """Code that the user asked to run raised an error."""


class BudgetSpent(RsqlError):
    """The budget of ``rsql run`` does not reach for another answer."""


class Stopped(RsqlError, KeyboardInterrupt):
    """The user stopped the cell; what arrived is kept."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


class TooSlow(BaseException):
    """A call was stopped because it took too long. Not an `Exception`, so that the code it stops cannot swallow it."""
