"""Files that are dropped into a panel: tables are put beside the notebook and read, pictures go with the question."""

# A view shows where a table goes and the line that reads it, and sends it after the person has agreed, in pieces. It
# never takes the place of a file, and what did not arrive whole leaves nothing behind.

from __future__ import annotations

import base64
import binascii
import errno
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsql_magic.context import LEVELS
from rsql_magic.errors import BadInput, GatewayError
from rsql_magic.panel.attachments import READERS, reading

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from rsql_magic.assistant import Assistant
    from rsql_magic.gateway import Chat

LARGEST = 100 << 20  # bytes of a table
_ROOM = 5 << 20  # bytes of all pictures of a question: a message to the kernel has 10 MB
_MOST_PICTURES = 4  # of a question
_SIGNATURES = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg", b"GIF8": "gif", b"RIFF": "webp"}
_MOST_NAMED = 3  # models that take pictures
_LONGEST_NAME = 80  # characters


@dataclass
class _Arriving:
    path: Path
    draft: Path
    size: int


class Uploads:
    """Tables that arrive beside the notebook, in the kernel's folder."""

    def __init__(self, folder: Callable[[], Path] = Path.cwd) -> None:
        self._folder = folder
        self._arriving: dict[str, _Arriving] = {}

    def place(self, name: str, size: int, taken: Collection[str] = ()) -> dict[str, Any]:
        """Where a table would go, the variable, and the line that reads it; nothing is written.

        Args:
            name: The file's name, as it was dropped.
            size: Its bytes.
            taken: Names of variables that are not to be overwritten.

        Raises:
            BadInput: It is no table that can be read, or there is no room for it.
        """
        ending = Path(name).suffix.lower()
        if ending not in READERS:
            raise BadInput(f"{name[:60]} cannot be dropped here.", hint=f"Pictures can, and {', '.join(READERS)}.")
        if not size:
            raise BadInput(f"{name[:60]} is empty.", hint="Drop a table with a header and rows.")
        if not 0 < size <= LARGEST:
            hint = f"Put it beside the notebook by the file browser, and name it: @file:{name[:60]}"
            raise BadInput(f"{name[:60]} has {size:,} bytes; at most {LARGEST >> 20} MB can be dropped.", hint=hint)
        folder = self._folder()
        if shutil.disk_usage(folder).free < size:
            raise _full(name)
        stem = re.sub(r"[^\w-]+", "_", Path(name).stem).strip("_.") or "table"
        stems = (stem[:_LONGEST_NAME] if not number else f"{stem[:_LONGEST_NAME]}_{number}" for number in count())
        file = next(f"{each}{ending}" for each in stems if not (folder / f"{each}{ending}").exists())
        word = re.sub(r"\W|^(?=\d)", "_", stem[:_LONGEST_NAME])
        words = (word if not number else f"{word}_{number}" for number in count())
        variable = next(each for each in words if each not in taken)
        return {"file": file, "variable": variable, "code": f"import pandas as pd\n{variable} = {reading(file)}"}

    def take(self, file: str, data: str, at: int, size: int) -> bool:
        """Take a piece of a file that `place` named; true when it is there whole.

        Args:
            file: Its name, as `place` gave it.
            data: The piece, in base64.
            at: Where in the file it begins; 0 begins anew.
            size: Bytes of the whole file.

        Raises:
            BadInput: The disk is full, a piece is missing, or the file is there by now.
        """
        if Path(file).name != file or Path(file).suffix.lower() not in READERS or not 0 < size <= LARGEST:
            raise BadInput("The file has no name that can be used.", hint="Drop it again.")
        try:
            piece = base64.b64decode(data, validate=True)
            return self._written(file, piece, at, size)
        except binascii.Error:
            raise BadInput(f"A piece of {file} did not arrive.", hint="Drop it again.") from None
        except OSError as error:
            self.drop(file)
            if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
                raise _full(file) from None
            reason = f"{file} cannot be written: {error.strerror or error}."
            raise BadInput(reason, hint="Is the notebook's folder yours to write in?") from None

    def _written(self, file: str, piece: bytes, at: int, size: int) -> bool:
        if at == 0:
            path = self._folder() / file
            self._arriving[file] = _Arriving(path, path.with_name(f".{file}.part"), size)
            self._arriving[file].draft.write_bytes(b"")
        arriving = self._arriving.get(file)
        if arriving is None or arriving.draft.stat().st_size != at or at + len(piece) > arriving.size:
            self.drop(file)
            raise BadInput(f"A piece of {file} did not arrive.", hint="Drop it again.")
        with arriving.draft.open("ab") as out:
            out.write(piece)
        if at + len(piece) < arriving.size:
            return False
        try:
            _put(arriving.draft, arriving.path)
        except FileExistsError:
            raise BadInput(f"There is a file {file} by now.", hint="Drop it again.") from None
        finally:
            self.drop(file)
        return True

    def drop(self, file: str) -> None:
        """Forget a file that did not arrive whole."""
        if (arriving := self._arriving.pop(file, None)) is not None:
            arriving.draft.unlink(missing_ok=True)


