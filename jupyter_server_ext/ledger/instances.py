"""Names for gateways that write one ledger file, so that each knows which requests it left open itself.

The first gateway of a machine is ``host-1``, one beside it ``host-2``. A name is held by a lock on a file, which the
system lets go of however the process ends; the next gateway that starts takes the name, and closes what was left open.
"""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_MOST = 1_000


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
                self._file = _locked(folder / f".{name}.lock")
                self.name = name
                return

    def close(self) -> None:
        """Let others have the name."""
        if self._file is not None:
            self._file.close()


def _locked(path: Path) -> IO[bytes]:
    """The file, locked until it is closed.

    Raises:
        OSError: Somebody else holds the lock, or there are none here.
    """
    file = path.open("ab")
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise
    return file
