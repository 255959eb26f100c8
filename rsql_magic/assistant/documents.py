"""The documents of a notebook: those beside it, and those that its gateway shares."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rsql_magic.answers import NotebookQuestion
    from rsql_magic.config import Rsql
    from rsql_magic.gateway import GatewayLocator
    from rsql_magic.knowledge import Library

DOCUMENTS = Path(".rsql", "documents.db")  # beside the notebook


@dataclass
class DocumentsInReach:
    """The documents that a notebook's questions may be answered from."""

    _settings: Rsql
    _locator: GatewayLocator
    _library: Library | None = None

    @property
    def library(self) -> Library:
        """Those beside the notebook, and those that the gateway shares."""
        from rsql_magic.knowledge import Embedder, Library, SharedDocuments

        if self._library is None or self._library.path != DOCUMENTS.absolute():
            self._library = Library(DOCUMENTS.absolute())
        model, locator = self._settings.embedding_model, self._locator
        self._library.embedder = Embedder(model, lambda texts: locator.embed(model, texts).vectors) if model else None
        self._library.shared = SharedDocuments(locator.gateway) if self._is_shared else None
        return self._library

    # Whether a gateway is there that can share documents; none is started to find out.
    @property
    def _is_shared(self) -> bool:
        locator = self._locator
        return locator.is_within_reach() and not locator.unknown_policy() and locator.knows_documents

    def for_question(self, question: NotebookQuestion) -> Library | None:
        """What a question may be answered from: None where it names no documents and there are none that could fit."""
        if question.docs:
            return self.library
        bound = question.about_error or question.attached or question.way not in {None, "words"}
        may = self._settings.documents == "auto" and question.context and question.document_tokens and not bound
        return self.library if may and (DOCUMENTS.exists() or self._locator.shared_documents) else None
