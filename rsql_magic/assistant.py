"""Assistant: what the magics, the panel and the functions of one notebook share, and the two things it does.

``ask`` and ``sql_ai`` here are the whole road of a question: context, request, check, repair, result. The magics only
read their line and show what comes back.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING, Any, Literal, cast

from rsql_magic import charts, connect, drafts, prompts
from rsql_magic.answers import Answer, blocks_of, check_blocks, parse_python, parse_sql
from rsql_magic.batch import ReplayFile, is_batch
from rsql_magic.chat import INTERRUPTED, Chat, Reply, filtered, restored, usage_of
from rsql_magic.client import LLMClient, ReplayingClient
from rsql_magic.config import Rsql
from rsql_magic.connections import Connections
from rsql_magic.context import count_tokens, describe, gather
from rsql_magic.context.cells import error_text
from rsql_magic.display import Screen
from rsql_magic.errors import AnswerCut, BadInput, GatewayError, GatewayUnreachable, RsqlError, Stopped
from rsql_magic.interpolate import interpolate
from rsql_magic.sql_writer import Wish, Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from rsql_magic.client import Client, Message
    from rsql_magic.context import Catalog, Context, Privacy
    from rsql_magic.results import SQLResult

LEVELS: tuple[Privacy, ...] = ("names", "stats", "sample")

_LANGUAGES = {
    "auto": "Use the language of the user's own code when it can be seen, else Python for frames and R for R objects.",
    "r": "Write R.",
    "python": "Write Python.",
    "sql": "Write SQL.",
}


@dataclass(frozen=True)
class Scene:
    """The notebook as a question finds it.

    Args:
        namespace: Variables by name, the user's and those of the function around the cell.
        cells: Sources of the cells run so far.
        error: The last error, an exception or text; None when there was none.
    """

    namespace: Mapping[str, Any] = field(default_factory=dict)
    cells: Sequence[Any] = ()
    error: BaseException | str | None = None


@dataclass(frozen=True)
class Preview:
    """What would be sent, and its size.

    Args:
        messages: The messages, letter by letter.
        tokens: Their estimated tokens.
    """

    messages: tuple[Message, ...]
    tokens: int

    def __str__(self) -> str:
        parts = [f"[{message['role']}]\n{message['content']}" for message in self.messages]
        return "\n\n".join([*parts, f"≈ {self.tokens:,} tokens. Nothing was sent."])


class Assistant:
    """The shared part of one notebook.

    Args:
        settings: The settings; read at each use, so that ``%config Rsql`` works at once.
        environ: The environment.
        batch: Whether nobody watches; None finds out from the environment alone.
        client: A client to use in place of looking for a gateway.
        clock: Source of time, in seconds.
    """

    def __init__(
        self,
        settings: Rsql | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        batch: bool | None = None,
        client: LLMClient | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings or Rsql()
        self.environ = os.environ if environ is None else environ
        self.batch = is_batch(None, self.environ) if batch is None else batch
        self.clock = clock
        self.connections = Connections()
        self.chat = Chat(lambda: self.client, history_tokens=self.settings.history_tokens, clock=clock)
        self._given = client
        self._said: set[str] = set()
        self._gateway: LLMClient | None = None
        self._address: connect.Address | None = None
        self._floor: Privacy | Literal[""] | None = None

    # The gateway.

    @cached_property
    def _embedded(self) -> connect.Embedded:
        return connect.Embedded(self.environ, self.settings.start_timeout)

    @cached_property
    def _replay(self) -> ReplayFile | None:
        return ReplayFile.from_environ(self.environ)

    @property
    def client(self) -> Client:
        """The client to ask: the gateway's, behind the file of ``RSQL_REPLAY`` where there is one."""
        if self._replay is None:
            return self.gateway
        return ReplayingClient(None if self._replay.mode == "replay" else self.gateway, self._replay)

    @property
    def gateway(self) -> LLMClient:
        """The gateway's client; found, or started, at first use.

        Raises:
            GatewayUnreachable: There is none, and none may be started.
        """
        if self._given is not None:
            return self._given
        if self._gateway is None or (self._address and self._address.how == "embedded" and not self._embedded.running):
            self._use(self._find())
        return cast("LLMClient", self._gateway)

    @property
    def address(self) -> connect.Address | None:
        """Where the gateway is, once it was found."""
        return self._address

    def use_gateway(self, url: str, token: str = "") -> connect.Address:
        """Use the gateway at a URL from now on; it is asked once whether it is there and takes the token.

        Raises:
            BadInput: Not a URL.
            GatewayError: Nothing answers there, or the token is refused. What was used before stays in use.
        """
        address = connect.Address(connect.base_url(url), token or self.environ.get("RSQL_GATEWAY_TOKEN", ""))
        self._client_of(address).models()
        self._use(address)
        return address

    def _use(self, address: connect.Address) -> None:
        """Send requests there."""
        self._given = None
        if self._gateway is not None:
            self._gateway.close()
        self._address, self._gateway, self._floor = address, self._client_of(address), None

    def _client_of(self, address: connect.Address) -> LLMClient:
        return LLMClient(address.url, address.token, interactive=not self.batch, timeout=self.settings.timeout)

    def _find(self) -> connect.Address:
        if address := connect.named(self.environ, self.settings.gateway_url):
            return address
        for offer in connect.handed(self.environ, self.settings.hub_service):
            if self._answers(offer):
                return offer
        if not self.settings.embedded:
            raise GatewayUnreachable("There is no gateway.", hint="Name one: %rsql connect URL.")
        return self._embedded.address()

    def _answers(self, offer: connect.Address) -> bool:
        with closing(self._client_of(offer)) as client:
            try:
                client.get("health", timeout=2.0)
            except GatewayError:
                return False
        return True

    def close(self) -> None:
        """Let go of connections and of the embedded gateway."""
        if self._gateway is not None:
            self._gateway.close()
        self.connections.close()
        if "_embedded" in self.__dict__:
            self._embedded.close()
        self._gateway = self._address = None

    # Asking.

    def ask(
        self,
        question: str,
        *,
        scene: Scene | None = None,
        names: Sequence[str] = (),
        model: str | None = None,
        lang: str = "",
        privacy: Privacy | None = None,
        context: bool = True,
        timeout: float | None = None,
        new: bool = False,
        format: str = "",  # noqa: A002 - the option's name
        about_error: bool = False,
        screen: Screen | None = None,
    ) -> Answer:
        """Answer a question about what the notebook holds.

        Args:
            question: The question, with any ``{{name}}`` fields.
            scene: The notebook.
            names: Names that must be described, whatever they cost.
            model: Model or alias; None for the configured one.
            lang: Language of code; empty for the configured one.
            privacy: How much of the data may leave; None for the configured level.
            context: Whether to describe the notebook at all.
            timeout: Most seconds without a word from the gateway.
            new: Whether to forget the conversation first.
            format: How the answer is shown; empty for the configured way.
            about_error: Whether the last error is what the question is about.
            screen: Where the answer is shown as it comes.

        Raises:
            RsqlError: One of its kinds; see ``rsql_magic.errors``.
        """
        scene, screen = scene or Scene(), screen or Screen()
        self._begin(new)
        with ending(screen):
            screen.status("reading")
            asked = self.filled(question, scene, privacy)
            self._learn_floor()
            gathered = self._gather(asked, scene, names, privacy, about_error) if context else None
            messages = self._question(asked, gathered.text if gathered else "", lang)
            replies: list[Reply] = []
            live = Screen() if (format or self.settings.format) == "json" else screen  # half an object is no JSON
            send = partial(
                self._send, asked, replies, live, self.settings.resolve(model), timeout or self.settings.timeout
            )
            steps: Generator[list[Message], Reply, list[drafts.Attempt[Reply, str]]] = drafts.write(
                messages,
                read=lambda reply: reply.text,
                check=self._check_code,
                repair=partial(self._ask_again, live),
                retries=1 if self.settings.check_code else 0,
            )
            problems: tuple[str, ...] = ()
            ended_by: RsqlError | None = None
            try:
                problems = drafts.drive(steps, send)[-1].problems
            except (Stopped, AnswerCut) as error:
                ended_by = error
            self.chat.add(asked, replies)
            answer = self._answer(asked, replies, gathered, format)
            answer.problems, answer.ended_by = problems, ended_by
            screen.show(answer.shown(footer=self.settings.usage_line))
            return answer

    def _begin(self, new: bool) -> None:
        self.chat.history_tokens = self.settings.history_tokens
        if new:
            self.chat.reset()

    def preview(
        self,
        question: str,
        *,
        scene: Scene | None = None,
        names: Sequence[str] = (),
        lang: str = "",
        privacy: Privacy | None = None,
        context: bool = True,
        about_error: bool = False,
    ) -> Preview:
        """What ``ask`` would send; nobody is asked."""
        scene = scene or Scene()
        asked = self.filled(question, scene, privacy)
        gathered = self._gather(asked, scene, names, privacy, about_error) if context else None
        return _preview(self._question(asked, gathered.text if gathered else "", lang))

    def filled(self, question: str, scene: Scene, privacy: Privacy | None = None) -> str:
        """The question with its ``{{names}}`` filled in.

        Raises:
            BadInput: It is empty or too long, or a name stands for nothing.
        """
        text = interpolate(
            question.strip(),
            scene.namespace,
            describe=lambda value, name: describe(value, name, privacy or self.settings.privacy),
            error=error_text(scene.error),
            limit=self.settings.max_value_chars,
        )
        if not text:
            raise BadInput("There is no question.", hint="Write it below the first line.")
        if len(text) > self.settings.max_question_chars:
            raise BadInput(
                f"The question has {len(text):,} characters; at most {self.settings.max_question_chars:,} are sent.",
                hint="Shorten it, or pass the data as a frame and name that.",
            )
        return text

    def gather(self, question: str, scene: Scene, names: Sequence[str] = (), privacy: Privacy | None = None) -> Context:
        """What a model would be told about the notebook."""
        return self._gather(question, scene, names, privacy, about_error=False)

    def _gather(
        self, question: str, scene: Scene, names: Sequence[str], privacy: Privacy | None, about_error: bool
    ) -> Context:
        return gather(
            question,
            scene.namespace,
            names=names,
            level=self.level(privacy),
            budget=self.settings.context_tokens,
            catalog=self._catalog(privacy),
            cells=scene.cells,
            error=scene.error if about_error else None,
        )

    def _catalog(self, privacy: Privacy | None) -> Catalog | None:
        """The catalog of the connection in use, when one is open: asking must not open a database."""
        engine = self.connections.current
        return engine.catalog(self.level(privacy)) if engine else None

    def level(self, privacy: Privacy | None = None) -> Privacy:
        """The privacy level in force: the one asked for, unless the gateway's policy allows less."""
        asked: Privacy = privacy or self.settings.privacy
        return min(asked, self._floor or asked, key=LEVELS.index)

    def _learn_floor(self) -> None:
        """Ask the gateway once how much data its policy lets leave."""
        if self._floor is not None or (self._replay and self._replay.mode == "replay"):
            return
        try:
            told = self.gateway.get("stats", timeout=5.0).get("privacy_floor", "")
        except GatewayUnreachable:
            raise
        except (GatewayError, AttributeError):  # another kind of endpoint
            told = ""
        self._floor = told if told in LEVELS else ""

    def _question(self, asked: str, context: str, lang: str) -> list[Message]:
        system = prompts.render("ask", lang=_LANGUAGES[lang or self.settings.lang])
        return self.chat.messages(system, prompts.render("question", context=context, question=asked).strip())

    def _send(
        self,
        asked: str,
        replies: list[Reply],
        screen: Screen,
        model: str | None,
        timeout: float,
        messages: list[Message],
    ) -> Reply:
        reply = Reply()
        replies.append(reply)
        screen.status("asking")
        try:
            with closing(self.chat.stream(messages, reply, model=model, task="ask", timeout=timeout)) as events:
                for event in events:
                    screen.event(event)
        except KeyboardInterrupt as stop:  # also between two events, while the screen is drawn
            reply.interrupted = True
            raise stop if isinstance(stop, Stopped) else Stopped(STOPPED) from None
        reply.text = restored(reply.text, asked)
        return reply

    def _check_code(self, text: str) -> list[str]:
        return check_blocks(blocks_of(text), self._parsers) if self.settings.check_code else []

    @property
    def _parsers(self) -> dict[str, Callable[[str], str]]:
        engine = self.connections.current
        return {
            "python": parse_python,
            "r": _parse_r,
            "sql": partial(parse_sql, dialect=engine.dialect if engine else ""),
        }

    def _ask_again(self, screen: Screen, _: str, problems: Sequence[str]) -> str:
        screen.restart(f"correcting: {problems[0]}")
        return prompts.render("code_repair", problems="\n".join(f"- {problem}" for problem in problems))

    def _answer(self, asked: str, replies: Sequence[Reply], gathered: Context | None, format: str) -> Answer:  # noqa: A002
        redacted = sum((replies[0].redacted if replies else Counter()).values())
        redacted += sum(gathered.redactions.values()) if gathered else 0
        news = [note for note in (gathered.notes if gathered else ()) if note not in self._said]
        self._said.update(news)
        return Answer(
            replies[-1].text if replies else "",
            question=asked,
            usage=usage_of(replies),
            context=gathered.text if gathered else "",
            sources=tuple(gathered.sources) if gathered else (),
            notes=(*([f"{redacted} value{'' if redacted == 1 else 's'} redacted"] if redacted else []), *news),
            format=format or self.settings.format,
        )

    # Asking a database.

    def sql_ai(
        self,
        question: str,
        connection: Any = None,
        *,
        scene: Scene | None = None,
        wish: Wish | None = None,
        new: bool = False,
        screen: Screen | None = None,
    ) -> SQLResult:
        """Answer a question by a query: written, checked, repaired, run.

        Args:
            question: The question, with any ``{{name}}`` fields.
            connection: A name, a URL, or a connection itself; None for the last one, JupySQL's, or the live frames.
            scene: The notebook.
            wish: What is wanted beside the question.
            new: Whether to forget the conversation first.
            screen: Where progress and result are shown.

        Raises:
            RsqlError: One of its kinds; see ``rsql_magic.errors``.
        """
        screen = screen or Screen()
        self._begin(new)
        with ending(screen):
            self._learn_floor()
            writer, said = self._writer(question, connection, scene or Scene(), wish, screen)
            result = writer.run()
            result.footnotes = tuple(part for part in (said, *result.footnotes) if part)
            screen.show(result.shown(footer=self.settings.usage_line))
            if result.chart is not None:
                screen.also(charts.bundle(result.chart, png=screen.draws))
        return result

    def sql_preview(
        self, question: str, connection: Any = None, *, scene: Scene | None = None, wish: Wish | None = None
    ) -> Preview:
        """What ``sql_ai`` would send first; nobody is asked."""
        writer, _ = self._writer(question, connection, scene or Scene(), wish, Screen())
        return _preview(writer.messages())

    def _writer(
        self, question: str, connection: Any, scene: Scene, wish: Wish | None, screen: Screen
    ) -> tuple[Writer, str]:
        wish = wish or self.wish()
        wish = replace(wish, question=self.filled(question, scene, wish.level), level=self.level(wish.level))
        engine, said = self.connections.engine("" if connection is None else connection, scene.namespace, wish.question)
        return Writer(wish, engine, self.chat, screen=screen, clock=self.clock), said

    def wish(
        self,
        *,
        tables: Sequence[str] | None = None,
        model: str | None = None,
        run: bool = True,
        explain: bool = False,
        plot: Any = None,
        max_rows: int | None = None,
        retries: int | None = None,
        timeout: float | None = None,
        dialect: str | None = None,
        level: Privacy | None = None,
    ) -> Wish:
        """What is wanted of a query: what was given, and the settings for what was left open."""
        settings = self.settings
        _refuse_odd(max_rows, retries, timeout, plot, dialect)
        return Wish(
            "",
            tables=tuple(tables or ()),
            model=settings.resolve(model),
            retries=settings.retries if retries is None else retries,
            run=run,
            max_rows=settings.max_rows if max_rows is None else max_rows,
            timeout=settings.query_timeout if timeout is None else timeout,
            silence=settings.timeout,
            plot=plot,
            explain=explain,
            dialect=(dialect or "").lower(),
            level=self.level(level),
            schema_tokens=settings.schema_tokens,
            shown_rows=settings.shown_rows,
            shown_columns=settings.shown_columns,
        )


