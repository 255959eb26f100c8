"""One conversation and its copy at a gateway: sent together with what is there, and taken in from there."""

# The copy of the conversation of a notebook's cells has an id that follows from the notebook's path, so that machines
# that never met use the same one; that of a notebook that is renamed keeps its id, and the next notebook of that path
# has another. All others have an id made by chance, here and there. What replaces a copy was made with all that is in
# it: a gateway refuses it where another machine has changed that meanwhile, and it is merged and sent again.

from __future__ import annotations

import hashlib
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

from rsql_magic.errors import BadInput, GatewayError
from rsql_magic.panel.kept.copies.known import CopyState, KnownCopies, place_of
from rsql_magic.panel.kept.copies.merging import MOST_GONE, canonical, digest, merge, read_pairs, taken_out
from rsql_magic.panel.kept.copies.pairs import PairsHere
from rsql_magic.panel.kept.copies.replies import ODD, understood
from rsql_magic.panel.kept.images import AnswerImages
from rsql_magic.panel.kept.records import OddRecord, outward, read, written
from rsql_magic.panel.kept.store import Head
from rsql_magic.panel.threads import new_id
from rsql_magic.sql import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rsql_magic.gateway import LLMClient
    from rsql_magic.panel.kept.copies.known import KnownCopy
    from rsql_magic.panel.kept.copies.merging import PairThere
    from rsql_magic.panel.kept.copies.removing import Left
    from rsql_magic.panel.kept.writing import Keeper

_LARGEST = 6_000_000  # bytes of a copy; of a longer conversation the end is copied
_SMALLEST = 50_000  # bytes of a copy that any proxy should let through
_LONGEST = 200  # characters of a title or path
_TRIES = 20  # of what is changed there meanwhile, or too large
_TOO_LARGE = 413
_NOBODY_ELSE = 100  # notebooks that had the same path one after another
_CELLS, _NUMBERED = "cells-", "notebook-"  # what ids begin with: of the copy of a notebook's cells; of that here


class Arrived(NamedTuple):
    """A conversation that was sent."""

    there: str  # its id at the gateway
    is_new: bool  # whether nothing was there
    shared_until: float  # until when it has a link, as the gateway says; 0 where it has none


class _Sent(NamedTuple):
    """A conversation as it is sent, and the state of its copy when it has arrived."""

    body: dict[str, Any]
    state: CopyState


