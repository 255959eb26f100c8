"""Files that only their owner may read: what people asked, and what they used, is nobody else's."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from tornado.log import app_log

if TYPE_CHECKING:
    from pathlib import Path

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def open_private(path: Path, flags: int = os.O_RDWR) -> int:
    """The descriptor of a file, which is made for its owner only when it is missing; of one that is not, the log tells.

    Args:
        path: The file.
        flags: As of ``os.open``, besides that it may be made.

    Raises:
        OSError: It cannot be opened.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "a"
        >>> os.close(open_private(path))
        >>> oct(path.stat().st_mode & 0o777)
        '0o600'
    """
    file = os.open(path, flags | os.O_CREAT, 0o600)
    if os.name == "posix" and (mode := stat.S_IMODE(os.fstat(file).st_mode)) & _OTHERS:
        app_log.warning("rsql: others may read %s (mode %04o). Say: chmod 600 %s", path, mode, path)
    return file
