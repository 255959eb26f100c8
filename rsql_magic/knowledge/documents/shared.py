"""Documents that a gateway shares with a group: listed, searched, added and removed through its routes."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
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
    models: set[str] = field(default_factory=set)  # whose vectors they had when they were searched last

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

    def search(
        self, question: str, names: Sequence[str], most: int, meaning: tuple[str, bytes] | None = None
    ) -> list[Passage]:
        """The passages that hold words of a question, the best first; of all documents where there are no names.

        With a model's name and the vector that it gave the question, those that mean what it means as well.
        """
        asked: dict[str, Any] = {"query": question[:4000], "documents": [*names][:1000], "most": min(most, 50)}
        if meaning:
            asked["meaning"] = {"model": meaning[0], "vector": b64encode(meaning[1]).decode()}
        found = self.routes.post("search", asked)
        try:
            self.models.clear()
            self.models.update(str(name) for name in found.get("models", ()))
            return [_passage(one) for one in found["passages"]]
        except (KeyError, TypeError, ValueError):
            raise GatewayError("The gateway's search gave something else than passages.", hint="Upgrade it.") from None

    def put(self, name: str, passages: Sequence[Passage], model: str = "", vectors: Sequence[bytes] = ()) -> str:
        """Share a document with the caller's group, with vectors that a model gave its passages; whose it is now."""
        names = ("text", "path", "first", "last", "part")
        sent = [{name: getattr(one, name) for name in names} for one in passages]
        if not vectors:
            return _owner(self.routes.post("documents", {"name": name, "passages": sent}))
        meant = [{**one, "vector": b64encode(each).decode()} for one, each in zip(sent, vectors, strict=True)]
        return _owner(self.routes.post("documents", {"name": name, "passages": meant, "model": model}))

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