class CopyExchange:
    """Sends conversations to gateways, and takes in what is there of them; for one thread at a time.

    Args:
        keeper: What keeps the conversations here.
    """

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._largest = _LARGEST  # less where a proxy lets less through

    @property
    def _known(self) -> KnownCopies:
        return KnownCopies(self._keeper.store)

    # Sending.

    def send(self, conversation: str, gateway: LLMClient, *, with_images: bool, left: Left) -> Arrived:
        """Send a conversation with what is there of it already.

        Where something of it is ``left`` to be taken away there, such as a link, nothing is sent before that is done.

        Raises:
            BadInput: There is none of this id here.
            GatewayError: The gateway takes none.
        """
        place = place_of(gateway.url)
        if (head := self._keeper.store.head(conversation)) is None:
            raise _gone()
        for there in self._ids(head, place):
            if any(copy.there in {"", there} and copy.place in {"", place} for copy in left.copies):
                raise GatewayError(left.reason, hint=left.hint)
            if (arrived := self._sent(head, there, gateway, with_images=with_images)) is not None:
                return arrived
        raise GatewayError("No id is free for the copy of this conversation.", hint="Rename its notebook.")

    # The id of its copy; of that of a notebook's cells which has none yet those that it may get, one after another.
    def _ids(self, head: Head, place: str) -> Iterator[str]:
        if (known := self._known.of_conversation(head.id, place)) is not None:
            yield known.there
        elif not head.shared:
            yield new_id() if head.id.startswith(_NUMBERED) else head.id
        else:
            for n in range(_NOBODY_ELSE):
                there = _cells_id(head.notebook, n)
                known = self._known.of(there, place)
                if known is None or known.conversation == head.id or not self._keeper.store.head(known.conversation):
                    yield there

    # None where the id is that of another notebook, of another machine.
    def _sent(self, head: Head, there: str, gateway: LLMClient, *, with_images: bool) -> Arrived | None:
        place = place_of(gateway.url)
        known, state = self._known.of(there, place), self._known.state(there, place)
        is_ours = known is not None and known.changed > 0.0
        tag: str | None = f'"{known.changed!r}"' if known is not None and state is not None else ""
        for _ in range(_TRIES):
            sent = self._as_sent(head.id, self._known.state(there, place) or CopyState(), with_images=with_images)
            self._known.sending(head.id, there, place)
            try:
                told = gateway.put(f"sessions/{there}", sent.body, tag=tag)
            except GatewayError as error:
                if error.status == _TOO_LARGE and self._largest > _SMALLEST:
                    self._largest //= 2
                elif error.code != "session_changed":
                    raise
                elif (whole := self._whole(there, gateway)) is None:
                    tag = "" if tag else None  # it was deleted there, or cannot be read there any more
                elif not is_ours and there.startswith(_CELLS) and whole.get("notebook") != _path(head):
                    self._known.not_ours(there, place)
                    return None
                else:
                    self.take(whole, there, place)
                    is_ours, tag = True, f'"{float(whole["changed"])!r}"'
                continue
            with understood():
                changed, until = float(told["changed"]), float(told.get("shared_until") or 0.0)
            self._known.arrived(head.id, there, place, changed, sent.state)
            return Arrived(there, not tag, until)
        raise GatewayError("Other machines change this conversation all the time.", hint="It is sent again later.")

    def _whole(self, there: str, gateway: LLMClient) -> dict[str, Any] | None:
        try:
            whole = gateway.get(f"sessions/{there}")
        except GatewayError as error:
            if error.status == 404 and error.code:
                return None
            raise
        with understood():
            float(whole["changed"])
        return dict(whole)

    def _as_sent(self, conversation: str, base: CopyState, *, with_images: bool) -> _Sent:
        store, size = self._keeper.store, 0
        ids = PairsHere(store).ids(conversation)
        gone = dict.fromkeys([*base.gone, *taken_out(ids, base)][-MOST_GONE:])
        pairs, digests = list[dict[str, Any]](), {name: known for name, known in base.pairs.items() if name in ids}
        for name, body in store.bodies(conversation):
            record = self._record(body)
            if record is None or (name, of_record := digest(record)) in gone:
                continue
            size += len(canonical(record))
            if size > self._largest:
                break
            pairs.append(record)
            digests[name] = of_record
        if (head := store.head(conversation)) is None:  # nothing of it was taken out, it was deleted
            raise _gone()
        if with_images:
            _add_images(pairs, AnswerImages(self._keeper.artifacts, conversation), self._largest - size)
        pairs.reverse()  # as they were written, which is not the order of asking where machines wrote in turn
        pairs.sort(key=_asked_at)
        if gone:
            pairs[-1:] = [{**(pairs[-1] if pairs else {}), "gone": [*gone]}]
        title = one_line(head.title, _LONGEST)
        sent = {"title": title, "notebook": _path(head), "pairs": pairs}
        return _Sent(sent, CopyState(digest(title), digests, tuple(gone)))

    # A record as it is sent, with less of what is large; None where it cannot be sent.
    def _record(self, body: bytes) -> dict[str, Any] | None:
        record = outward(body)
        if len(canonical(record)) <= self._largest:
            return record
        try:
            record = outward(written(read(body), self._largest // 2))
        except (*ODD, OddRecord):
            return None
        return record if len(canonical(record)) <= self._largest else None

    # Taking in.

    def news(self, listed: Sequence[tuple[str, float]], place: str) -> list[str]:
        """The ids of what a gateway has that is not known as it is there.

        What was deleted here and is there only for the moment is none.
        """
        if any(not copy.there and copy.place in {"", place} for copy in self._deleted()):
            return []
        known = self._known.at(place)
        at_hand = {name: None if copy.due == "copy" else copy.changed for name, copy in known.items()}
        return [there for there, changed in listed if at_hand.get(there, 0.0) not in {None, changed}]

    def take(self, whole: dict[str, Any], there: str, place: str) -> str | None:
        """Take in what a gateway has of a conversation; its id here, None where it is to be deleted there.

        Raises:
            BadInput: It cannot be kept here.
            GatewayError: It is in another form.
        """
        with understood():
            title, path, changed = one_line(str(whole["title"]), _LONGEST), str(whole["notebook"]), whole["changed"]
            changed = float(changed)
            pairs, gone = read_pairs(whole["pairs"], there)
        if any(copy.there in {"", there} and copy.place in {"", place} for copy in self._deleted()):
            return None
        store, here = self._keeper.store, self._here(there, path, place)
        number = store.notebook(path) if here is None else 0
        head = here or self._begun(there, title, path, number)
        base = (self._known.state(there, place) if here else None) or CopyState()
        here_now = PairsHere(store)
        ids, pairs = here_now.ids(head.id), self._named(pairs, head.id, there)
        named = ({pair.id for pair in pairs} | {name for name, _ in (*gone, *base.gone)}) & ids
        merged = merge(here_now.bodies(head.id, named), ids, pairs, gone, base)
        latest = Head(head.id, "", head.title, head.shared, changed=min(changed, store.now()))
        done = here_now.change(number, latest, merged.changes, is_new=here is None)
        theirs = digest(title)
        if not head.shared and theirs != base.title and digest(one_line(head.title, _LONGEST)) == base.title:
            store.rename(head.id, title)
        at_hand = {name: one for name, one in merged.state.pairs.items() if name in ids or name in done}
        self._known.arrived(head.id, there, place, changed, CopyState(theirs, at_hand, merged.state.gone))
        if deleted := {change.id for change in merged.changes if change.body is None and change.id in done}:
            self._keeper.artifacts.drop_of(head.id, deleted)
        return head.id

    def _deleted(self) -> list[KnownCopy]:
        return [copy for copy in self._known.due() if copy.due == "copy"]

    # The conversation here that a copy is of.
    def _here(self, there: str, path: str, place: str) -> Head | None:
        store, known = self._keeper.store, self._known.of(there, place)
        if known is not None and (found := store.head(known.conversation)) is not None:
            return found
        if there.startswith(_NUMBERED):  # of a program, or of another machine, where it is another
            return None
        found = store.head(f"{_NUMBERED}{store.notebook(path)}" if there.startswith(_CELLS) else there)
        other = None if found is None else self._known.of_conversation(found.id, place)
        return found if other is None or other.there == there else None

    def _begun(self, there: str, title: str, path: str, number: int) -> Head:
        is_shared = there.startswith(_CELLS)
        name = f"{_NUMBERED}{number}" if is_shared else there
        if (name.startswith(_NUMBERED) and not is_shared) or self._keeper.store.head(name) is not None:
            return Head(new_id(), path, PurePath(path).stem if is_shared else title)
        return Head(name, path, title, is_shared)

    # With ids that no pair of another conversation has here, as where a program keeps one twice.
    def _named(self, pairs: list[PairThere], conversation: str, there: str) -> list[PairThere]:
        taken = PairsHere(self._keeper.store).elsewhere(conversation, [pair.id for pair in pairs])
        return [pair._replace(id=digest([there, pair.id])) if pair.id in taken else pair for pair in pairs]


def _gone() -> BadInput:
    return BadInput("This conversation is gone.", hint="Choose another.")


def _cells_id(path: str, n: int) -> str:
    text = f"{path}\n{n}" if n else path
    return f"{_CELLS}{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:24]}"


# The notebook's path as it is there; a gateway takes no control characters.
def _path(head: Head) -> str:
    path = head.notebook
    return path if len(path) <= _LONGEST and path.isprintable() else one_line(path, _LONGEST)


def _asked_at(record: dict[str, Any]) -> float:
    at = record.get("at")
    return float(at) if isinstance(at, int | float) else 0.0


def _add_images(newest: list[dict[str, Any]], images: AnswerImages, room: int) -> None:
    for pair in newest:
        sent = images.of(pair).fitting(room)
        pair |= {name: value for name, value in sent._asdict().items() if value}
        room -= sum(len(image["data"]) for image in sent.images)
