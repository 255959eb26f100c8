"""Files of copied conversations: sent to the gateway, listed on other machines, fetched there when one is opened."""

from __future__ import annotations

import time
from base64 import b64encode
from typing import TYPE_CHECKING, Any, get_args

import msgspec

from rsql_magic.errors import BadInput, GatewayError, RsqlError
from rsql_magic.panel.kept.artifacts import Artifact, Kind
from rsql_magic.panel.kept.copies.known import KnownCopies, place_of
from rsql_magic.panel.kept.copies.removing import no_gateway
from rsql_magic.sql import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from rsql_magic.gateway import LLMClient
    from rsql_magic.panel.kept.writing import Keeper

MOST_THERE = 50_000_000  # bytes of all files there: what a gateway keeps for a caller is for conversations, too
ODD = (AttributeError, KeyError, TypeError, ValueError)  # what reading a reply of another form ends in
_QUICK = 3.0  # seconds that a list may take
_LARGEST = 7_000_000  # bytes of a file that is sent: a body of the gateway has 10 MB, and Base64 a third more
_WHEN_FULL = 600.0  # seconds until the gateway is asked again for room
_ROOM = {"sessions_full", "request_too_large"}  # codes of a gateway that does not take a file for its size
_OLDEST = f"The oldest are not: all together may have {MOST_THERE / 1e6:.0f} MB there."
_LARGE = f"Those that are larger than {_LARGEST / 1e6:.0f} MB are not."


class _About(msgspec.Struct, omit_defaults=True):
    """What goes with a file to be found again."""

    id: str
    pair: str = ""
    count: str = ""
    made: float = 0.0


class FileCopies:
    """The files of one's conversations at the gateway.

    Attributes:
        left_out: Why not all files of a conversation are there, in a sentence or two.
    """

    def __init__(self, keeper: Keeper, gateway: Callable[[], LLMClient | None], wanted: Callable[[], bool]) -> None:
        self._keeper, self._gateway, self._wanted = keeper, gateway, wanted
        self.left_out: dict[str, str] = {}
        self._full_until = 0.0  # when the gateway is asked again, in monotonic time
        keeper.fetch = self.fetch

    def send(self, conversation: str, there: str, gateway: LLMClient) -> None:
        """Send the files of a conversation that are not there, as far as there is room: the newest of all files.

        Raises:
            GatewayError: It cannot be reached.
        """
        artifacts, known, place = self._keeper.artifacts, self.look(conversation, there, gateway), place_of(gateway.url)
        fitting, was_full = self._fitting(place), self._is_full
        own = [one for one in artifacts.listed(conversation) if one.here]
        reasons = {
            _OLDEST: any(one.id not in fitting for one in own),
            _LARGE: any(one.bytes > _LARGEST for one in own),
        }
        for one in own:
            if self._is_full or one.id in known or one.id not in fitting or one.bytes > _LARGEST:
                continue
            try:
                made = gateway.post(f"sessions/{there}/artifacts", _sent(one, artifacts.content(one.id)))
                artifacts.copied(one, f"download/{one.kind}/{made['id']}", place)
            except BadInput:  # it is damaged, or made room meanwhile
                continue
            except GatewayError as error:
                if error.code not in _ROOM:
                    raise
                reasons[error.message] = True
                self._full_until = time.monotonic() + _WHEN_FULL
        if not was_full:
            said = " ".join(words for words, is_so in reasons.items() if is_so)
            self.left_out[conversation] = f"Not all files are copied to the gateway. {said}" if said else ""

    @property
    def _is_full(self) -> bool:
        return time.monotonic() < self._full_until

    # The newest files that there is room for; older ones that were sent from here make room.
    def _fitting(self, place: str) -> set[str]:
        artifacts, held, fitting = self._keeper.artifacts, 0, set[str]()
        for one in artifacts.listed():
            held += one.bytes
            if held <= MOST_THERE:
                fitting.add(one.id)
            elif one.here and (path := artifacts.copies(one.id).get(place)):
                artifacts.uncopied(one, path, place)
        return fitting

    def look(self, conversation: str, there: str, gateway: LLMClient) -> set[str]:
        """Note the files of a conversation that are at the gateway; their ids.

        Raises:
            GatewayError: It cannot be reached.
        """
        artifacts, place = self._keeper.artifacts, place_of(gateway.url)
        here = {one.id: one for one in artifacts.listed(conversation)}
        due = {copy.there for copy in KnownCopies(self._keeper.store).due()}
        found = set[str]()
        for row in gateway.get(f"sessions/{there}/artifacts", timeout=_QUICK)["artifacts"]:
            path = f"download/{row['kind']}/{row['id']}"
            one = _read(row, conversation)
            if path in due or one.made < self._keeper.oldest_file:
                continue
            found.add(one.id)
            if one.id not in here:
                artifacts.expect(one)
            if artifacts.copies(one.id).get(place) != path:
                artifacts.copied(one, path, place)
        for one in here.values():
            if not one.here and one.id not in found:
                artifacts.lost(one.id)
        return found

    def find(self, conversation: str) -> None:
        """Note which files other machines have made in a conversation, where copies are wanted and it can be known."""
        try:
            if self._wanted() and (gateway := self._gateway()) is not None:
                for there, copy in KnownCopies(self._keeper.store).at(place_of(gateway.url)).items():
                    if copy.conversation == conversation and not copy.due:
                        self.look(conversation, there, gateway)
        except (*ODD, RsqlError):  # those that are known are listed
            return

    def fetch(self, one: Artifact) -> bytes:
        """The bytes of a file that is at the gateway.

        Raises:
            BadInput: It cannot be fetched.
        """
        try:
            if (gateway := self._gateway()) is None:
                raise no_gateway()
            if (path := self._keeper.artifacts.copies(one.id).get(place_of(gateway.url))) is None:
                raise BadInput("Another gateway has this file.", hint="%rsql connect goes there.")
            return b"".join(gateway.content(path))
        except GatewayError as error:
            raise BadInput(f"This file cannot be fetched: {error.message}", hint=error.hint) from None


def _sent(one: Artifact, content: bytes) -> dict[str, str]:
    about = msgspec.json.encode(_About(one.id, one.pair, one.count, one.made)).decode()
    sent = {"kind": one.kind, "name": one_line(one.name, 200), "media": one.media, "about": about}
    return sent | {"data": b64encode(content).decode("ascii")}


# A file as the gateway lists it; one that a program keeps there has nothing of ours about it.
def _read(row: dict[str, Any], conversation: str) -> Artifact:
    if row["kind"] not in get_args(Kind):
        raise ValueError(row["kind"])
    try:
        about = msgspec.json.decode(row.get("about") or "{}", type=_About)
    except msgspec.DecodeError:
        about = _About("")
    return Artifact(
        about.id[:64] or str(row["id"]),
        conversation,
        about.pair[:64],
        row["kind"],
        one_line(str(row["name"]), 200),
        one_line(str(row["media"]), 200),
        str(row["digest"]),
        int(row["bytes"]),
        about.made or float(row["made"]),
        False,
        one_line(about.count, 60),
        here=False,
    )
