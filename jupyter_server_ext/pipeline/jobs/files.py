"""Files of callers: taken in and given back piece by piece, with a quota and an expiry."""

from __future__ import annotations

import secrets
import time
from dataclasses import KW_ONLY, dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from jupyter_server_ext.errors import BadRequest, LedgerUnavailable, NotPermitted, TooLarge
from jupyter_server_ext.pipeline.jobs.values import NoSuchFile, StoredFile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from jupyter_server_ext.config import JobSettings
    from jupyter_server_ext.ledger import Ledger, LedgerPage, PromptVault, SqlLedgerStore
    from jupyter_server_ext.messages import Caller
    from jupyter_server_ext.pipeline.jobs.file_store import SqlFiles

T = TypeVar("T")

PURPOSE = "batch"
_PIECE = 64 * 1024  # bytes, or one line where that is longer
_LINES = 200  # of results that are read at once
_A_DAY = 86_400.0


@dataclass(eq=False, repr=False)
class Files:
    """Keeps, lists, gives and removes files, for a caller each time."""

    ledger: Ledger  # whose database holds them; without one there are none
    settings: JobSettings  # how many, how large and how long
    vault: PromptVault | None = None  # encrypts them, where there is one
    _: KW_ONLY
    clock: Callable[[], float] = time.time  # Unix time

    async def begin(self, caller: Caller, announced: int) -> Upload:
        """Take in a file; ``announced`` bytes are to come, 0 where that is not known.

        Raises:
            TooLarge: No file may be as large.
            NotPermitted: The caller has no room for it.
            LedgerUnavailable: There is no database (404), or it cannot be written (503).
        """
        most = int(self.settings.file_mb * 1e6)
        if announced > most:
            raise file_too_large(most)
        count, held = await self.ask(lambda files: files.held(caller.name))
        if count >= self.settings.files_per_caller or held + announced > self.settings.mb_per_caller * 1e6:
            raise self.full()
        return Upload(self, caller)

    async def one(self, caller: Caller, file: str) -> StoredFile:
        """A file of a caller.

        Raises:
            NoSuchFile: There is none of this id.
        """
        found = await self.ask(lambda files: files.find(file, caller.name))
        if found is None:
            raise NoSuchFile("There is no such file. GET v1/files lists yours.", param="file_id")
        return found

    async def page(self, caller: Caller, page: LedgerPage, purpose: str = "") -> list[StoredFile]:
        """A caller's files, the newest first, and one more than the page holds where there are more."""
        return await self.ask(lambda files: files.page(caller.name, page, purpose))

    async def remove(self, caller: Caller, file: str) -> None:
        """Remove a file; of one that a job wrote, the results.

        Raises:
            NoSuchFile: There is none of this id.
            BadRequest: A job reads it.
        """
        await self.one(caller, file)
        if job := await self.ask(lambda files: files.uses(file)):
            raise BadRequest(f"{job} reads this file. Cancel that first.", code="file_in_use", status=409)
        await self.drop(file)

    async def content(self, file: StoredFile) -> AsyncIterator[bytes]:
        """What a file holds, in pieces.

        Raises:
            BadRequest: It cannot be decrypted any more.
        """
        if file.job:
            last = 0
            while True:
                last, lines = await self.ask(lambda files: files.results(file, last, _LINES))  # noqa: B023 - awaited here
                yield b"".join(_readable(line) for line in lines)
                if len(lines) < _LINES:
                    return
        for number in range(file.pieces):
            yield _readable(await self.ask(lambda files: files.piece(file.id, number)))  # noqa: B023 - awaited here

    async def tidy(self) -> None:
        """Remove files whose time is over, and those that never arrived.

        Raises:
            LedgerUnavailable: The database cannot be written.
        """
        now = self.clock()
        for file in await self.ask(lambda files: files.expired(now, now - _A_DAY)):
            await self.drop(file)

    async def forget(self, caller: str) -> None:
        """Remove all files of a caller."""
        if self.ledger.keeps:
            for file in await self.ask(lambda files: files.of(caller)):
                await self.drop(file)

    async def drop(self, file: str) -> None:
        """Remove a file, step by step, between which others write."""
        while await self.write(lambda files: files.remove(file)):
            pass

    def full(self) -> NotPermitted:
        """What a caller without room is told."""
        count, held = self.settings.files_per_caller, self.settings.mb_per_caller
        words = f"You may keep {count:,} files of {held:,g} MB in all. Delete some first: DELETE v1/files/ID."
        return NotPermitted(words, code="files_full")

    async def ask(self, what: Callable[[SqlFiles], T]) -> T:
        """Ask the database.

        Raises:
            LedgerUnavailable: There is none (404), or it does not answer (503).
        """
        return await self.ledger.ask(lambda store: what(_of(store, self.vault)))

    async def write(self, what: Callable[[SqlFiles], T]) -> T:
        """Change the database, beside the writing of entries."""
        return await self.ledger.write(lambda store: what(_of(store, self.vault)))


