"""The chat panel: for people who would rather talk than type magics, with the same conversation, context and limits."""

# One `ChatPanel` has threads; the first is the notebook's own conversation, which the magics share. Its views, one in
# each page that shows it, send requests and receive what changes. A view is a page in a browser, so its messages are
# checked here: each public method of `_Conversing`, `_Answers` and `_Changing` is a request of that name.

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from contextvars import copy_context
from inspect import signature
from typing import TYPE_CHECKING, Any

from rsql_magic import reports
from rsql_magic.agent import NotebookCells
from rsql_magic.diagnostics import log
from rsql_magic.display import charts, safe_markdown
from rsql_magic.errors import BadInput, GatewayError, GatewayUnreachable, RsqlError, UnknownName
from rsql_magic.gateway import NO_GATEWAY
from rsql_magic.options import is_variable
from rsql_magic.panel import messages, outputs, uploads
from rsql_magic.panel.agent_turns import AgentTurns
from rsql_magic.panel.answer_task import MainThread, taking_turns
from rsql_magic.panel.cell_changes import CellChange, CellChanges
from rsql_magic.panel.conversations import Conversations
from rsql_magic.panel.failed_cell import FailedCell
from rsql_magic.panel.file_requests import FileRequests
from rsql_magic.panel.kept.making import of_outputs, of_picture
from rsql_magic.panel.questions import Message, Questions
from rsql_magic.panel.sharing_requests import SharingRequests
from rsql_magic.panel.suggestions import Suggestions
from rsql_magic.plain_text import printable, with_whole_characters

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rsql_magic.answers import NotebookSnapshot
    from rsql_magic.assistant import Assistant
    from rsql_magic.panel.comm_views import CommViews
    from rsql_magic.panel.threads import MessagePair, Thread

# The output in front ends that do not draw the panel.
_ABSENT = "The chat panel; run the cell to open it. %rsql history prints what was said."
# The thread that views' messages come by, on older kernels the main one, waits for no gateway, cell, frame or file, so
# that a stop gets through. In it is answered what stops something, and what is known at once.
AT_ONCE = frozenset({"stop", "change_stop", "suggest_stop", "cell", "formulas", "colours", "place", "piece"})
# What draws and changes conversations, one after the other: a view draws the last reply that comes.
IN_ORDER = frozenset({"hello", "earlier", "moved", "new", "rename", "delete", "keep", "do_run", "do_decided"})
# Suggestions come one at a time, the latest in place of those before it; all other requests are answered side by side.

_MOST_PIECES = 200  # formulas, or blocks of code, of one request
_LONGEST_MESSAGE = 400_000  # characters; the setting for questions is checked later, when names are filled in


