"""The way to the gateway: found in the environment, or started here at first use."""

# In this order:
# 1. `%rsql connect URL` or RSQL_GATEWAY_URL (with RSQL_GATEWAY_TOKEN). What was named is never passed over.
# 2. On a JupyterHub, the hub's service, with the server's own JUPYTERHUB_API_TOKEN.
# 3. The Jupyter Server of this kernel: its extension hands kernels RSQL_SERVER_URL and RSQL_SERVER_TOKEN.
# 4. An embedded gateway: a child process on loopback with a random token. It watches this process and a pipe whose
#    other end only this process holds, so it ends with this process however that ends, `kill -9` included.

from __future__ import annotations

import os
import re
import secrets
import selectors
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any, Literal, cast
from urllib.parse import urlsplit, urlunsplit

from rsql_magic.context import LEVELS
from rsql_magic.errors import BadInput, GatewayError, GatewayUnreachable
from rsql_magic.gateway.client import LLMClient, ModelRecords, Stop
from rsql_magic.gateway.replay import ReplayFile, ReplayingClient
from rsql_magic.gateway.terms import RunTerms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rsql_magic.config import Rsql
    from rsql_magic.gateway.client import Message, Vectors
    from rsql_magic.gateway.patience import Patience, WaitingClient
    from rsql_magic.gateway.spending import SpendingClient
    from rsql_magic.sql import Privacy

How = Literal["chosen", "environment", "hub", "server", "embedded"]

IN_WORDS: dict[How, str] = {
    "chosen": "named by %rsql connect",
    "environment": "named by RSQL_GATEWAY_URL",
    "hub": "the JupyterHub's service",
    "server": "the Jupyter Server of this kernel",
    "embedded": "started for this session",
}

