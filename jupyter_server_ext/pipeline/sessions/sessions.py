"""Conversations that callers leave here: listed, given, shared by a link and taken back, each for its caller alone."""

# What was said is sealed with the administrator's keys (``prompt_keys``); without them nothing is taken. Whose a sealed
# text is stands inside it, too, so that one that was moved to another row is not given out.

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from base64 import b64decode
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from jupyter_server_ext.errors import BadRequest, LedgerUnavailable, NotPermitted
from jupyter_server_ext.messages import is_name
from jupyter_server_ext.pipeline.sessions.values import CopyRow, SessionFileRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from jupyter_server_ext.config import SessionSettings
    from jupyter_server_ext.ledger import Ledger, PromptVault, SqlLedgerStore
    from jupyter_server_ext.messages import Caller
    from jupyter_server_ext.pipeline.sessions.store import SqlSessions

FILE_KINDS = ("table", "sql", "script", "chart", "picture", "study", "report")
"""The kinds of files that are kept with a conversation; the panel makes the same ones."""

T = TypeVar("T")

_DAY = 86_400.0
_LONGEST_NAME = 200  # characters
_LONGEST_ABOUT = 1_000  # characters


class UnknownSession(BadRequest):
    """There is no such conversation, file or link, or not for this caller."""

    status, code = 404, "unknown_session"


class SessionChanged(BadRequest):
    """The conversation was changed since the caller had it last."""

    status, code = 412, "session_changed"