class ChatPanel:
    """A chat about the notebook.

    ``keep`` writes the conversation into the notebook's file, for nbconvert and for others to read.

    Example:
        >>> from rsql_magic import ChatPanel  # doctest: +SKIP
        >>> ChatPanel()  # doctest: +SKIP
    """

    def __init__(
        self,
        assistant: Assistant,
        snapshot: Callable[[], NotebookSnapshot],
        *,
        shell: Any = None,
        keep: bool = False,
        threads: Conversations | None = None,
    ) -> None:
        self.assistant = assistant
        self.snapshot = snapshot
        self.shell = shell
        self.main_thread = MainThread.of(shell)
        self.threads = Conversations(assistant) if threads is None else threads
        self._owns_threads = threads is None
        self.threads.watchers.append(self._told)
        self.threads.listed.append(self.push_heads)
        self.questions = Questions(self)
        self.changes = CellChanges(self)
        self.suggestions = Suggestions(self)
        self.turns = AgentTurns(self)
        self.uploads = uploads.Uploads()
        self._in_order = ThreadPoolExecutor(1, thread_name_prefix="rsql-panel-in-order")
        self._beside = ThreadPoolExecutor(8, thread_name_prefix="rsql-panel")
        self._while_open = ExitStack()
        self._while_open.enter_context(taking_turns())
        self._widget: Any = None
        self._keep = keep
        self._transcript: Any = None

    @property
    def namespace(self) -> dict[str, Any]:
        """The user's variables."""
        return self.shell.user_ns if self.shell is not None else {}

    def knows_magic(self, magic: str) -> bool:
        """Whether the shell has a cell magic, such as ``%%sql``."""
        return self.shell is None or self.shell.find_cell_magic(magic.lstrip("%")) is not None

    # Showing.

    def show(self) -> None:
        """Show a view below the cell; the conversation as text where no front end draws it."""
        from IPython.display import DisplayHandle, display

        if self.assistant.batch or getattr(self.shell, "kernel", None) is None:
            bundle = {"text/plain": printable(str(self)), "text/markdown": safe_markdown(self.markdown)}
            display(bundle, raw=True)  # type: ignore[no-untyped-call]
            return
        self.open()
        display({**self._widget.mimebundle, "text/plain": _ABSENT}, raw=True)  # type: ignore[no-untyped-call]
        # Only a cell that runs can make an output; later it can be changed from anywhere.
        self._transcript = DisplayHandle()  # type: ignore[no-untyped-call]
        self._transcript.display(self._kept, raw=True)

    _ipython_display_ = show

    def open(self, **options: Any) -> None:
        """Make the widget that views belong to, without showing one; options are the widget's, such as ``model_id``."""
        if self._widget is None:
            from rsql_magic.panel.widget import PanelWidget

            self._widget = PanelWidget(self.receive, **options)

    def attach(self, views: CommViews) -> None:
        """Talk to views that need no widget."""
        self._widget = views

    @property
    def markdown(self) -> str:
        """All conversations of the panel as Markdown."""
        conversations = [thread.markdown for thread in self.threads if thread.pairs]
        return "\n\n".join(conversations) or "*Nothing has been said yet.*"

    def __repr__(self) -> str:
        turns = sum(len(thread.pairs) for thread in self.threads)
        return f"<ChatPanel threads={len(self.threads)} turns={turns}>"

    def __str__(self) -> str:
        hint = "The chat panel needs a notebook; here %ask asks, and %rsql history tells what was said."
        return "\n\n".join([hint, *(thread.markdown for thread in self.threads if thread.pairs)])

    @property
    def keep(self) -> bool:
        """Whether the conversation is written into the notebook's file."""
        return self._keep

    @keep.setter
    def keep(self, on: bool) -> None:
        self._keep = on
        self.write_transcript()

    def write_transcript(self) -> None:
        """Update the transcript's own output: a change of the panel's would draw the panel anew."""
        if self._transcript is not None:
            self._transcript.update(self._kept, raw=True)

    @property
    def _kept(self) -> dict[str, str]:
        if not self._keep:
            return {"text/markdown": "", "text/plain": ""}
        folded = f"<details><summary>Conversation</summary>\n\n{safe_markdown(self.markdown)}\n\n</details>"
        return {"text/markdown": folded, "text/plain": printable(self.markdown)}

    def close(self) -> None:
        """Stop running answers, and take the panel from its views."""
        self.questions.close()
        self.changes.close()
        self.suggestions.close()
        self.turns.close()
        self.threads.watchers.remove(self._told)
        self.threads.listed.remove(self.push_heads)
        if self._owns_threads:
            self.threads.close()
        for answering in (self._in_order, self._beside):
            answering.shutdown(wait=False, cancel_futures=True)
        self._while_open.close()
        if self._widget is not None:
            self._widget.close()

    # Talking to views.

    @property
    def view_id(self) -> str:
        """The name by which front ends know the widget."""
        return str(self._widget.model_id) if self._widget is not None else ""

    def receive(self, message: dict[str, Any]) -> None:
        """Take a view's message; the reply goes to all views, and those that did not ask pass it over."""
        if not known(name := message.get("do")):
            return
        if name in AT_ONCE:
            self._reply(message)
            return
        answering = self._in_order if name in IN_ORDER else self._beside
        if name == "change":
            self.changes.stops.expect(str(message.get("change")))
        elif name == "suggest":
            answering = self.suggestions.expect(str(message.get("suggest")))
        answering.submit(copy_context().run, self._reply, message)

    def _reply(self, message: dict[str, Any]) -> None:
        reply = self.answer(message)
        try:
            self.send(reply)
        except Exception as error:
            log.exception("a reply of the panel cannot be sent")
            reason = f"The panel's reply cannot be sent ({type(error).__name__})."
            self.send({"error": {"message": reason, "hint": "Try again."}, "n": message.get("n")})

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """Carry out ``{"do": NAME, "n": ID, …arguments}``; the reply has ``n`` and, where it failed, ``error``."""
        name = str(message["do"])
        part = next(part for part in _REQUESTS if hasattr(part, name))(self)
        arguments = {name: value for name, value in message.items() if name not in {"do", "n"}}
        request = getattr(part, name)
        try:  # an argument that is not known is an older or newer view's; any other error is the panel's own
            bound = signature(request).bind(**arguments)
        except TypeError as error:
            reason = f"The panel did not understand its view ({error})."
            return {"error": {"message": reason, "hint": "Reload the page."}, "n": message.get("n")}
        try:
            reply = request(*bound.args, **bound.kwargs) or {}
        except RsqlError as error:
            reply = {"error": {"message": error.message, "hint": error.hint, "kind": type(error).__name__}}
        except Exception as error:
            log.exception("the panel's request %s has failed", name)
            reason = f"The panel failed ({type(error).__name__}: {error})."
            reply = {"error": {"message": reason, "hint": "Try again."}}
        return {**reply, "n": message.get("n")}

    def send(self, content: Mapping[str, Any]) -> None:
        """Send a message to all views."""
        if self._widget is None:
            return
        try:
            self._widget.send(dict(content))
        except UnicodeEncodeError:  # half of a character, which programs print and models write
            self._widget.send(json.loads(with_whole_characters(json.dumps(content, ensure_ascii=False))))

    # A change of a question and its answer, for all views.
    def _told(self, thread: Thread, pair: MessagePair, kind: str, more: Mapping[str, Any]) -> None:
        if kind == "exchange":
            more = {"exchange": pair.as_dict()}
        self.send({"push": kind, "thread": thread.id, "id": pair.id, **more})

    def push_heads(self) -> None:
        """Send all views the list of threads, and what keeps conversations from being kept."""
        told = {"push": "threads", "threads": self.threads.heads(), "trouble": self.threads.copies.trouble}
        self.send(told)


