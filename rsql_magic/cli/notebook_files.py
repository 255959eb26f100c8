"""Notebooks as files."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from rsql_magic.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def read_notebook(path: Path) -> Any:
    """The notebook in a file, in the newest format.

    Raises:
        BadInput: There is no such file, or it is no notebook.
    """
    import nbformat
    from nbformat.reader import NotJSONError

    if not path.is_file():
        raise BadInput(f"There is no file {str(path)!r}.", hint="Check the path.")
    try:
        return nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)  # type: ignore[no-untyped-call]
    except UnicodeDecodeError:
        raise BadInput(f"{str(path)!r} is not UTF-8 text.", hint="Save it as UTF-8.") from None
    except (NotJSONError, nbformat.ValidationError, AttributeError, KeyError, TypeError):
        raise BadInput(f"{str(path)!r} is not a notebook.", hint="Open it in Jupyter and save it.") from None
    except OSError as error:
        raise BadInput(f"{str(path)!r} cannot be read: {error.strerror}.", hint="Look at its rights.") from None


def write_whole(path: Path, text: str) -> None:
    """Write a file so that whoever reads it finds the old text or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    target = path.resolve()
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        draft.write_text(text, encoding="utf-8", errors="replace")
        with suppress(OSError):  # there is none yet
            shutil.copymode(target, draft)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def refuse_unwritable(paths: Iterable[Path]) -> None:
    """Make the folders of files that are to be written later.

    Raises:
        BadInput: One of them cannot be written.
    """
    for path in paths:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                raise BadInput(f"{path} is a folder.", hint="Name a file.")
            wrong = "" if os.access(path.parent, os.W_OK) else "no permission"
        except OSError as error:
            wrong = error.strerror or type(error).__name__
        if wrong:
            raise BadInput(f"{path} cannot be written: {wrong}.", hint="Name another place; nothing was asked.")