class SentSession(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A conversation as it is sent: ``pairs`` are its questions and answers, as the panel exports them."""

    title: str
    pairs: list[dict[str, Any]]
    notebook: str = ""


class SentFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file as it is sent; ``data`` is Base64, ``about`` what the program that sends it wants to find again."""

    kind: str  # one of `FILE_KINDS`
    name: str
    data: str
    media: str = "application/octet-stream"
    about: str = ""


class SessionHead(msgspec.Struct, frozen=True):
    """A conversation as it is listed."""

    id: str
    title: str
    notebook: str
    pairs: int
    bytes: int
    changed: float  # Unix time
    expires: float | None
    shared_until: float | None


class SessionFile(msgspec.Struct, frozen=True):
    """A file as it is listed."""

    id: str
    kind: str
    name: str
    media: str
    bytes: int
    digest: str
    made: float
    about: str = ""


class _Head(msgspec.Struct, frozen=True):
    caller: str
    id: str
    title: str
    notebook: str
    pairs: int


class _FileHead(msgspec.Struct, frozen=True):
    caller: str
    id: str
    name: str
    media: str
    about: str = ""


def read_session(body: bytes) -> SentSession:
    """A conversation that was sent, looked at.

    Raises:
        BadRequest: It has another form.
    """
    try:
        sent = msgspec.json.decode(body, type=SentSession)
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        raise BadRequest(f"The body is no conversation ({wrong}).") from None
    for name, text in (("title", sent.title), ("notebook", sent.notebook)):
        if len(text) > _LONGEST_NAME or not is_name(text):
            words = f"'{name}' may have {_LONGEST_NAME} characters, and no control characters."
            raise BadRequest(words, param=name)
    return sent


def read_file(body: bytes) -> tuple[SentFile, bytes]:
    """A file that was sent, looked at, and its bytes.

    Raises:
        BadRequest: It has another form.
    """
    try:
        sent = msgspec.json.decode(body, type=SentFile)
        content = b64decode(sent.data, validate=True)
    except (msgspec.DecodeError, ValueError) as wrong:
        raise BadRequest(f"The body is no file ({wrong}).") from None
    if sent.kind not in FILE_KINDS:
        raise BadRequest(f"'kind' must be one of: {', '.join(FILE_KINDS)}.", param="kind")
    for name, text in (("name", sent.name), ("media", sent.media)):
        if not 0 < len(text) <= _LONGEST_NAME or not is_name(text) or not text.isprintable():
            words = f"'{name}' may have 1 to {_LONGEST_NAME} characters, and no control characters."
            raise BadRequest(words, param=name)
    if len(sent.about) > _LONGEST_ABOUT:
        raise BadRequest(f"'about' may have {_LONGEST_ABOUT:,} characters.", param="about")
    return sent, content


@dataclass(eq=False, repr=False)
class KeptSessions:
    """Keeps, lists, gives, shares and removes them, for a caller each time."""

    ledger: Ledger  # whose database holds them
    settings: SessionSettings  # how many, how large and how long
    vault: PromptVault | None  # seals them; without one none are kept
    clock: Callable[[], float] = time.time  # Unix time

    async def put(
        self, caller: Caller, session: str, sent: SentSession, *, expected: float | None = None
    ) -> SessionHead:
        """Keep a conversation, in place of the caller's one of its id.

        ``expected`` is when that one was changed last as far as the caller knows, 0 for none; None for whenever.

        Raises:
            SessionChanged: It was changed at another time.
            NotPermitted: The quota is used up.
            LedgerUnavailable: None are kept here (404), or it cannot be written now (503).
        """
        vault, now = self._vault, self.clock()
        head = _Head(caller.name, session, sent.title, sent.notebook, len(sent.pairs))
        whole = {"caller": caller.name, "id": session, "pairs": sent.pairs}
        sealed = await _apart(lambda: vault.seal(msgspec.json.encode(whole)))
        expires = now + self.settings.days * _DAY if self.settings.days else None
        sealed_head = vault.seal(msgspec.json.encode(head))
        row = CopyRow(session, caller.name, caller.tenant, sealed_head, len(sealed), now, expires, body=sealed)
        quota = {"most": self.settings.per_caller, "most_bytes": int(self.settings.mb_per_caller * 1e6)}
        lacks = await self.ledger.write(lambda store: _of(store).put(row, expected=expected, **quota))
        if lacks is None:
            raise SessionChanged("The conversation was changed meanwhile. Get it, and put both together.", param="id")
        self._check(lacks)
        until = await self.ledger.ask(lambda store: _of(store).shared_until(caller.name, session))
        return self._shown(replace(row, shared_until=until))

    async def all(self, caller: Caller) -> list[SessionHead]:
        """A caller's conversations, the last changed first."""
        rows = await self.ledger.ask(lambda store: _of(store).all(caller.name, self.clock()))
        return [self._shown(row) for row in rows]

    async def one(self, caller: Caller, session: str) -> tuple[SessionHead, list[Any]]:
        """One conversation, and its questions and answers.

        Raises:
            UnknownSession: There is none of this id for this caller.
        """
        row = await self.ledger.ask(lambda store: _of(store).one(caller.name, session, self.clock()))
        if row is None:
            raise _unknown()
        return self._shown(row), await _apart(lambda: self._pairs(row))

    async def remove(self, caller: Caller, session: str) -> None:
        """Delete a conversation with its files.

        Raises:
            UnknownSession: There is none of this id for this caller.
        """
        if not await self.ledger.write(lambda store: _of(store).remove(caller.name, session)):
            raise _unknown()

    # Links

    async def share(self, caller: Caller, session: str, days: float) -> tuple[str, float]:
        """Make a link to a conversation, in place of an earlier one; its token, and until when it is good.

        Raises:
            UnknownSession: There is none of this id for this caller.
            BadRequest: It would be good for too long.
        """
        if not 0 < days <= self.settings.most_shared_days:
            words = f"'days' must be more than 0 and at most {self.settings.most_shared_days:g}."
            raise BadRequest(words, param="days")
        token, until = secrets.token_urlsafe(24), self.clock() + days * _DAY
        link = _hash(token)
        if not await self.ledger.write(lambda store: _of(store).share(caller.name, session, link, until)):
            raise _unknown()
        return token, until

    async def unshare(self, caller: Caller, session: str) -> None:
        """Take a link back; harmless where there is none.

        Raises:
            UnknownSession: There is no conversation of this id for this caller.
        """
        if not await self.ledger.write(lambda store: _of(store).share(caller.name, session, None, None)):
            raise _unknown()

    async def linked(self, viewer: Caller, token: str) -> tuple[str, SessionHead, list[Any]]:
        """Whose conversation a link leads to, and it; for its owner, instructors of the owner's group, administrators.

        Raises:
            UnknownSession: The link leads nowhere, was taken back or is too old, or is not for this caller.
        """
        link = _hash(token)
        row = await self.ledger.ask(lambda store: _of(store).linked(link, self.clock()))
        if row is None or not _may_see(viewer, row):
            words = "This link leads nowhere: it was taken back, its time is over, or it is not yours to open."
            raise UnknownSession(f"{words} Ask whoever sent it for a new one.", param="token")
        return row.caller, self._shown(row), await _apart(lambda: self._pairs(row))

    # Files

    async def add_file(self, caller: Caller, session: str, sent: SentFile, content: bytes) -> SessionFile:
        """Keep a file with a conversation.

        Raises:
            NotPermitted: The quota is used up.
            UnknownSession: There is no conversation of this id for this caller.
        """
        name, vault = secrets.token_hex(12), self._vault
        digest, sealed = await _apart(lambda: (hashlib.sha256(content).hexdigest(), vault.seal(content)))
        sealed_head = vault.seal(msgspec.json.encode(_FileHead(caller.name, name, sent.name, sent.media, sent.about)))
        row = SessionFileRow(name, session, sent.kind, sealed_head, len(content), digest, self.clock(), sealed)
        most = int(self.settings.mb_per_caller * 1e6)
        lacks = await self.ledger.write(
            lambda store: _of(store).add_file(caller.name, row, most_bytes=most, now=self.clock())
        )
        if lacks is None:
            raise _unknown()
        self._check(lacks)
        return self._file(caller, row)

    async def files(self, caller: Caller, session: str) -> list[SessionFile]:
        """The files of a conversation, the newest first.

        Raises:
            UnknownSession: There is no conversation of this id for this caller.
        """
        rows = await self.ledger.ask(lambda store: _of(store).files(caller.name, session, self.clock()))
        if rows is None:
            raise _unknown()
        return [self._file(caller, row) for row in rows]

    async def file(self, caller: Caller, kind: str, name: str) -> tuple[SessionFile, bytes]:
        """A file and its bytes.

        Raises:
            UnknownSession: There is none of this id for this caller.
        """
        row = await self.ledger.ask(lambda store: _of(store).file(caller.name, kind, name, self.clock()))
        content = None if row is None else await _apart(lambda: self._content(row))
        if row is None or content is None:
            raise _unknown()
        return self._file(caller, row), content

    # The bytes of a file; None where they are not those that were kept.
    def _content(self, row: SessionFileRow) -> bytes | None:
        content = self._vault.open(row.body)
        is_same = content is not None and hashlib.sha256(content).hexdigest() == row.digest
        return content if is_same else None

    async def remove_file(self, caller: Caller, kind: str, name: str) -> None:
        """Delete a file.

        Raises:
            UnknownSession: There is none of this id for this caller.
        """
        if not await self.ledger.write(lambda store: _of(store).remove_file(caller.name, kind, name)):
            raise _unknown()

    @property
    def _vault(self) -> PromptVault:
        if self.vault is None:
            words = "This gateway keeps no conversations. Its administrator sets 'prompt_keys' in [storage]."
            raise LedgerUnavailable(words, status=404, code="no_sessions")
        return self.vault

    def _check(self, lacks: str) -> None:
        if lacks:
            raise NotPermitted(
                f"You may keep {lacks} at this gateway. Delete what you no longer need.", code="sessions_full"
            )

    def _shown(self, row: CopyRow) -> SessionHead:
        opened = self._vault.open(row.head)
        head = _Head(row.caller, row.id, "", "", 0) if opened is None else msgspec.json.decode(opened, type=_Head)
        if (head.caller, head.id) != (row.caller, row.id):
            raise _unknown()
        fields = (row.bytes, row.changed, row.expires, row.shared_until)
        return SessionHead(row.id, head.title, head.notebook, head.pairs, *fields)

    def _pairs(self, row: CopyRow) -> list[Any]:
        opened = self._vault.open(row.body)
        if opened is None:
            words = "The conversation cannot be decrypted: 'prompt_keys' in [storage] have changed."
            raise LedgerUnavailable(words, status=404, code="no_sessions")
        whole = msgspec.json.decode(opened)
        if (whole["caller"], whole["id"]) != (row.caller, row.id):
            raise _unknown()
        pairs: list[Any] = whole["pairs"]
        return pairs

    def _file(self, caller: Caller, row: SessionFileRow) -> SessionFile:
        opened = self._vault.open(row.head)
        head = _FileHead(caller.name, row.id, "", "") if opened is None else msgspec.json.decode(opened, type=_FileHead)
        if (head.caller, head.id) != (caller.name, row.id):
            raise _unknown()
        return SessionFile(row.id, row.kind, head.name, head.media, row.bytes, row.digest, row.made, head.about)


# Megabytes are sealed or opened in a tenth of a second, in which nobody else would be answered.
async def _apart(work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(None, work)


def _may_see(viewer: Caller, row: CopyRow) -> bool:
    if viewer.name == row.caller or "admin" in viewer.scopes:
        return True
    return "instructor" in viewer.scopes and bool(row.tenant) and viewer.tenant == row.tenant


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _unknown() -> UnknownSession:
    return UnknownSession("There is no such conversation or file, or it is not yours.", param="id")


def _of(store: SqlLedgerStore) -> SqlSessions:
    from jupyter_server_ext.pipeline.sessions.store import SqlSessions

    return SqlSessions(store.engine)
