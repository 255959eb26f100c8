"""Bodies of ``multipart/form-data``, read as they come: the file in them is passed on and never whole in memory."""

# https://www.rfc-editor.org/rfc/rfc7578

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from jupyter_server_ext.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

_BOUNDARY = re.compile(r'\bboundary=(?:"([^"]{1,70})"|([^\s;,"]{1,70}))', re.IGNORECASE)
_NAME = re.compile(rb'[;\s]name="([^"]{1,200})"', re.IGNORECASE)
_FILE_NAME = re.compile(rb'[;\s]filename="([^"]{0,1000})"', re.IGNORECASE)
_LONGEST_HEAD = 8_000  # bytes of a part's headers
_LONGEST_FIELD = 16_000  # bytes of a part that is no file
_MOST_FIELDS = 30


class MultipartReader:
    r"""The parts of one body.

    Args:
        content_type: The header of the request, which names the boundary.

    Raises:
        BadRequest: It is no such body.

    Example:
        >>> reader = MultipartReader("multipart/form-data; boundary=b")
        >>> disposition = b'Content-Disposition: form-data; name="file"; filename="a.jsonl"'
        >>> list(reader.feed(b"--b\r\n" + disposition + b"\r\n\r\n{}\r\n--"))
        [b'{}']
        >>> list(reader.feed(b"b--\r\n"))
        []
        >>> reader.has_ended, reader.file_name
        (True, 'a.jsonl')
    """

    def __init__(self, content_type: str) -> None:
        found = _BOUNDARY.search(content_type)
        if not content_type.lower().startswith("multipart/form-data") or found is None:
            raise BadRequest(
                "Send the file as multipart/form-data, with the fields 'purpose' and 'file'.", param="file"
            )
        self._delimiter = b"\r\n--" + (found[1] or found[2]).encode("latin-1", "replace")
        self._buffer = bytearray(b"\r\n")  # so that the first delimiter begins as the others do
        self._state: Literal["before", "delimiter", "head", "field", "file", "end"] = "before"
        self._field = ""
        self.fields: dict[str, str] = {}
        self.file_name: str | None = None  # of the file, once it has begun

    @property
    def has_ended(self) -> bool:
        """Whether the body's end has come."""
        return self._state == "end"

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take in bytes, and pass on those of the file.

        Raises:
            BadRequest: The body has another form, or too many or too large fields.
        """
        self._buffer += data
        goes_on = True
        while goes_on:
            if self._state in {"before", "field", "file"}:
                goes_on = yield from self._content()
            elif self._state == "delimiter":
                goes_on = self._after_delimiter()
            elif self._state == "head":
                goes_on = self._head()
            else:
                self._buffer.clear()
                return

    def _content(self) -> Generator[bytes, None, bool]:
        at = self._buffer.find(self._delimiter)
        end = at if at >= 0 else max(0, len(self._buffer) - len(self._delimiter) + 1)
        content = bytes(self._buffer[:end])
        del self._buffer[: end + (len(self._delimiter) if at >= 0 else 0)]
        if self._state == "file" and content:
            yield content
        elif self._state == "field":
            text = self.fields[self._field] + content.decode("utf-8", "replace")
            if len(text) > _LONGEST_FIELD:
                raise BadRequest(f"The field '{self._field[:40]}' is too long.", param=self._field[:40])
            self.fields[self._field] = text
        if at >= 0:
            self._state = "delimiter"
        return at >= 0

    def _after_delimiter(self) -> bool:
        if self._buffer.startswith(b"--"):
            self._state = "end"
            return True
        at = self._buffer.find(b"\r\n")
        if at > 0 and self._buffer[:at].strip(b" \t"):
            raise _malformed()
        if at < 0:
            if len(self._buffer) > _LONGEST_HEAD:
                raise _malformed()
            return False
        del self._buffer[:at]  # the line's end begins the head, which may be empty
        self._state = "head"
        return True

    def _head(self) -> bool:
        at = self._buffer.find(b"\r\n\r\n")
        if at < 0:
            if len(self._buffer) > _LONGEST_HEAD:
                raise _malformed()
            return False
        head = bytes(self._buffer[:at])
        del self._buffer[: at + 4]
        name, file_name = _NAME.search(head), _FILE_NAME.search(head)
        if name is None:
            raise _malformed()
        self._field = name[1].decode("utf-8", "replace")
        if file_name is not None:
            if self.file_name is not None or self._field != "file":
                raise BadRequest("Send one file, in the field 'file'.", param="file")
            self.file_name = file_name[1].decode("utf-8", "replace")
            self._state = "file"
            return True
        if self._field in self.fields or len(self.fields) >= _MOST_FIELDS:
            raise BadRequest(f"The field '{self._field[:40]}' comes twice, or there are too many.", param="file")
        self.fields[self._field] = ""
        self._state = "field"
        return True


def _malformed() -> BadRequest:
    return BadRequest("The body is not multipart/form-data, as its boundary does not fit.", param="file")