# What a view may ask.


class _Conversing:
    """Requests about conversations and questions."""

    def __init__(self, panel: ChatPanel) -> None:
        self._panel = panel

    # Everything a new view needs; it tells where the notebook is, and ids of its cells, where it knows.
    def hello(self, *, thread: str = "", path: str = "", cells: Sequence[str] = ()) -> dict[str, Any]:
        panel = self._panel
        if path or cells:
            panel.threads.keeper.placed(path, cells)
        panel.threads.open()
        current = panel.threads.find(thread or panel.threads.current)
        panel.threads.refresh(current)
        panel.threads.current = current.id
        commands = messages.COMMANDS.items()
        return {
            "threads": panel.threads.heads(),
            "thread": current.id,
            "exchanges": [pair.as_dict() for pair in current.pairs],
            "earlier": current.earlier,
            "trouble": panel.threads.copies.trouble,
            "commands": [
                {"label": f"/{name}", "kind": one.takes, "detail": one.does, "offer": one.offer}
                for name, one in commands
            ],
            "model": panel.assistant.settings.resolve(None) or "",
            "keep": panel.keep,
            "widget": panel.view_id,
        }

    # The part of a long conversation before what a view has.
    def earlier(self, *, thread: str) -> dict[str, Any]:
        found = self._panel.threads.find(thread)
        pairs = self._panel.threads.reader.earlier(found)
        return {"exchanges": [pair.as_dict() for pair in pairs], "earlier": found.earlier}

    # The conversations that are kept, those of this notebook first; of a search, those that hold its words.
    def kept(self, *, words: str = "", further: Any = None) -> dict[str, Any]:
        from rsql_magic.panel.kept.search import Rest

        return self._panel.threads.reader.listed(words, self._panel.threads.of_cells, Rest.read(further))

    # The notebook has another name now.
    def moved(self, *, path: str, cells: Sequence[str] = ()) -> None:
        self._panel.threads.keeper.placed(path, cells)

    def new(self) -> dict[str, Any]:
        return self.hello(thread=self._panel.threads.new().id)

    # Give a conversation a name; one that another has already gets a number.
    def rename(self, *, thread: str, title: str) -> None:
        self._panel.threads.rename(thread, title)

    # Forget a conversation and stop its answer; the notebook's own is emptied.
    def delete(self, *, thread: str) -> dict[str, Any]:
        threads = self._panel.threads
        if (found := threads.at_hand(thread)) is not None:
            self._panel.questions.stop(found)
        threads.delete(thread)
        if self._panel.keep:
            self._panel.write_transcript()
        return self.hello()

    # Delete all conversations of all notebooks.
    def forget(self) -> dict[str, Any]:
        for thread in self._panel.threads:
            self._panel.questions.stop(thread)
        gone = self._panel.threads.forget()
        self._panel.threads.copies.settle()
        return {**self.hello(), "gone": gone}

    # Whether the conversation goes into the notebook's file.
    def keep(self, *, on: bool) -> None:
        self._panel.keep = bool(on)

    # Send a message; `replaces` names a pair that goes, with all after it, `seen` a preview of it.
    # `about` is a cell that failed (`FailedCell`), whose error is to be explained.
    def ask(
        self,
        *,
        thread: str,
        text: str,
        model: str = "",
        replaces: str = "",
        seen: str = "",
        about: Any = None,
        pictures: Any = (),
    ) -> dict[str, Any]:
        if len(text) > _LONGEST_MESSAGE:
            hint = "Put the data into a variable and name that."
            raise BadInput(f"The message has {len(text):,} characters.", hint=hint)
        message = Message(thread, text, model, replaces, FailedCell.read(about), pictures=uploads.pictures(pictures))
        return self._panel.questions.send(self._panel.threads.find(thread), message, seen)

    # Only a thread at hand has an answer that is on its way.
    def stop(self, *, thread: str) -> None:
        if (found := self._panel.threads.at_hand(thread)) is not None:
            self._panel.questions.stop(found)

    # The mentions of a message, each with what it adds, and the tokens of it all.
    def chips(self, *, thread: str, text: str) -> dict[str, Any]:
        return self._panel.questions.chips(self._panel.threads.find(thread), Message(thread, text))

    # Exactly what would be sent; `seen` is the name by which `ask` sends it as it is.
    def preview(
        self, *, thread: str, text: str, model: str = "", replaces: str = "", about: Any = None, pictures: Any = ()
    ) -> dict[str, Any]:
        message = Message(thread, text, model, replaces, FailedCell.read(about), pictures=uploads.pictures(pictures))
        return self._panel.questions.preview(self._panel.threads.find(thread), message)

    def models(self) -> dict[str, Any]:
        assistant = self._panel.assistant
        return {"models": [*assistant.settings.aliases, *assistant.locator.gateway.models()]}

    # What is left of the caller's limits and money, for the meter.
    def quota(self) -> dict[str, Any]:
        try:
            stats = self._panel.assistant.locator.gateway.get("stats", timeout=5.0)
        except GatewayError:
            return {}
        if not isinstance(stats, dict):
            return {}
        return {"limits": reports.nearest_limits(stats), "cost": stats.get("cost") or {}}