_TAIL = 16_384  # bytes of the child's log that its last words are taken from
_OF_R = re.compile(r"/(usr/)?lib(/|$)|.*/jvm/")  # folders that the start of R puts before all others
_READY = re.compile(r"ready at (http://\S+)")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a gateway is, with a slash at its end, the bearer token that opens it, and which way found it.

    Raises:
        BadInput: The token holds a sign that no header can carry.
    """

    url: str
    token: str = field(default="", repr=False)
    how: How = "chosen"

    def __post_init__(self) -> None:
        # What the HTTP library says of such a token quotes it.
        if not re.fullmatch(r"[!-~]*", self.token):
            hint = "Set RSQL_GATEWAY_TOKEN again, without blanks, line breaks, and letters with accents."
            raise BadInput("The gateway's token holds a sign that no token has.", hint=hint)

    def __str__(self) -> str:
        return f"{self.url} ({IN_WORDS[self.how]})"


def base_url(text: str) -> str:
    """The base URL of what a person typed: with a slash at its end and ``v1`` and what follows left out."""
    # A server without a path gets `rsql/`: a Jupyter Server with the gateway on. A URL holds no password.
    parts = urlsplit(text.strip())
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise BadInput(f"{text!r} is not the URL of a gateway.", hint="It looks like http://HOST:PORT/rsql/.")
    if parts.password or parts.username or "token=" in parts.query:
        hint = "Put the token into RSQL_GATEWAY_TOKEN."
        raise BadInput("The URL of a gateway holds no password or token.", hint=hint)
    path = re.sub(r"/v1(/chat/completions)?/?$", "/", parts.path) if "/v1" in parts.path else parts.path or "/rsql/"
    path = "/rsql/" if parts.path in {"", "/"} else path
    return urlunsplit((parts.scheme, parts.netloc, path.rstrip("/") + "/", "", ""))


def named(environ: Mapping[str, str], url: str = "", token: str = "") -> Address | None:
    """The gateway that the settings (``url``) or else the environment name, or None."""
    chosen = url or environ.get("RSQL_GATEWAY_URL", "").strip()
    if not chosen:
        return None
    address = base_url(chosen)
    # The server's hub token is for a service of the hub, and goes nowhere else.
    ours = {urlsplit(environ.get(name, "")).netloc for name in ("JUPYTERHUB_PUBLIC_HUB_URL", "RSQL_GATEWAY_URL")}
    of_hub = "/services/" in urlsplit(address).path and urlsplit(address).netloc in ours
    hub_token = environ.get("JUPYTERHUB_API_TOKEN", "") if of_hub else ""
    token = token or environ.get("RSQL_GATEWAY_TOKEN", "") or hub_token
    return Address(address, token, "chosen" if url else "environment")


def discovered(environ: Mapping[str, str], service: str = "rsql") -> list[Address]:
    """Gateways that the environment offers without naming one, best first: the hub's service, then the server's own."""
    offers = []
    hub, hub_token = environ.get("JUPYTERHUB_PUBLIC_HUB_URL", ""), environ.get("JUPYTERHUB_API_TOKEN", "")
    if hub and hub_token:  # …/hub/ is beside …/services/
        offers.append(Address(re.sub(r"/hub/?$", "", hub).rstrip("/") + f"/services/{service}/", hub_token, "hub"))
    if server := environ.get("RSQL_SERVER_URL", ""):
        # The server's own token only asks; a key that its person made for its kernels may do more.
        token = environ.get("RSQL_GATEWAY_TOKEN", "") or environ.get("RSQL_SERVER_TOKEN", "")
        offers.append(Address(server.rstrip("/") + "/", token, "server"))
    return offers


@dataclass
class Embedded:
    """The gateway that this process starts for itself, once; ``environ`` is the child's, beside its token."""

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    timeout: float = 20.0
    command: tuple[str, ...] = ("-m", "jupyter_server_ext", "--embedded")
    clock: Callable[[], float] = time.monotonic
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _address: Address | None = field(default=None, repr=False)
    _words: IO[bytes] | None = field(default=None, repr=False)

    @property
    def running(self) -> bool:
        """Whether the child is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The child's process id, or None."""
        return self._process.pid if self._process is not None and self.running else None

    def address(self) -> Address:
        """Where it is; started when it is not running. An error holds the child's last words."""
        if not self.running or self._address is None:
            self._address = self._start()
        return self._address

    def _start(self) -> Address:
        self.close()  # what is left of one that died
        token = secrets.token_urlsafe(32)
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - it is open as long as the child writes into it
        process = subprocess.Popen(  # noqa: S603 - our own module, run by this very Python
            # -P: a file beside the notebook, such as queue.py, is not one of the gateway's modules.
            [sys.executable, "-P", *self.command, f"--parent-pid={os.getpid()}"],
            stdin=subprocess.PIPE,  # its end of life: the child stops when this pipe closes
            stdout=subprocess.PIPE,
            stderr=self._words,
            env={**_without_libraries_of_r(self.environ), "JUPYTER_TOKEN": token, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,  # an interrupt of the kernel's process group is not for the gateway
        )
        self._process = process
        # A forked worker that outlives the kernel must not hold the pipe open.
        os.register_at_fork(after_in_child=cast("IO[bytes]", process.stdin).close)
        try:
            return Address(self._ready(cast("IO[bytes]", process.stdout)), token, "embedded")
        except BaseException:
            self.close()
            raise

    def last_words(self, lines: int = 20) -> list[str]:
        """The last lines that the child wrote to its log."""
        if self._words is None:
            return []
        # The child writes where this file stands, so it is read without moving.
        start = max(0, os.fstat(self._words.fileno()).st_size - _TAIL)
        tail = os.pread(self._words.fileno(), _TAIL, start).decode("utf-8", "replace")
        return [line.strip()[:300] for line in tail.splitlines() if line.strip()][-lines:]

    def _ready(self, out: IO[bytes]) -> str:
        deadline = self.clock() + self.timeout
        output = b""
        with selectors.DefaultSelector() as waiting:
            waiting.register(out, selectors.EVENT_READ)
            while (left := deadline - self.clock()) > 0:
                if not waiting.select(left):
                    continue
                piece = os.read(out.fileno(), 4096)
                output += piece
                if ready := _READY.search(output.decode("utf-8", "replace")):
                    return ready[1].rstrip("/") + "/"
                if not piece:
                    break
        why = f"was not ready within {self.timeout:g} s" if left <= 0 else "ended at once"
        last = "".join(line.removeprefix("jupyter rsql: ") for line in self.last_words(1))
        hint = "Correct it, and run the cell again." if last else "%rsql doctor finds out why."
        raise GatewayUnreachable(f"The embedded gateway {why}{f': {last}' if last else '.'}", hint=hint)

    def close(self) -> None:
        """End the child; harmless when there is none."""
        process, words, self._process, self._words, self._address = self._process, self._words, None, None, None
        if words is not None:
            words.close()
        if process is None:
            return
        if process.stdin:
            process.stdin.close()
        process.terminate()
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()


# The environment as it was before R. R, also in this process by rpy2, puts its own and the system's folders before all
# libraries; a Python started then may load the system's libpython in place of its own.
def _without_libraries_of_r(environ: Mapping[str, str]) -> dict[str, str]:
    kept = dict(environ)
    if home := kept.get("R_HOME"):
        folders = kept.pop("LD_LIBRARY_PATH", "").split(":")
        others = [each for each in folders if each and not _OF_R.match(each) and not each.startswith(home)]
        kept |= {"LD_LIBRARY_PATH": ":".join(others)} if others else {}
    return kept


class GatewayLocator:
    """The way to the gateway; settings are read at each use, and a ``client`` stands in place of looking for one."""

    def __init__(
        self, settings: Rsql, environ: Mapping[str, str], *, interactive: bool = True, client: LLMClient | None = None
    ) -> None:
        self._settings, self._environ, self._interactive = settings, environ, interactive
        self._gateway = client
        self._finding = threading.RLock()  # two threads that look at once would find, or start, two
        self._floor: Privacy | None = None
        self._prompt = ""
        self._policy_known = False
        self.knows_documents = False  # whether the gateway is one that can share documents
        self.shared_documents = 0  # how many it shares with this caller
        self.knows_dictionaries = False  # whether it can share dictionaries and examples, too
        self.address: Address | None = None  # where the gateway is, once it was found
        self.terms = RunTerms(lambda: self.gateway, lambda: self._settings.batch_deadline, environ)
        # How long a batch run waits; None where a person decides.
        self.patience = None if interactive else self.terms.patience
        self._set_aside: ReplayFile | None = None  # a recording that was turned off

    @cached_property
    def embedded(self) -> Embedded:
        """The gateway of our own, which is started when it is asked for its address."""
        return Embedded(self._environ, self._settings.start_timeout)

    @cached_property
    def replay(self) -> ReplayFile | None:
        """The recording in use: that of ``RSQL_REPLAY``, until another is set."""
        return ReplayFile.from_environ(self._environ)

    def stop_replaying(self) -> None:
        """Ask for all answers from now on; the recording is kept for ``go_on_replaying``."""
        self._set_aside, self.replay = self.replay or self._set_aside, None

    def go_on_replaying(self) -> None:
        """Use the recording that was in use last, and ask for what it does not hold."""
        file = self.replay or self._set_aside or ReplayFile.from_environ(self._environ)
        if file is None:
            raise BadInput("There is no recording to go on with.", hint="%rsql replay answers.jsonl.")
        self.replay = file if file.mode == "auto" else ReplayFile(file.path).opened()

    @property
    def _only_replays(self) -> bool:
        return self.replay is not None and self.replay.mode == "replay"

    @property
    def client(self) -> LLMClient | WaitingClient | SpendingClient | ReplayingClient:
        """The client to ask: the gateway's, behind the recording where there is one."""
        if self.replay is None:
            return self.asked
        return ReplayingClient(None if self._only_replays else self.asked, self.replay, self._floor or "")

    def embed(self, model: str, texts: Sequence[str]) -> Vectors:
        """As ``LLMClient.embed``, behind the recording where there is one that may hold vectors."""
        if self.replay is None or (self._only_replays and not self.replay.has_vectors):
            return self.asked.embed(model, texts)
        return self.client.embed(model, texts)

    @property
    def asked(self) -> LLMClient | WaitingClient | SpendingClient:
        """The gateway's client itself, or what waits for it where nobody watches."""
        return self.gateway if self.patience is None else self.terms.client()

    def waiting_client(self, patience: Patience) -> WaitingClient | SpendingClient | ReplayingClient:
        """A client that waits as a batch run does, also where a person watches."""
        self.gateway  # noqa: B018 - found once, before several threads use it
        asked = self.terms.client(patience)
        if self.replay is None:
            return asked
        return ReplayingClient(None if self._only_replays else asked, self.replay, self._floor or "")

    @contextmanager
    def telling(self, tell: Callable[[str], None]) -> Iterator[None]:
        """Until the end of the block, say by this function what a batch run waits for."""
        with self.patience.telling(tell) if self.patience else nullcontext():
            yield

    @property
    def gateway(self) -> LLMClient:
        """The gateway's client; found, or started, at first use and when the embedded one has died."""
        with self._finding:
            died = self.address is not None and self.address.how == "embedded" and not self.embedded.running
            return self._use(self._find()) if self._gateway is None or died else self._gateway

    def use(self, url: str, token: str = "") -> Address:
        """Use the gateway at a URL from now on; what was used before stays in use where that one does not answer."""
        address = Address(base_url(url), token or self._environ.get("RSQL_GATEWAY_TOKEN", ""))
        with closing(self.client_of(address)) as client:
            client.models()
        self._use(address)
        return address

    def client_of(self, address: Address) -> LLMClient:
        """A client for an address."""
        seconds, records = self._settings.timeout, ModelRecords.of_user(self._environ)
        return LLMClient(address.url, address.token, interactive=self._interactive, timeout=seconds, records=records)

    def _use(self, address: Address) -> LLMClient:
        if self._gateway is not None:
            self._gateway.close()
        self.address, self._gateway, self._policy_known = address, self.client_of(address), False
        return self._gateway

    def _find(self) -> Address:
        if address := named(self._environ, self._settings.gateway_url):
            return address
        for offer in discovered(self._environ, self._settings.hub_service):
            # What is found is for all requests: the one that looks for it may be stopped, and this goes on.
            with closing(self.client_of(offer)) as client, Stop().governs():
                try:
                    client.get("health", timeout=2.0)
                except GatewayError as error:
                    if not (error.code or error.request_id):
                        continue
                return offer  # also one that cannot serve now
        if not self._settings.embedded:
            raise GatewayUnreachable("There is no gateway.", hint="Name one: %rsql connect URL.")
        return self.embedded.address()

    def is_within_reach(self) -> bool:
        """Whether there is a gateway that need not be started."""
        if self._gateway is not None or named(self._environ, self._settings.gateway_url):
            return True
        return bool(discovered(self._environ, self._settings.hub_service))

    def most(self, level: Privacy) -> Privacy:
        """A privacy level, lowered to what the gateway's policy allows as far as that is known."""
        floor = self._floor
        if self.replay is not None and self._only_replays and self.replay.floor in LEVELS:
            floor = cast("Privacy", self.replay.floor)  # the gateway's when it was recorded
        return min(level, floor or level, key=LEVELS.index)

    def with_prompt(self, messages: Sequence[Message]) -> list[Message]:
        """Messages as the gateway passes them on: what its policy adds stands in front, as far as that is known."""
        first = messages[0] if messages else None
        if not self._prompt:
            return list(messages)
        if first is None or first["role"] != "system":
            return [{"role": "system", "content": self._prompt}, *messages]
        return [{**first, "content": f"{self._prompt}\n\n{first['content']}"}, *messages[1:]]

    def learn_policy(self) -> None:
        """Ask the gateway once how much data its policy lets leave, what it adds to requests, and what answers them."""
        if self._policy_known or self._only_replays:
            return
        policy = self._told_policy() if self.patience is None else self.patience.until_answered(self._told_policy)
        policy = policy if isinstance(policy, dict) else {}
        floor, prompt = policy.get("privacy_floor"), policy.get("system_prompt")
        self._floor, self._prompt = (floor if floor in LEVELS else None), (prompt if isinstance(prompt, str) else "")
        documents = policy.get("documents")
        self.knows_documents = isinstance(documents, int)
        self.shared_documents = documents if isinstance(documents, int) else 0
        self.knows_dictionaries = isinstance(policy.get("dictionaries"), int)
        offline = policy.get("offline_models")
        self.gateway.offline_models = frozenset(map(str, offline if isinstance(offline, list) else ()))
        self._policy_known = self.terms.patience.answered = True

    def _told_policy(self) -> Any:
        try:
            return self.gateway.get("stats", timeout=5.0)
        except GatewayUnreachable:
            raise
        except GatewayError as error:
            # It may have a policy that it cannot tell now; where nobody watches a limit can be waited for.
            if error.status >= 500 or (self.patience is not None and error.status == 429):
                raise
            return None  # another kind of endpoint

    def unknown_policy(self) -> str:
        """Learn the policy where only looking needs it: why it is not known, empty when it is."""
        try:
            self.learn_policy()
        except GatewayError as error:
            return f"{error.message} Its policy may let less leave."
        return ""

    def close(self) -> None:
        """Let go of the client, and end the embedded gateway."""
        if self._gateway is not None:
            self._gateway.close()
        if "embedded" in self.__dict__:
            self.embedded.close()
        self._gateway = self.address = None


def is_batch(shell: Any, environ: Mapping[str, str]) -> bool:
    """Whether this cell runs without a person; ``RSQL_BATCH`` wins over what the shell's kernel says."""
    if value := environ.get("RSQL_BATCH", "").strip().lower():
        return value not in {"0", "false", "no", "off"}
    # nbconvert, nbclient and papermill tell the kernel that nobody can answer `input()`.
    kernel = getattr(shell, "kernel", None)
    return kernel is not None and not getattr(kernel, "_allow_stdin", True)
