"""Who reads and who writes what tenants share, and for how long it is kept: the same for everything that is shared."""

# A caller reads what is of its tenant and what is for everyone, which has no tenant. Nothing else is ever read: the
# tenants are decided here, from the caller alone, and stand in every statement of the stores.

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyter_server_ext.config import holds
from jupyter_server_ext.errors import BadRequest, NotPermitted

if TYPE_CHECKING:
    from jupyter_server_ext.config import DocumentSettings
    from jupyter_server_ext.messages import Caller

_DAY = 86_400.0


def tenants_read(caller: Caller) -> tuple[str, ...]:
    """The tenants whose knowledge a caller reads, its own first."""
    return (caller.tenant, "") if caller.tenant else ("",)


def tenant_written(caller: Caller, tenant: str | None) -> str:
    """The tenant whose knowledge is to be changed, the caller's when None, if the caller may do that.

    Raises:
        NotPermitted: It is another tenant's, or the caller shares nothing.
    """
    wanted = caller.tenant if tenant is None else tenant
    if "admin" in caller.scopes:
        return wanted
    if not holds(caller.scopes, "documents:write") or wanted != caller.tenant:
        raise NotPermitted("This is not yours to change. Ask your administrator.")
    if not caller.tenant:
        raise NotPermitted("You are in no group, and what is for everyone is your administrator's to change.")
    return wanted


def end_of(settings: DocumentSettings, days: float | None, now: float) -> float | None:
    """When something that is shared now for so many days is deleted; None for never.

    Raises:
        BadRequest: It would be kept for too long.
    """
    kept = settings.default_days if days is None else days
    if kept < 0 or (settings.most_days and not 0 < kept <= settings.most_days):
        raise BadRequest(f"'days' must be more than 0 and at most {settings.most_days:g}.", param="days")
    return now + kept * _DAY if kept else None


def whose(tenant: str) -> str:
    """A tenant in a sentence."""
    return tenant or "everyone"
