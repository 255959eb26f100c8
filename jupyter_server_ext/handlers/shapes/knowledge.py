"""Shapes of replies: documents, dictionaries and examples that tenants share."""

from __future__ import annotations

from typing_extensions import TypedDict

from jupyter_server_ext.handlers.described import Object


class DocumentRow(TypedDict):
    """A shared document, without its text."""

    name: str
    tenant: str
    passages: int
    bytes: int
    added: str
    expires: str | None
    model: str | None


class DocumentsReply(TypedDict):
    """``documents``."""

    documents: list[DocumentRow]


class SharedRow(TypedDict):
    """A shared dictionary or example."""

    name: str
    tenant: str
    bytes: int
    digest: str
    added: str
    expires: str | None


class SharedWithText(SharedRow):
    """A shared dictionary with its text."""

    text: str


class DictionariesReply(TypedDict):
    """``dictionaries``."""

    dictionaries: list[SharedRow]


class ExamplesReply(TypedDict):
    """``examples``."""

    examples: list[Object]


class DeletedDocument(TypedDict):
    """The name of what was deleted."""

    deleted: str


class PassagesReply(TypedDict):
    """``search``."""

    passages: list[Object]
    models: list[str]