class Upload:
    """A file that comes in: its bytes go to the database in pieces of whole lines."""

    def __init__(self, files: Files, caller: Caller) -> None:
        self._files = files
        self._most = int(files.settings.file_mb * 1e6)
        self._longest = int(files.settings.line_mb * 1e6)
        self._rest = bytearray()  # of a piece that is not full
        made = files.clock()
        whose = (f"file-{secrets.token_hex(12)}", caller.name, caller.tenant, "")
        self._file = StoredFile(*whose, PURPOSE, "arriving", 0, 0, 0, made, None)
        self._has_begun = False

    async def add(self, data: bytes) -> None:
        """Take in some bytes.

        Raises:
            TooLarge: The file, or a line of it, is larger than it may be.
            LedgerUnavailable: The database cannot be written.
        """
        self._file = replace(self._file, bytes=self._file.bytes + len(data))
        if self._file.bytes > self._most:
            raise file_too_large(self._most)
        self._rest += data
        if len(self._rest) >= _PIECE:
            end = self._rest.rfind(b"\n") + 1
            if end:
                await self._put(bytes(self._rest[:end]))
                del self._rest[:end]
            elif len(self._rest) > self._longest:
                raise TooLarge(f"A line of the file is longer than {self._longest / 1e6:g} MB. Send shorter ones.")

    async def finish(self, name: str, seconds: float | None) -> StoredFile:
        """Keep the file, by a name and for so many seconds, or as long as the settings say.

        Raises:
            BadRequest: It would be kept for too long, or has no line.
            NotPermitted: It is more than its caller may keep.
        """
        settings, files = self._files.settings, self._files
        if self._rest:
            await self._put(bytes(self._rest))
            self._rest.clear()
        if not self._file.lines:
            raise BadRequest("The file is empty. Send one JSON object a line.", param="file", code="empty_file")
        kept = settings.days * _A_DAY if seconds is None else seconds
        if not 0 < kept <= settings.days * _A_DAY:
            words = f"'expires_after[seconds]' must be more than 0 and at most {settings.days * _A_DAY:.0f}."
            raise BadRequest(words, param="expires_after")
        ready = replace(self._file, name=name, state="ready", expires=self._file.made + kept)
        most, most_bytes = settings.files_per_caller, int(settings.mb_per_caller * 1e6)
        if not await files.write(lambda store: store.finish(ready, most=most, most_bytes=most_bytes)):
            raise files.full()
        return ready

    async def drop(self) -> None:
        """Forget what has come of a file that will not be kept."""
        self._rest.clear()
        if self._has_begun:
            self._has_begun = False
            try:
                await self._files.drop(self._file.id)
            except LedgerUnavailable:
                return  # it is removed when it is found not to have arrived

    async def _put(self, piece: bytes) -> None:
        if not self._has_begun:
            await self._files.write(lambda store: store.add(replace(self._file, bytes=0)))
            self._has_begun = True
        file, number = self._file.id, self._file.pieces
        count = await self._files.write(lambda store: store.put(file, number, piece))
        self._file = replace(self._file, pieces=number + 1, lines=self._file.lines + count)


def file_too_large(most: int) -> TooLarge:
    """What is told of a file with more bytes than these.

    Example:
        >>> file_too_large(200_000_000).message
        'A file may have 200 MB. Split it, and make a job of each part.'
    """
    words = f"A file may have {most / 1e6:,g} MB. Split it, and make a job of each part."
    return TooLarge(words, code="file_too_large", param="file")


def _readable(text: bytes | None) -> bytes:
    if text is None:
        words = "The file cannot be decrypted: 'prompt_keys' in [storage] have changed. Tell your administrator."
        raise BadRequest(words, code="file_unreadable", status=410)
    return text


def _of(store: SqlLedgerStore, vault: PromptVault | None) -> SqlFiles:
    from jupyter_server_ext.pipeline.jobs.file_store import SqlFiles, TextSeal

    return SqlFiles(store.engine, TextSeal(vault))