class _Writing:
    """Requests of somebody who writes a question: what it could be, what it can name, what goes with it."""

    def __init__(self, panel: ChatPanel) -> None:
        self._panel = panel

    # Three questions to begin with.
    def starters(self) -> dict[str, Any]:
        return {"questions": self._panel.questions.starters()}

    # What an `@` can stand for.
    def complete(self, *, prefix: str) -> dict[str, Any]:
        return {"items": self._panel.questions.completions(prefix)}

    # Where a table that was dropped would go, and the line that reads it; nothing is written yet.
    def place(self, *, name: str, size: int) -> dict[str, Any]:
        return self._panel.uploads.place(name, size, self._panel.namespace)

    # A piece of it, once the person has agreed.
    def piece(self, *, file: str, data: str, at: int, size: int) -> dict[str, Any]:
        return {"whole": self._panel.uploads.take(file, data, at, size)}

    # Whether the gateway answers, for a view whose question found none.
    def reach(self) -> dict[str, Any]:
        try:
            self._panel.assistant.locator.gateway.get("health", timeout=2.0)
        except GatewayUnreachable:
            return {"answers": False}
        except GatewayError as error:
            return {"answers": error.status not in NO_GATEWAY}
        return {"answers": True}


class _Answers:
    """Requests about answers: their code, tables, charts, ratings and exports."""

    def __init__(self, panel: ChatPanel) -> None:
        self._panel = panel

    # Run a block of code on the main thread; SQL on the connection it was written for. Pictures are kept with the
    # answer that the code is of; `agreed` are the sentences on what it does that were shown.
    def run(
        self,
        *,
        code: str,
        language: str = "",
        connection: str = "",
        thread: str = "",
        exchange: str = "",
        agreed: Sequence[str] = (),
    ) -> dict[str, Any]:
        panel = self._panel
        outputs.refuse_other_languages(language.lower())
        if language.lower() != "sql":  # which the guard reads
            panel.turns.let_run([outputs.as_cell(code, language.lower())], agreed)
        panel.questions.code_runs += 1
        found = panel.main_thread.call(
            lambda: outputs.run(
                code, language.lower(), shell=panel.shell, assistant=panel.assistant, connection=connection
            ),
            waiting=lambda: panel.send({"push": "wait", "text": "waiting for the running cell"}),
        )
        if (shown := panel.threads.at_hand(thread)) is not None:
            pair = shown.pair(exchange)
            panel.threads.keeper.changed(shown, made=lambda: of_outputs(pair, found))
        return {"outputs": found}

    # A block of code as a cell, after one that loads its magic where that is not known yet.
    def cell(self, *, code: str, language: str = "", connection: str = "") -> dict[str, Any]:
        source = outputs.as_cell(code, language, connection or self._connection)
        return {"cells": outputs.with_extensions([{"kind": "code", "source": source}], self._panel.knows_magic)}

    # A conversation as Markdown, as JSON, or as cells.
    def export(self, *, thread: str, form: str = "markdown") -> dict[str, Any]:
        found = self._panel.threads.whole(thread)
        if form == "cells":
            return {"cells": outputs.with_extensions(outputs.cells(found, self._connection), self._panel.knows_magic)}
        name = "-".join(re.findall(r"\w+", found.name.lower())[:8]) or "conversation"
        if form == "json":
            return {"text": outputs.as_json(found.as_dict()), "name": f"{name}.json"}
        return {"markdown": safe_markdown(found.markdown), "name": f"{name}.md"}

    @property
    def _connection(self) -> str:
        return self._panel.assistant.connections.in_use(self._panel.namespace)

    # Send the gateway the user's rating; `kept` is the file that a good query was kept in as verified.
    def rate(self, *, thread: str, exchange: str, rating: str, comment: str = "") -> dict[str, Any]:
        pair, assistant = self._pair(thread, exchange), self._panel.assistant
        if rating not in {"up", "down"}:
            raise BadInput("A rating is up or down.")
        if not pair.request_id:
            raise BadInput("The gateway gave this answer no number.", hint="Only its own answers can be rated.")
        body = {"request_id": pair.request_id, "rating": rating}
        assistant.locator.gateway.post("feedback", body | ({"comment": comment} if comment else {}))
        before, pair.rating = pair.rating, rating
        self._panel.threads.keeper.changed(self._panel.threads.find(thread), pair)
        if pair.query is not None and rating == "up":
            return {"kept": str(assistant.verify(pair.query))}
        if pair.query is not None and before == "up":
            assistant.unverify(pair.query)
        return {"kept": ""}

    # Keep a SQL answer's rows under another name too.
    def save(self, *, thread: str, exchange: str, name: str) -> dict[str, Any]:
        pair, name, namespace = self._pair(thread, exchange), name.strip(), self._panel.namespace
        if not is_variable(name):
            raise BadInput(f"{name!r} is not a name for a variable.", hint="Use letters, digits and _.")
        if (variable := str((pair.result or {}).get("variable") or "")) not in namespace:
            raise UnknownName("The rows are gone.", hint="Ask again to have them back.")
        namespace[name] = namespace[variable]
        pair.result = {**(pair.result or {}), "variable": name}
        self._panel.threads.keeper.changed(self._panel.threads.find(thread), pair)
        return {"variable": name}

    # The chart of a SQL answer: as Vega-Lite, or as a picture where a view cannot draw.
    def chart(self, *, thread: str, exchange: str, png: bool = False) -> dict[str, Any]:
        if (drawing := self._pair(thread, exchange).drawing) is None:
            return {}
        shown = {"image": charts.bundle(drawing).get("image/png", "")} if png else {"spec": charts.live(drawing)}
        return {"description": drawing.get("description", "chart"), **shown}

    # Formulas as MathML, in their order; pairs of TeX and whether it is a block.
    def formulas(self, *, tex: list[list[Any]]) -> dict[str, Any]:
        return {"mathml": [outputs.mathml(str(text), block=bool(block)) for text, block in tex[:_MOST_PIECES]]}

    # Blocks of code in colours, in their order; pairs of code and language.
    def colours(self, *, blocks: list[list[str]]) -> dict[str, Any]:
        return {"pieces": [outputs.coloured(str(code), str(name)) for code, name in blocks[:_MOST_PIECES]]}

    def _pair(self, thread: str, pair: str) -> MessagePair:
        return self._panel.threads.find(thread).pair(pair)