def _put(draft: Path, path: Path) -> None:
    """Give a file its name where there is none of that name; a rename would take the place of one."""
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links, as network drives and FAT are
        with draft.open("rb") as source, path.open("xb") as copy:
            try:
                shutil.copyfileobj(source, copy)
            except OSError:
                path.unlink(missing_ok=True)
                raise


def _full(name: str) -> BadInput:
    return BadInput(f"There is no room for {name[:60]}: the disk is full.", hint="Make room, and drop it again.")


@dataclass(frozen=True)
class Picture:
    """A picture that goes with a question."""

    name: str
    url: str  # ``data:image/png;base64,…``
    size: int  # bytes

    def __str__(self) -> str:
        return f"[picture {self.name}, {self.size:,} bytes]"


def pictures(given: Any) -> tuple[Picture, ...]:
    """The pictures that a view sent: ``[{"name": …, "data": base64}, …]``.

    Raises:
        BadInput: There are too many, they are too large, or one is none.
    """
    if not isinstance(given, list | tuple) or len(given) > _MOST_PICTURES:
        raise BadInput(f"At most {_MOST_PICTURES} pictures go with a question.", hint="Remove some.")
    found = tuple(_picture(each) for each in given)
    if (size := sum(each.size for each in found)) > _ROOM:
        hint = f"At most {_ROOM >> 20} MB are sent; make them smaller."
        raise BadInput(f"The pictures have {size:,} bytes.", hint=hint)
    return found


def _picture(given: Any) -> Picture:
    given = given if isinstance(given, dict) else {}
    name = " ".join(re.sub(r"[^\w .()-]", "_", str(given.get("name", "")))[:60].split()) or "picture"
    try:
        data = base64.b64decode(str(given.get("data", "")), validate=True)
    except binascii.Error:
        data = b""
    kind = next((kind for begins, kind in _SIGNATURES.items() if data.startswith(begins)), "")
    if not kind or (kind == "webp" and data[8:12] != b"WEBP"):
        raise BadInput(f"{name} is no picture that models read.", hint="PNG, JPEG, GIF and WebP are.")
    return Picture(name, f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}", len(data))


def refuse_pictures(assistant: Assistant, chat: Chat, model: str, *, is_sql: bool) -> None:
    """Refuse pictures where they would not be seen, or may not be sent: nothing can be removed from them.

    Args:
        assistant: Whose settings and gateway's policy count.
        chat: The conversation that would send them.
        model: The one that was chosen; empty for the default.
        is_sql: Whether the answer is a query.

    Raises:
        BadInput: They cannot go with this question.
    """
    level = assistant.locator.most(assistant.settings.privacy)
    if is_sql:
        raise BadInput("A query is written without pictures.", hint="Leave out /sql, or the pictures.")
    if level == LEVELS[0]:
        hint = "Leave them out: nothing in a picture can be kept back."
        raise BadInput(f"At the privacy level {level} no pictures are sent.", hint=hint)
    wanted = assistant.settings.resolve(model or None)
    if chat.is_offline(wanted):
        hint = "Choose another one below the box, or leave the pictures out."
        raise BadInput("The model that would answer by fixed rules sees no pictures.", hint=hint)
    known: dict[str, bool] = {}
    with suppress(GatewayError):  # what is not known is tried
        known = assistant.locator.gateway.pictures()
    if known.get(wanted or "default") is False:
        seeing = [name for name, sees in known.items() if sees and name != "default"]
        others = " or ".join(seeing[:_MOST_NAMED]) or "another one"
        hint = f"Choose {others} below the box, or leave the pictures out."
        raise BadInput(f"The model {wanted or 'that answers here'} takes no pictures.", hint=hint)