@cache
def of_process() -> Assistant:
    """The one assistant of a process without our magics, such as a script: its embedded gateway is started once."""
    return Assistant()


def _refuse_odd(
    max_rows: int | None, retries: int | None, timeout: float | None, plot: str | None, dialect: str | None
) -> None:
    """Refuse numbers and names that make no sense, before anything is asked."""
    if max_rows is not None and max_rows < 1:
        raise BadInput("--max-rows is at least 1.", hint="--no-run writes the query without running it.")
    if retries is not None and retries < 0:
        raise BadInput("--retries is at least 0.", hint="0 allows no correction.")
    if timeout is not None and not timeout > 0:
        raise BadInput("--timeout is more than 0 seconds.", hint="Leave it out for the configured one.")
    if plot not in {None, "auto", *charts.KINDS}:
        raise BadInput(f"There is no chart of the kind {plot!r}.", hint=f"There are: {', '.join(charts.KINDS)}.")
    if dialect:
        from sqlglot.dialects import Dialects

        known = [name.value for name in Dialects if name.value]
        if dialect.lower() not in known:
            close = get_close_matches(dialect.lower(), known, 1)
            hint = f"Did you mean {close[0]}?" if close else f"There are: {', '.join(known)}."
            raise BadInput(f"There is no SQL dialect {dialect!r}.", hint=hint)


@contextmanager
def ending(screen: Screen) -> Iterator[None]:
    """Whatever goes wrong, the screen says so, and a stop is one line."""
    try:
        yield
    except KeyboardInterrupt as stop:
        screen.end(INTERRUPTED)
        raise stop if isinstance(stop, Stopped) else Stopped("Stopped.") from None
    except RsqlError:
        screen.end()
        raise


STOPPED = "Stopped; what had arrived is kept."


def _parse_r(code: str) -> str:
    """What R says; nothing where R cannot be asked."""
    from rsql_magic.context import r

    try:
        return r.parse_r(code) or "" if r.r_available() else ""
    except r.NoR:
        return ""


def _preview(messages: Sequence[Message]) -> Preview:
    sent, _ = filtered(messages)
    return Preview(tuple(sent), sum(count_tokens(message["content"]) for message in sent))
