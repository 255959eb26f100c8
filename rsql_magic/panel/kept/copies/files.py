"""Files of copied conversations: sent to the gateway, listed on other machines, fetched there when one is opened."""

from __future__ import annotations

import time
from base64 import b64encode
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from rsql_magic.errors import BadInput, GatewayError, RsqlError
from rsql_magic.panel.kept.artifacts import Artifact, in_words
from rsql_magic.panel.kept.copies.known import KnownCopies, of_file, place_of
from rsql_magic.panel.kept.copies.replies import no_gateway, understood
from rsql_magic.sql import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from rsql_magic.gateway import LLMClient
    from rsql_magic.panel.kept.writing import Keeper

MOST_THERE = 50_000_000  # bytes of all files there: what a gateway keeps for a caller is for conversations, too
_QUICK = 3.0  # seconds that a list may take
_LARGEST = 7_000_000  # bytes of a file that is sent: a body of the gateway has 10 MB, and Base64 a third more
_WHEN_FULL = 600.0  # seconds until the gateway is asked again for room
_TOO_LARGE = 413
_NOT_THIS_ONE = {400, 403, _TOO_LARGE, 422}  # statuses of who refuses a file, and may keep the conversation


class _About(msgspec.Struct, omit_defaults=True):
    """What goes with a file to be found again."""

    id: str
    pair: str = ""
    count: str = ""
    made: float = 0.0


class _Row(msgspec.Struct):
    """A file as a gateway lists it."""

    id: str
    kind: str
    name: str
    media: str
    bytes: int
    digest: str
    made: float
    about: str = ""


class FileCopies:
    """The files of one's conversations at the gateway.

    Attributes:
        left_out: Why not all files of a conversation are there, in a sentence or two.
    """

    def __init__(self, keeper: Keeper, gateway: Callable[[], LLMClient | None], wanted: Callable[[], bool]) -> None:
        self._keeper, self._gateway, self._wanted = keeper, gateway, wanted
        self.left_out: dict[str, str] = {}
        self._full_until = 0.0  # when the gateway is asked again, in monotonic time
        self._without_room = set[str]()  # conversations of which files may wait until then
        self._largest = _LARGEST  # less where a proxy lets less through
        keeper.fetch = self.fetch

    def send(self, conversation: str, there: str, gateway: LLMClient) -> None:
        """Send the files of a conversation that were not sent yet, as far as there is room: the newest of all files.

        What was sent before and is there no more was deleted by another machine, and stays so.

        Raises:
            GatewayError: It cannot be reached, or has no time now.
        """
        artifacts, known, place = self._keeper.artifacts, self.look(conversation, there, gateway), place_of(gateway.url)
        fitting, was_full = self._fitting(place), self._is_full
        own = [one for one in artifacts.listed(conversation) if one.here]
        refused = dict[str, None]()
        for one in own:
            if self._is_full or one.id in known or one.id not in fitting or artifacts.copies(one.id).get(place):
                continue
            try:
                self._send(one, there, gateway, place)
            except BadInput:  # it is damaged, or made room meanwhile
                continue
            except GatewayError as error:
                if error.status not in _NOT_THIS_ONE:
                    raise
                if error.status == _TOO_LARGE:
                    self._largest = min(self._largest, one.bytes - 1)
                else:
                    refused[error.message] = None
                    self._full_until = time.monotonic() + _WHEN_FULL
        if self._is_full:
            self._without_room.add(conversation)
        if not was_full:
            said = " ".join([*self._left_behind(own, fitting), *refused])
            self.left_out[conversation] = f"Not all files are copied to the gateway. {said}" if said else ""

    def room_was_made(self) -> Collection[str]:
        """Note that the gateway may have room again; the conversations of which files may have waited for it."""
        waiting, self._without_room, self._full_until = self._without_room, set(), 0.0
        return waiting

    def _send(self, one: Artifact, there: str, gateway: LLMClient, place: str) -> None:
        content = self._keeper.artifacts.content(one.id)
        self._keeper.artifacts.copied(one, "", place)
        made = gateway.post(f"sessions/{there}/artifacts", _sent(one, content))
        with understood():
            path = f"download/{one.kind}/{made['id']}"
        self._keeper.artifacts.copied(one, path, place)

    def _left_behind(self, own: Sequence[Artifact], fitting: Collection[str]) -> Iterator[str]:
        if any(one.id not in fitting and one.bytes <= self._largest for one in own):
            yield f"The oldest are not: all together may have {in_words(MOST_THERE)} there."
        if any(one.bytes > self._largest for one in own):
            yield f"Those that are larger than {in_words(self._largest)} are not."

    @property
    def _is_full(self) -> bool:
        return time.monotonic() < self._full_until

    # The newest files that there is room for; older ones that were sent from here make room.
    def _fitting(self, place: str) -> set[str]:
        artifacts, held, fitting = self._keeper.artifacts, 0, set[str]()
        for one in artifacts.listed():
            if one.bytes > self._largest:
                continue
            held += one.bytes
            if held <= MOST_THERE:
                fitting.add(one.id)
            elif one.here and (path := artifacts.copies(one.id).get(place)):
                artifacts.uncopied(one, place, path)
        return fitting

    def anew(self, conversation: str, place: str) -> None:
        """Note that a conversation was not at the gateway, nor were its files: they are sent again."""
        for one in self._keeper.artifacts.listed(conversation):
            self._keeper.artifacts.uncopied(one, place)

    def look(self, conversation: str, there: str, gateway: LLMClient) -> set[str]:
        """Note the files of a conversation that are at the gateway; their ids.

        Raises:
            GatewayError: It cannot be reached.
        """
        artifacts, place = self._keeper.artifacts, place_of(gateway.url)
        told = gateway.get(f"sessions/{quote(there, safe='')}/artifacts", timeout=_QUICK)
        with understood():
            rows = list(told["artifacts"])
        here = {one.id: one for one in artifacts.listed(conversation)}
        due = {copy.there for copy in KnownCopies(self._keeper.store).due()}
        read = _read(rows, conversation)
        listed = {path: one for path, one in read if path not in due and of_file(one.id) not in due}
        found = dict[str, str]()
        for path, one in sorted(listed.items()):  # in an order that is the same for all who look
            if one.id in found:  # two kernels sent it at once
                artifacts.uncopied(one, place, path)
            elif one.id in here or one.made >= self._keeper.oldest_file:
                found[one.id] = path
        for name, path in found.items():
            if name not in here:
                artifacts.expect(listed[path])
            if artifacts.copies(name).get(place) != path:
                artifacts.copied(listed[path], path, place)
        for one in here.values():
            if not one.here and one.id not in found:
                artifacts.lost(one.id)
        return set(found)

    def find(self, conversation: str) -> None:
        """Note which files other machines have made in a conversation, where copies are wanted and it can be known."""
        try:
            if self._wanted() and (gateway := self._gateway()) is not None:
                for there, copy in KnownCopies(self._keeper.store).at(place_of(gateway.url)).items():
                    if copy.conversation == conversation and not copy.due:
                        self.look(conversation, there, gateway)
        except RsqlError:  # those that are known are listed
            return

    def fetch(self, one: Artifact) -> bytes:
        """The bytes of a file that is at the gateway.

        Raises:
            BadInput: It cannot be fetched.
        """
        try:
            if (gateway := self._gateway()) is None:
                raise no_gateway()
            if not (path := self._keeper.artifacts.copies(one.id).get(place_of(gateway.url))):
                raise BadInput("Another gateway has this file.", hint="%rsql connect goes there.")
            return _at_most(gateway.content(path), one.bytes)
        except GatewayError as error:
            raise BadInput(f"This file cannot be fetched: {error.message}", hint=error.hint) from None


