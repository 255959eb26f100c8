"""What a gateway shares with a group beside documents: dictionaries, and questions with the SQL that answers them."""

# Fetched when a question needs it, at most once a minute, and not sent again while it has not changed. It was written
# by others: dictionaries pass the bounded reader, texts are cut and cleaned, and what cannot be used is said.

from __future__ import annotations

import math
import time
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from rsql_magic.errors import BadInput, GatewayError, GatewayUnreachable
from rsql_magic.knowledge.dictionary import Dictionary
from rsql_magic.knowledge.queries import EarlierQuery
from rsql_magic.plain_text import printable
from rsql_magic.sql import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Protocol

    class TaggedRoutes(Protocol):
        """The routes of a gateway, such as `rsql_magic.gateway.LLMClient`."""

        url: str

        def get_changed(self, path: str, tag: str) -> tuple[Any, str]:
            """What stands at a path with its tag; None where it has the tag already."""

        def post(self, path: str, body: Mapping[str, Any]) -> Any:
            """The reply to a body."""

        def delete(self, path: str) -> Any:
            """The reply to a deletion."""


FRESH_SECONDS = 60.0  # for which what was fetched is used without a question
_MOST_DICTIONARIES, _MOST_EXAMPLES = 20, 600
_LONGEST_QUESTION, _LONGEST_SQL = 1_000, 20_000  # characters
_EVERYONE = "everyone"


@dataclass(frozen=True)
class SharedDictionary:
    """A dictionary of a group, read; None where it cannot be used."""

    name: str  # as the group calls it
    owner: str  # the group, or ``everyone``
    digest: str
    dictionary: Dictionary | None
    problem: str = ""  # why it cannot be used, without a full stop


@dataclass(eq=False)
class SharedKnowledge:
    """The dictionaries and examples that a gateway shares with its caller.

    A gateway that does not answer leaves what was fetched before in use, and `trouble` says so.
    """

    reach: Callable[[], TaggedRoutes | None]  # the gateway, where one that shares anything is within reach
    _: KW_ONLY
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._until = -math.inf
        self._forget("")

    def dictionaries(self) -> tuple[SharedDictionary, ...]:
        """Those of the caller's group, then those for everyone."""
        self._refresh()
        return self._dictionaries

    def examples(self) -> tuple[EarlierQuery, ...]:
        """Questions that instructors promoted, with their SQL."""
        self._refresh()
        return self._examples

    def expire(self) -> None:
        """Ask the gateway again at the next look."""
        self._until = -math.inf

    def share(self, routes: TaggedRoutes, name: str, text: str) -> str:
        """Share a dictionary with the caller's group; whose it is now."""
        shared = routes.post("dictionaries", {"name": name, "text": text})
        self.expire()
        return _owner(shared)

    def unshare(self, routes: TaggedRoutes, name: str) -> None:
        """Delete a dictionary of the caller's group."""
        routes.delete(f"dictionaries/{quote(name, safe='')}")
        self.expire()

    def promote(self, routes: TaggedRoutes, question: str, sql: str, dialect: str) -> str:
        """Add a question with its SQL to the examples of the caller's group; whose it is now."""
        shared = routes.post("examples", {"question": question, "sql": sql, "dialect": dialect})
        self.expire()
        return _owner(shared)

    def _refresh(self) -> None:
        if self.clock() < self._until:
            return
        self._until = self.clock() + FRESH_SECONDS
        if (routes := self.reach()) is None:
            self._forget("")
            return
        if routes.url != self._url:
            self._forget(routes.url)
        try:
            self._fetch_dictionaries(routes)
            self._fetch_examples(routes)
        except (KeyError, TypeError, ValueError, AttributeError):
            self.trouble = "the gateway's dictionaries and examples have another form; upgrade it"
        except (GatewayError, GatewayUnreachable) as error:
            self.trouble = f"what the gateway shares could not be fetched: {one_line(error.message, 120)}".rstrip(".")
        else:
            self.trouble = ""

    def _forget(self, url: str) -> None:
        self._url, self._tags = url, {"dictionaries": "", "examples": ""}
        self._dictionaries: tuple[SharedDictionary, ...] = ()
        self._examples: tuple[EarlierQuery, ...] = ()
        self.trouble = ""  # why it could not be fetched, without a full stop

    def _fetch_dictionaries(self, routes: TaggedRoutes) -> None:
        listed, tag = routes.get_changed("dictionaries", self._tags["dictionaries"])
        if listed is None:
            return
        known = {(one.owner, one.name, one.digest): one for one in self._dictionaries}
        found = []
        for one in listed["dictionaries"][:_MOST_DICTIONARIES]:
            key = (_owner(one), one_line(str(one["name"]), 255), str(one["digest"]))
            found.append(known.get(key) or self._read(routes, one, *key))
        self._dictionaries, self._tags["dictionaries"] = tuple(found), tag

    @staticmethod
    def _read(routes: TaggedRoutes, one: Mapping[str, Any], owner: str, name: str, digest: str) -> SharedDictionary:
        path = f"dictionaries/{quote(str(one['name']), safe='')}?tenant={quote(str(one['tenant']), safe='')}"
        whole, _ = routes.get_changed(path, "")
        try:
            return SharedDictionary(name, owner, digest, Dictionary.read(str(whole["text"]), f"{owner}: {name}"))
        except BadInput as error:
            problem = f"the dictionary {name} of {owner} is not used: {error.message}".rstrip(".")
            return SharedDictionary(name, owner, digest, None, problem)

    def _fetch_examples(self, routes: TaggedRoutes) -> None:
        listed, tag = routes.get_changed("examples", self._tags["examples"])
        if listed is not None:
            self._examples = tuple(map(_example, listed["examples"][:_MOST_EXAMPLES]))
            self._tags["examples"] = tag


def _example(one: Mapping[str, Any]) -> EarlierQuery:
    question, sql = str(one["question"])[:_LONGEST_QUESTION], str(one["sql"])[:_LONGEST_SQL]
    question = " ".join(printable(question).split())
    return EarlierQuery(printable(sql), one_line(str(one["dialect"]), 30), question, f"an example of {_owner(one)}")


def _owner(one: Mapping[str, Any]) -> str:
    return one_line(str(one["tenant"]), 60) or _EVERYONE


def shared_and_own(own: Dictionary | None, shared: Sequence[SharedDictionary]) -> tuple[Dictionary | None, list[str]]:
    """One's own dictionary and those that are shared as one, and what there is to say of the latter."""
    from rsql_magic.knowledge.merging import defined_in_both, merged, said_of_both

    whole, notes = own, []
    for one in shared:
        if one.dictionary is None:
            notes.append(one.problem)
            continue
        both = defined_in_both(whole, one.dictionary) if whole else []
        notes.append("; ".join(filter(None, [one.dictionary.summary, said_of_both(both, whole.name if whole else "")])))
        whole = merged(whole, one.dictionary) if whole else one.dictionary
    return whole, notes
