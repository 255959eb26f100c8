"""Documents that a gateway shares with a group: listed, searched, added and removed through its routes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from rsql_magic.errors import GatewayError
from rsql_magic.knowledge.documents.passages import Passage
from rsql_magic.knowledge.documents.store import Stored
from rsql_magic.plain_text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Protocol

    class Routes(Protocol):
        """The routes of a gateway, such as `rsql_magic.gateway.LLMClient`."""

        def get(self, path: str) -> Any:
            """What stands at a path."""

        def post(self, path: str, body: Mapping[str, Any]) -> Any:
            """The reply to a body."""

        def delete(self, path: str) -> Any:
            """The reply to a deletion."""


EVERYONE = "everyone"


@dataclass(frozen=True)
class SharedDocuments:
    """What the caller of a gateway may search there, and share."""

    routes: Routes

    def documents(self) -> list[Stored]:
        """All that the caller may search; none where the gateway knows no documents."""
        try:
            listed = self.routes.get("documents")["documents"]
            return [
                Stored(0, _line(one["name"]), "gateway", "shared", "", int(one["passages"]), 0.0, _owner(one))
                for one in listed
            ]
        except (KeyError, TypeError, ValueError):
            return []
        except GatewayError as error:
            if error.status in {404, 405}:
                return []
            raise

    def search(self, question: str, names: Sequence[str], most: int) -> list[Passage]:
        """The passages that hold words of a question, the best first; of all documents where there are no names."""
        found = self.routes.post(
            "search", {"query": question[:4000], "documents": [*names][:1000], "most": min(most, 50)}
        )
        try:
            return [_passage(one) for one in found["passages"]]
        except (KeyError, TypeError, ValueError):
            raise GatewayError("The gateway's search gave something else than passages.", hint="Upgrade it.") from None

    def put(self, name: str, passages: Sequence[Passage]) -> str:
        """Share a document with the caller's group; whose it is now."""
        fields = ("text", "path", "first", "last", "part")
        sent = [{field: getattr(one, field) for field in fields} for one in passages]
        return _owner(self.routes.post("documents", {"name": name, "passages": sent}))

    def remove(self, document: Stored) -> None:
        """Delete one of the group's documents, or one for everyone."""
        whose = "?tenant=" if document.owner == EVERYONE else ""
        self.routes.delete(f"documents/{quote(document.name, safe='')}{whose}")


def _owner(one: Mapping[str, Any]) -> str:
    return _line(one["tenant"]) or EVERYONE


def _passage(one: Mapping[str, Any]) -> Passage:
    path = tuple(_line(heading) for heading in one["path"])
    place = int(one["first"]), int(one["last"])
    return Passage(
        _line(one["document"]), path, *place, printable(str(one["text"])), _line(one["part"]), "", _owner(one)
    )


def _line(text: Any) -> str:
    return " ".join(printable(str(text)).split())[:300]