# What is longer than it should be is not the file, and is not read to its end.
def _at_most(pieces: Iterator[bytes], size: int) -> bytes:
    content = bytearray()
    for piece in pieces:
        content += piece
        if len(content) > size:
            break
    return bytes(content)


def _sent(one: Artifact, content: bytes) -> dict[str, str]:
    about = msgspec.json.encode(_About(one.id, one.pair, one.count, one.made)).decode()
    sent = {"kind": one.kind, "name": one_line(one.name, 200), "media": one.media, "about": about}
    return sent | {"data": b64encode(content).decode("ascii")}


# Where files are at the gateway, and the files as that lists them, without those of another form. Those that a program
# keeps there have nothing of ours about them, or the same about several.
def _read(rows: Iterable[Any], conversation: str) -> Iterator[tuple[str, Artifact]]:
    digests = dict[str, str]()
    for each in rows:
        with suppress(msgspec.ValidationError):
            row = msgspec.convert(each, _Row)
            about = _about(row)
            is_ours = about.id and about.made and digests.setdefault(about.id, row.digest) == row.digest
            name = about.id[:64] if is_ours else row.id
            one = Artifact(
                name,
                conversation,
                about.pair[:64],
                row.kind,
                one_line(row.name, 200),
                one_line(row.media, 200),
                row.digest,
                row.bytes,
                about.made or row.made,
                pinned=False,
                count=one_line(about.count, 60),
                here=False,
            )
            yield f"download/{row.kind}/{quote(row.id, safe='')}", one


def paths_of(name: str, rows: Iterable[Any]) -> list[str]:
    """Where a file is among those that a gateway lists; several places where it arrived twice."""
    return [path for path, one in _read(rows, "") if one.id == name]


def _about(row: _Row) -> _About:
    try:
        return msgspec.json.decode(row.about or "{}", type=_About)
    except msgspec.DecodeError:
        return _About("")
