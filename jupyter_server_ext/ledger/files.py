"""Files of one gateway alone: readable for their owner only, and locked as long as it lives.

Records of requests are nobody else's to read. Gateways that write one ledger file have names, so that each
knows which requests it left open itself: the first of a machine is ``host-1``, one beside it ``host-2``. A name is held
by a lock on a file, which the system lets go of however the process ends; the next gateway that starts takes the name,
and closes what was left open.
"""

from __future__ import annotations

import os
import platform
import stat
from contextlib import suppress
from typing import IO, TYPE_CHECKING

from tornado.log import app_log

if TYPE_CHECKING:
    from pathlib import Path

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_MOST = 1_000  # gateways on one machine


def open_private(path: Path, flags: int = os.O_RDWR) -> int:
    """The descriptor of a file, which is made for its owner only when it is missing; of one that is not, the log tells.

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


def lock(file: int) -> None:
    """Lock a file until it is closed; an OSError says that another process has it, or that there are no locks here."""
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class Instance:
    """A name and the lock that holds it.

    Args:
        folder: Where the ledger is.
        host: The machine's name.

    Attributes:
        name: The name, such as ``host-1``; without locks, as on some network drives, with the process's number.
    """

    def __init__(self, folder: Path, host: str | None = None) -> None:
        host = host or platform.node() or "gateway"
        self._file: IO[bytes] | None = None
        self.name = f"{host}-{os.getpid()}"
        for number in range(1, _MOST):
            name = f"{host}-{number}"
            with suppress(OSError):
                # Appending changes nothing in a file that another gateway holds.
                file = (folder / f".{name}.lock").open("ab")
                try:
                    lock(file.fileno())
                except OSError:
                    file.close()
                    raise
                self._file, self.name = file, name
                return

    def close(self) -> None:
        """Let others have the name."""
        if self._file is not None:
            self._file.close()