class _Doing:
    """Requests about turns of the assistant, which change the notebook when the user says so."""

    def __init__(self, panel: ChatPanel) -> None:
        self._panel = panel

    # Begin a turn: propose changes of the notebook (`NotebookCells`) for a task.
    def do(
        self, *, thread: str, text: str, notebook: Any, model: str = "", replaces: str = "", seen: str = ""
    ) -> dict[str, Any]:
        if len(text) > _LONGEST_MESSAGE:
            raise BadInput(f"The task has {len(text):,} characters.", hint="Say it in fewer words.")
        message = Message(thread, text, model, replaces, notebook=NotebookCells.read(notebook))
        return self._panel.questions.send(self._panel.threads.find(thread), message, seen)

    # Exactly what would be sent for it.
    def do_preview(
        self, *, thread: str, text: str, notebook: Any, model: str = "", replaces: str = ""
    ) -> dict[str, Any]:
        message = Message(thread, text, model, replaces, notebook=NotebookCells.read(notebook))
        return self._panel.questions.preview(self._panel.threads.find(thread), message)

    # Let cells of a proposal run; `agreed` are those changes whose effects the user said yes to, one by one.
    def do_run(self, *, thread: str, exchange: str, changes: list[str], agreed: list[str]) -> dict[str, Any]:
        return {"changes": self._panel.turns.release(self._pair(thread, exchange), changes, agreed)}

    # Run the cell of a change where it can change nothing, and tell what came of it (`Trial`).
    def do_try(self, *, thread: str, exchange: str, change: str) -> dict[str, Any]:
        return {"trial": self._panel.turns.attempt(self._pair(thread, exchange), change)}

    # Note what became of changes: `applied`, `rejected`, `outdated`, `undone`, by their ids.
    def do_decided(self, *, thread: str, exchange: str, states: dict[str, str], undo: Any = None) -> None:
        pair = self._pair(thread, exchange)
        self._panel.turns.decided(pair, states, undo)
        self._panel.threads.tell(self._panel.threads.find(thread), pair, "exchange")

    # Keep a picture that a cell of a proposal drew with it, in base64.
    def do_drew(self, *, thread: str, exchange: str, picture: str, number: int = 1) -> None:
        made = [of_picture(self._pair(thread, exchange), picture, int(number))]
        self._panel.threads.keeper.changed(self._panel.threads.find(thread), made=lambda: made)

    # What a cell of the assistant's, of this turn or any other, made before it was looked at, by names of its outputs.
    def as_made(self, *, outputs: list[str]) -> dict[str, Any]:
        return {"outputs": self._panel.turns.outputs.as_made(outputs)}

    # Tell the assistant what came of the cells that were run (`CellResult`); it may propose more.
    def do_results(self, *, thread: str, exchange: str, results: list[Any], notebook: Any) -> dict[str, Any]:
        found, pair = self._panel.threads.find(thread), self._pair(thread, exchange)
        return self._panel.questions.go_on(found, pair, results, NotebookCells.read(notebook))

    def _pair(self, thread: str, pair: str) -> MessagePair:
        return self._panel.threads.find(thread).pair(pair)


