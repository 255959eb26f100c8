"""A document that was sent, made ready in the worker's process: read, split, cleaned, and its index."""

# Large documents take seconds, in which nobody else would be served. What comes back are pieces of a few passages,
# which are read and written one at a time, and an index that is only passed on.

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from jupyter_server_ext.errors import BadRequest, TooLarge
from jupyter_server_ext.knowledge.values import SharedPassage, read_document
from jupyter_server_ext.worker import Worker, WorkerEnded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jupyter_server_ext.knowledge.values import NewDocument

_SMALL = 32 * 1024  # bytes; a thread is done with it in some milliseconds
_AT_ONCE = 24  # passages of a piece, which take some milliseconds to be written


class DocumentHead(msgspec.Struct, frozen=True):
    """What is known of a document before its passages, or why there is none."""

    name: str = ""
    tenant: str | None = None
    days: float | None = None
    model: str = ""
    passages: int = 0
    size: int = 0  # bytes
    vector: bytes = b""  # of the first passage
    wrong: dict[str, Any] | None = None  # an error's own


class ReadyDocument:
    """One that was made ready; its passages are read piece by piece."""

    def __init__(self, head: DocumentHead, pieces: list[bytes], index: bytes) -> None:
        self.head, self.index = head, index
        self._pieces = pieces

    @property
    def pieces(self) -> Iterator[list[SharedPassage]]:
        """Its passages, a few at a time."""
        return (msgspec.msgpack.decode(piece, type=list[SharedPassage]) for piece in self._pieces)


async def made_ready(worker: Worker, body: bytes) -> ReadyDocument:
    """The document in a body.

    Raises:
        BadRequest: It has another form, or holds nothing.
        TooLarge: It needs more memory than there is.
    """
    try:
        if len(body) <= _SMALL:  # not worth a process, which may have others before it
            head, *pieces = await asyncio.to_thread(lambda: list(pieces_of(body)))
        else:
            head, *pieces = await worker.run(pieces_of, body)
    except WorkerEnded:
        raise TooLarge("The document cannot be read. Send it in parts.") from None
    read = msgspec.msgpack.decode(head, type=DocumentHead)
    if read.wrong is not None:
        raise BadRequest(**read.wrong)
    return ReadyDocument(read, pieces[:-1], pieces[-1])


def pieces_of(body: bytes) -> Iterator[bytes]:
    """In the worker's process: the head of a document, its passages, and its index."""
    try:
        sent = read_document(body)
    except BadRequest as error:
        wrong = {"message": error.message, "param": error.param, "code": error.code, "status": error.status}
        yield msgspec.msgpack.encode(DocumentHead(wrong=wrong))
        return
    yield msgspec.msgpack.encode(head_of(sent))
    passages = iter(sent.passages)
    while some := list(islice(passages, _AT_ONCE)):
        yield msgspec.msgpack.encode(some)
    yield index_of(sent)


def head_of(sent: NewDocument) -> DocumentHead:
    """What is known of a document before its passages."""
    size = sum(passage.size for passage in sent.passages)
    own = (sent.name, sent.tenant, sent.days, sent.model)
    return DocumentHead(*own, len(sent.passages), size, sent.passages[0].vector)


def index_of(sent: NewDocument) -> bytes:
    """The index of a document whose passages have no numbers yet, and are counted from 0."""
    from jupyter_server_ext.knowledge.passage_index import PassageIndex

    texts = [(place, heading_of(one), one.text, one.vector or None) for place, one in enumerate(sent.passages)]
    return PassageIndex.of("", sent.model, texts).packed()


def heading_of(passage: SharedPassage) -> str:
    """The headings of a passage as they are kept."""
    return JOINT.join(passage.path)


JOINT = " › "  # between the headings of a path
