"""A conversation of this machine and its copy at the gateway become one: what is newer on either side stays."""

# Both had the same when they met last. What differs from that on one side was written there since, and is taken from
# there; where both sides wrote, this one stays, and is sent. What was taken out is told by its id and digest, so that a
# machine that has it deletes it, unless it was written anew meanwhile; nothing is deleted because it is not there.

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from rsql_magic.panel.kept.copies.known import CopyState
from rsql_magic.panel.kept.copies.pairs import PairChange
from rsql_magic.panel.kept.forms import kept_as
from rsql_magic.panel.kept.records import OWN, outward

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

_OF_COPY = {"images", "left_out", "gone"}  # what a pair has in a copy alone
MOST_GONE = 1_000  # pairs that were taken out and are known to have been


class PairThere(NamedTuple):
    """A pair of a copy."""

    id: str
    body: bytes  # its record as it is kept here
    digest: str


class Merged(NamedTuple):
    """What becomes of a conversation, and the state of its copy when that has been done."""

    changes: list[PairChange]
    state: CopyState


def digest(record: Any) -> str:
    """What tells one version of a pair from another, the same on all machines.

    Example:
        >>> digest({"question": "Why?", "answer": "So."}) == digest({"answer": "So.", "question": "Why?"})
        True
    """
    return hashlib.sha256(canonical(record)).hexdigest()[:16]


def canonical(record: Any) -> bytes:
    """A record as JSON that is the same on all machines."""
    return msgspec.json.encode(record, order="deterministic")


def read_pairs(sent: Iterable[Any], session: str) -> tuple[list[PairThere], set[tuple[str, str]]]:
    """The pairs of a copy, and the ids and digests of those that were taken out.

    A pair without an id, as a program may keep one, has an id that follows from ``session`` and what it says.

    Example:
        >>> [pair], gone = read_pairs([{"id": "p1", "question": "Why?", "answer": "So.", "gone": [["p0", "ab"]]}], "s")
        >>> pair.id, gone
        ('p1', {('p0', 'ab')})
    """
    found, gone = dict[str, PairThere](), set[tuple[str, str]]()
    for pair in sent:
        if not isinstance(pair, dict):
            continue
        gone |= _gone(pair.get("gone"))
        record = {name: value for name, value in pair.items() if name not in {*_OF_COPY, *OWN}}
        if not record and "gone" in pair:  # all was taken out
            continue
        of_record, name = digest(record), record.get("id")
        if not (isinstance(name, str) and 0 < len(name) <= 64):
            name = digest([session, of_record])
        found[name] = PairThere(name, kept_as(record), of_record)
    return list(found.values()), gone


def _gone(told: Any) -> set[tuple[str, str]]:
    try:
        return set(msgspec.convert(told or [], list[tuple[str, str]]))
    except msgspec.ValidationError:
        return set()


def merge(
    here: Mapping[str, bytes],
    ids: Collection[str],
    there: Iterable[PairThere],
    gone: Collection[tuple[str, str]],
    base: CopyState,
) -> Merged:
    """Bring a conversation and its copy together.

    Args:
        here: The records of the conversation, at least of those pairs that are named in what follows.
        ids: The ids of all its pairs, also of those that cannot be read.
        there: The pairs of the copy.
        gone: What the copy says was taken out.
        base: The state when both met last.

    Example:
        >>> theirs, _ = read_pairs([{"id": "p2", "question": "And?"}], "s")
        >>> [(change.id, change.before) for change in merge({"p1": b"{}"}, {"p1"}, theirs, (), CopyState()).changes]
        [('p2', None)]
    """
    gone = dict.fromkeys([*base.gone, *sorted(gone), *taken_out(ids, base)])
    changes, pairs = list[PairChange](), {name: known for name, known in base.pairs.items() if name in ids}
    for one in there:
        if (one.id, one.digest) in gone:
            continue
        if one.id not in ids:
            changes.append(PairChange(one.id, None, one.body))
        elif (body := here.get(one.id)) is not None and _is_new(digest(outward(body)), one, base):
            changes.append(PairChange(one.id, body, one.body))
        pairs[one.id] = one.digest
    renewed = {change.id for change in changes}
    for name in {name for name, _ in gone} - renewed:
        if (body := here.get(name)) is not None and (name, digest(outward(body))) in gone:
            changes.append(PairChange(name, body, None))
            pairs.pop(name, None)
    return Merged(changes, CopyState(base.title, pairs, tuple(gone)[-MOST_GONE:]))


# Whether a pair was written there, and not here, since both met.
def _is_new(here: str, there: PairThere, base: CopyState) -> bool:
    return here != there.digest and here == base.pairs.get(there.id)


def taken_out(ids: Collection[str], base: CopyState) -> list[tuple[str, str]]:
    """What of a copy was taken out here since it was sent or fetched, by ids and digests."""
    return [(name, known) for name, known in base.pairs.items() if name not in ids]
