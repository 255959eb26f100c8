"""Shapes of replies: changes, tenants, keys and limits."""

from __future__ import annotations

from typing import Any, NotRequired

from typing_extensions import TypedDict

from jupyter_server_ext.handlers.described import Counts, Object


class ChangeRow(TypedDict):
    """A line of the trail of what was changed at run time."""

    number: int
    id: str
    at: float
    caller: str
    kind: str
    name: str
    tenant: str
    undoes: str
    before: Object | None
    after: Object | None


class ChangesReply(TypedDict):
    """``admin/api/changes``."""

    changes: list[ChangeRow]


class TenantsReply(TypedDict):
    """``admin/api/tenants``."""

    tenants: list[Object]


class MembersReply(TypedDict):
    """``admin/api/tenants/{name}/members``."""

    members: list[Object]


TenantReply = dict[str, Any]


class KeysReply(TypedDict):
    """``admin/api/keys``."""

    states: Counts
    keys: list[Object]


class NewKeyReply(TypedDict):
    """A key that was added."""

    key: str
    lasts: bool


class KeyCheck(TypedDict):
    """What came of trying a key."""

    key: str
    ok: bool
    seconds: NotRequired[float]
    reason: NotRequired[str]


class KeyActionReply(TypedDict):
    """What was done to a key."""

    key: str
    action: str


class ChecksReply(TypedDict):
    """``admin/health-check``."""

    keys: list[Object]


class ResetReply(TypedDict):
    """``admin/reset-daily-limits``."""

    status: str
    accounts: int


class LimitsReply(TypedDict):
    """``admin/api/limits``."""

    limits: Object
    decided: Object
    lasts: bool


class VerifyReply(TypedDict):
    """``admin/api/ledger/verify``."""

    status: str
    problems: list[str]
    notes: list[str]


class GivenBackReply(TypedDict):
    """Whose limits were given back."""

    user: str
    complete: bool


class ForgottenReply(TypedDict):
    """What was forgotten of a user."""

    user: str
    entries: int
    complete: bool
