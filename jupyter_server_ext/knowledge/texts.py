"""Dictionaries and examples of tenants: whole texts by name, which kernels fetch and read themselves."""

# The gateway looks at their size and characters only. A dictionary is read by the kernel, within its own bounds, and
# an example fits a question or not by the tables that the kernel sees.

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import msgspec

from jupyter_server_ext.errors import BadRequest, LedgerUnavailable, NotPermitted
from jupyter_server_ext.knowledge.access import end_of, tenant_written, tenants_read, whose
from jupyter_server_ext.messages import is_name, without_controls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from jupyter_server_ext.config import DocumentSettings
    from jupyter_server_ext.knowledge.text_store import SqlTexts
    from jupyter_server_ext.ledger import Ledger, SqlLedgerStore
    from jupyter_server_ext.messages import Caller

Kind = Literal["dictionary", "example"]

_LARGEST = 2_000_000  # bytes of a dictionary
_LONGEST_QUESTION, _LONGEST_SQL, _LONGEST_DIALECT = 1_000, 20_000, 30  # characters of an example


class NoSuchText(BadRequest):
    """There is no dictionary or example of this name, or not for this caller."""

    status, code = 404, "shared_not_found"


class NewText(msgspec.Struct, frozen=True):
    """A text as it is to be shared."""

    name: str
    text: str
    tenant: str | None = None  # whose it is; None for the caller's, empty for everyone's
    days: float | None = None  # until it is deleted; None for the configured number


class SharedText(msgspec.Struct, frozen=True):
    """A text as it is listed; ``digest`` changes with it."""

    name: str
    tenant: str  # empty for everyone's
    bytes: int
    digest: str
    added: float  # Unix time
    expires: float | None  # Unix time; None for never
    text: str = ""  # where it was asked for


class Example(msgspec.Struct, frozen=True):
    """A question, and the SQL that answers it."""

    question: str
    sql: str
    dialect: str = ""


