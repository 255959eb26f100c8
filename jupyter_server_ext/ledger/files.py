"""Files of one gateway alone: readable for their owner only, locked as long as it lives; the anchor of its chain."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import platform
import re
import stat
from contextlib import suppress
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, NamedTuple

from tornado.log import app_log

from jupyter_server_ext.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_MOST = 1_000  # gateways on one machine
_MARK, _RESTORED = "rsql-head", "rsql-restored"
_ID_BEHIND = re.compile(r" request_id=\S+$")


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

    Gateways that write one ledger file have names, so that each knows which requests it left open itself: the first of
    a machine is ``host-1``, one beside it ``host-2``. The system lets go of the lock however the process ends; the next
    gateway that starts takes the name, and closes what was left open.

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


# The anchor: heads of hash chains, written down outside the ledger. A chain shows what was changed, removed or put in
# within it, but not that its end is missing: a shorter chain is whole, too. So each gateway writes every hour, and when
# it ends, how long its chain was, into the log and a file. With a key the line is signed, so that who may write to the
# file cannot make one up; who may delete lines can take away the last.


class ChainHead(NamedTuple):
    """The end of a chain: the gateway whose it is, the number of its last entry, and the chain's hash there."""

    instance: str
    number: int
    chain_hash: str


def line_of(head: ChainHead, at: float, key: str = "", *, restored: bool = False) -> str:
    """What is written down of a head, at a Unix time.

    Args:
        head: The end of a chain.
        at: When it was so.
        key: What the line is signed with; empty for no signature.
        restored: Whether a backup was put in that ends there: what was written down of later entries is void.
    """
    when = datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
    text = f"{when} {head.number} {head.chain_hash}"
    mark = _RESTORED if restored else _MARK
    return f"{mark} {text} {_signature(mark, text, head.instance, key)} {head.instance}"


class Anchor(NamedTuple):
    """What an anchor holds."""

    heads: list[ChainHead]  # ends of chains that must be there
    problems: list[str]  # lines that are not believed, a sentence each
    restored: list[str]  # what was lost by a restore, and is not missed any more, a sentence each


WITHOUT_ANCHOR = "Without an anchor nothing shows whether the newest entries are missing."
"""What a verification says that looks at no anchor."""


def heads_in(text: str, key: str = "") -> Anchor:
    r"""The heads in the lines of a file or a log; without a key signatures do not count.

    Example:
        >>> before = line_of(ChainHead("one", 9, "f" * 64), 0.0)
        >>> after = line_of(ChainHead("one", 5, "a" * 64), 60.0, restored=True)
        >>> anchor = heads_in(f"{before}\n{after}")
        >>> [head.number for head in anchor.heads], anchor.restored
        ([5], ['one: a backup was restored at 1970-01-01T00:01:00+00:00; entries 6 to 9 were lost by it.'])
    """
    heads: list[ChainHead] = []
    problems, restored = [], []
    for number, line in enumerate(text.splitlines(), start=1):
        said = _said_in(line)
        mark = next((each for each in (_MARK, _RESTORED) if f"{each} " in said), "")
        parts = said.partition(f"{mark} ")[2].split(" ", 4)
        if not mark or len(parts) < 5 or not parts[1].isdecimal():
            continue
        when, last, chain_hash, signature, instance = parts
        signed = _signature(mark, f"{when} {last} {chain_hash}", instance, key)
        if key and not hmac.compare_digest(signature, signed):
            problems.append(f"line {number} of the anchor is not signed with this key.")
            continue
        head = ChainHead(instance, int(last), chain_hash)
        if mark == _RESTORED:
            later = max((one.number for one in heads if one.instance == instance), default=head.number)
            if later > head.number:
                lost = f"entries {head.number + 1} to {later} were lost by it."
                restored.append(f"{instance}: a backup was restored at {when}; {lost}")
            heads = [one for one in heads if one.instance != instance or one.number <= head.number]
        heads.append(head)
    return Anchor(heads, problems, restored)


def _said_in(line: str) -> str:
    # What was written, without what a log puts around it: an object, or the id of a request behind it.
    with suppress(ValueError):
        fields = json.loads(line[line.find("{") :])
        if isinstance(fields, dict) and isinstance(event := fields.get("event"), str):
            return event
    return _ID_BEHIND.sub("", line)


def add_line(path: Path, line: str) -> None:
    """Add a line to a file, which is made for its owner only."""
    with os.fdopen(open_private(path, os.O_WRONLY | os.O_APPEND), "a", encoding="utf-8") as file:
        file.write(line + "\n")
        file.flush()
        # It is evidence only if it is on disk before anybody can delete an entry.
        os.fsync(file.fileno())


def read_anchor(path: Path, key: str = "") -> Anchor:
    """As ``heads_in``, of a file.

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        return heads_in(path.read_text(encoding="utf-8", errors="replace"), key)
    except OSError as error:
        raise ConfigError(f"The anchor {path} cannot be read ({error.strerror}).") from None


def _signature(mark: str, text: str, instance: str, key: str) -> str:
    # Lines of heads were signed without their mark before there were others.
    signed = f"{text} {instance}" if mark == _MARK else f"{mark} {text} {instance}"
    return hmac.new(key.encode(), signed.encode(), hashlib.sha256).hexdigest() if key else "-"