class _Changing:
    """Requests about the code of the notebook's cells, which a view changes when the user says so."""

    def __init__(self, panel: ChatPanel) -> None:
        self._panel = panel

    # Propose a change of `source`, a cell or a part of the `whole` one: its error mended (`about`), or as instructed.
    def change(
        self, *, change: str, source: str, about: Any = None, instruction: str = "", whole: str = "", seen: str = ""
    ) -> dict[str, Any]:
        asked = CellChange(source, FailedCell.read(about), instruction, whole)
        return self._panel.changes.propose(asked, str(change), seen)

    # Exactly what would be sent for it.
    def change_preview(
        self, *, source: str, about: Any = None, instruction: str = "", whole: str = ""
    ) -> dict[str, Any]:
        return self._panel.changes.preview(CellChange(source, FailedCell.read(about), instruction, whole))

    # What a cell would do beyond computing, a sentence each.
    def would_do(self, *, source: str) -> dict[str, Any]:
        return {"effects": [str(each) for each in self._panel.turns.effects(source)]}

    # Let cells run that the assistant wrote, and of which these sentences were shown.
    def let_run(self, *, sources: list[str], agreed: list[str]) -> None:
        self._panel.turns.let_run(sources, agreed)

    def change_stop(self, *, change: str) -> None:
        self._panel.changes.stops.stop(str(change))

    # Code for the cursor between two parts of a cell.
    def suggest(self, *, suggest: str, before: str, after: str) -> dict[str, Any]:
        return self._panel.suggestions.suggest(before, after, str(suggest))

    def suggest_stop(self, *, suggest: str) -> None:
        self._panel.suggestions.stops.stop(str(suggest))


_REQUESTS = (_Conversing, _Writing, _Answers, _Changing, _Doing, FileRequests, SharingRequests)


def known(name: Any) -> bool:
    """Whether there is such a request."""
    return isinstance(name, str) and not name.startswith("_") and any(hasattr(part, name) for part in _REQUESTS)