class _SentDictionary(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    text: str
    tenant: str | None = None
    days: float | None = None


class _SentExample(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    question: str
    sql: str
    dialect: str = ""
    tenant: str | None = None
    days: float | None = None


def read_dictionary(body: bytes) -> NewText:
    """A dictionary that was sent, looked at.

    Raises:
        BadRequest: It has another form, is too large, or holds control characters.
    """
    try:
        sent = msgspec.json.decode(body, type=_SentDictionary)
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        raise BadRequest(f"The body is no dictionary ({wrong}).") from None
    _check_name(sent.name, sent.tenant)
    if len(sent.text.encode("utf-8", "replace")) > _LARGEST:
        raise BadRequest(
            f"A dictionary may have {_LARGEST / 1e6:g} MB. Leave out what no question needs.", param="text"
        )
    if not sent.text.strip():
        raise BadRequest("The dictionary is empty.", param="text")
    if without_controls(sent.text.replace("\r\n", "\n")) != sent.text.replace("\r\n", "\n"):
        raise BadRequest("The dictionary holds control characters. Send text.", param="text")
    return NewText(sent.name, sent.text, sent.tenant, sent.days)


def read_example(body: bytes) -> NewText:
    r"""An example that was sent, looked at; the same question in the same dialect has the same name.

    Raises:
        BadRequest: It has another form, or is too long.

    Example:
        >>> one = read_example(b'{"question": "How  many?", "sql": "SELECT 1"}')
        >>> one.name == read_example(b'{"question": "how many?", "sql": "SELECT 2"}').name
        True
    """
    try:
        sent = msgspec.json.decode(body, type=_SentExample)
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        raise BadRequest(f"The body is no example ({wrong}).") from None
    question, sql = " ".join(without_controls(sent.question).split()), without_controls(sent.sql).strip()
    dialect = sent.dialect.strip()
    bounds = {"question": (question, _LONGEST_QUESTION), "sql": (sql, _LONGEST_SQL)}
    for name, (text, longest) in bounds.items():
        if not 0 < len(text) <= longest:
            raise BadRequest(f"'{name}' may have 1 to {longest:,} characters.", param=name)
    if len(dialect) > _LONGEST_DIALECT or not is_name(dialect) or not is_name(sent.tenant or ""):
        raise BadRequest("'dialect' is the name of a dialect, such as duckdb.", param="dialect")
    name = hashlib.sha256(f"{question.casefold()}\0{dialect}".encode()).hexdigest()[:16]
    text = msgspec.json.encode(Example(question, sql, dialect)).decode()
    return NewText(name, text, sent.tenant, sent.days)


def _check_name(name: str, tenant: str | None) -> None:
    if not name.strip() or not is_name(name) or not is_name(tenant or ""):
        raise BadRequest("'name' may have 1 to 255 characters, and no control characters.", param="name")


def etag_of(texts: Iterable[SharedText]) -> str:
    """What changes with any of these, as a header has it."""
    told = "".join(f"{one.tenant}\0{one.name}\0{one.digest}\0" for one in texts)
    return f'"{hashlib.sha256(told.encode()).hexdigest()[:32]}"'


@dataclass(eq=False, repr=False)
class SharedTexts:
    """Keeps, lists, gives and removes them, for a caller each time."""

    ledger: Ledger  # whose database holds them; without one there are none
    settings: DocumentSettings  # how many, how large and how long
    clock: Callable[[], float] = time.time  # Unix time

    async def put(self, caller: Caller, kind: Kind, sent: NewText) -> SharedText:
        """Keep a text, in place of the one of its name.

        Raises:
            NotPermitted: It is another tenant's, or the quota is used up.
            BadRequest: It would be kept for too long.
            LedgerUnavailable: There is no database (404), or it cannot be written (503).
        """
        tenant, now = tenant_written(caller, sent.tenant), self.clock()
        expires = end_of(self.settings, sent.days, now)
        most = self.settings.dictionaries_per_tenant if kind == "dictionary" else self.settings.examples_per_tenant
        most_bytes = int(self.settings.mb_per_tenant * 1e6)
        size, digest = len(sent.text.encode()), hashlib.sha256(sent.text.encode()).hexdigest()[:32]
        new = SharedText(sent.name, tenant, size, digest, now, expires, sent.text)
        full = await self.ledger.write(lambda store: _of(store).put(kind, new, most=most, most_bytes=most_bytes))
        if full:
            words = f"{whose(tenant).capitalize()} may share {full} in all. Delete some first."
            raise NotPermitted(words, code="documents_full")
        return msgspec.structs.replace(new, text="")

    async def all(self, caller: Caller, kind: Kind, *, whole: bool = False) -> list[SharedText]:
        """What a caller reads of a kind, the own tenant's first; ``whole`` with the texts; none without a database."""
        if not self.ledger.keeps:
            return []
        reads = tenants_read(caller)
        found = await self.ledger.ask(lambda store: _of(store).all(kind, reads, self.clock(), whole=whole))
        return sorted(found, key=lambda one: (reads.index(one.tenant), one.name))

    async def one(self, caller: Caller, kind: Kind, name: str, tenant: str | None = None) -> SharedText:
        """One text, of a tenant that the caller reads; its own, or else everyone's, when None.

        Raises:
            NoSuchText: There is none of that name for this caller.
        """
        reads = [of for of in tenants_read(caller) if tenant in (None, of)]
        found = await self.ledger.ask(lambda store: _of(store).named(kind, name, reads, self.clock())) if reads else []
        if not found:
            raise NoSuchText(f"There is no such {kind}.", param="name")
        return min(found, key=lambda one: reads.index(one.tenant))

    async def counts(self, caller: Caller) -> Mapping[str, int]:
        """How many a caller reads of each kind; none while they cannot be read."""
        try:
            return await self.ledger.ask(lambda store: _of(store).counts(tenants_read(caller), self.clock()))
        except LedgerUnavailable:
            return {}

    async def remove(self, caller: Caller, kind: Kind, name: str, tenant: str | None = None) -> str:
        """Remove a text of a tenant, the caller's when None; whose it was.

        Raises:
            NotPermitted: It is another tenant's.
            NoSuchText: There is none of that name.
        """
        of = tenant_written(caller, tenant)
        if not await self.ledger.write(lambda store: _of(store).remove(kind, of, name)):
            raise NoSuchText(f"There is no such {kind}.", param="name")
        return of


def examples_of(texts: Sequence[SharedText]) -> list[Example]:
    """The examples that texts hold."""
    return [msgspec.json.decode(one.text, type=Example) for one in texts]


def _of(store: SqlLedgerStore) -> SqlTexts:
    from jupyter_server_ext.knowledge.text_store import SqlTexts

    return SqlTexts(store.engine)
