"""Turns of the assistant that change the notebook: a task, its proposals, what was decided, results, the budget."""

# A turn begins with a task and goes on with the results of cells that were run, at most so many times; all of it takes
# of one budget. Nothing is changed or run here: the view does that when the user says so, and the kernel only lets it
# run what was agreed to (`release`), with a net below (`ConsentNet`).

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from rsql_magic import prompts
from rsql_magic.agent import Cage, ConsentNet, HeldOutputs
from rsql_magic.context import known_names
from rsql_magic.display import usage_line
from rsql_magic.errors import BadInput
from rsql_magic.gateway import TurnBudget
from rsql_magic.panel.answer_task import AnswerTask
from rsql_magic.plain_text import printable
from rsql_magic.redaction import message_without_data
from rsql_magic.sql import count_tokens, cut, fence, one_line

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from rsql_magic.agent import Change, Effect, NotebookCells
    from rsql_magic.answers import Preview
    from rsql_magic.assistant import Assistant
    from rsql_magic.panel.answer_task import _PanelScreen
    from rsql_magic.panel.chat_panel import ChatPanel
    from rsql_magic.panel.threads import MessagePair
    from rsql_magic.sql import Privacy

STATES = {
    "proposed": "not decided yet",
    "applied": "applied",
    "rejected": "rejected",
    "outdated": "not applied: the cell has changed meanwhile",
    "undone": "applied, and undone again",
}
_ENDS = {"ran": "it ran", "failed": "it failed", "stopped": "the analyst stopped it", "skipped": "it was not run"}
_OUTPUT_TOKENS, _EACH_OUTPUT = 3_000, 1_000  # of all outputs that go back, of one
_MOST_RESULTS = 50
_LONGEST_ERROR = 4_000  # characters
_LARGEST_UNDO = 4_000_000  # bytes; a view keeps a million characters
_PATIENCE = 2.0  # seconds to wait for the main thread, which knows R's functions
_UNWATCHED = ("%%R",)  # languages whose cells run outside of Python


@dataclass(eq=False)
class AgentTurn:
    """One task of the user's and what became of it.

    Attributes:
        task: As the user wrote it.
        budget: What it may take, and what it took.
        rounds: How many times results have gone back.
        most_rounds: How many times they may.
    """

    task: str
    budget: TurnBudget
    most_rounds: int
    rounds: int = 0
    changes: dict[str, Change] = field(default_factory=dict)  # of the last proposal, by id

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a view."""
        return {"round": self.rounds, "most_rounds": self.most_rounds, **self.budget.as_dict()}


@dataclass(frozen=True)
class CellResult:
    """What came of one cell that was run, as a view tells it."""

    change: str
    state: str
    outputs: tuple[str, ...] = ()
    error: tuple[str, str] | None = None  # name and message

    @classmethod
    def read(cls, given: Any) -> CellResult:
        """What a view tells.

        Raises:
            BadInput: It is of another form.
        """
        try:
            error = given.get("error")
            return cls(
                str(given["change"])[:20],
                given["state"] if given["state"] in _ENDS else "skipped",
                tuple(str(text) for text in given.get("outputs") or ())[:_MOST_RESULTS],
                (str(error["name"])[:200], str(error["value"])[:_LONGEST_ERROR]) if error else None,
            )
        except (KeyError, TypeError, AttributeError):
            raise BadInput("The panel did not understand the cells' results.", hint="Reload the page.") from None

    def text(self, title: str, level: Privacy, known: frozenset[str], tokens: int) -> str:
        """The result as a model may read it at a privacy level: what a cell printed leaves at ``sample`` only."""
        lines = [f"{title}: {_ENDS[self.state]}."]
        if self.error is not None:
            said = f"{self.error[0]}: {self.error[1]}".strip(": ")
            lines.append(printable(said) if level == "sample" else message_without_data(printable(said), known))
        texts = [text for text in self.outputs if text.strip()]
        if texts and level == "sample":
            lines += [cut(printable(text), min(tokens, _EACH_OUTPUT)) for text in texts]
        elif texts:
            lines.append(f"It showed {len(texts)} output{'s' * (len(texts) > 1)}, not told at this level of privacy.")
        return fence("result", title, "\n".join(lines))


@dataclass(eq=False)
class AgentTask(AnswerTask):
    """A running step of a turn: the task itself, or the results that went back."""

    turn: AgentTurn = field(kw_only=True)
    cells: NotebookCells = field(kw_only=True)
    told: str = field(default="", kw_only=True)  # the results and decisions that the step begins with

    def _build(self, *, lenient: bool, r: bool = True) -> Preview:  # noqa: ARG002 - there are no mentions
        self._snapshot = self._notebook
        question = self._assistant.question(
            self.told.replace("{{", "{ {") or self._command.text,
            self._snapshot,
            model=self.pair.requested_model or None,
            look=True,
        )
        self._question = question
        chat = self._thread.before(self._replaces)
        return self._assistant.proposals.preview(question, self._snapshot, self.cells, chat=chat, r=r)

    def _answer(self, screen: _PanelScreen) -> None:
        self.turn.budget.changed = self._tell
        screen.status("reading")
        self._assistant.locator.learn_policy()
        preview = self.prepare(waiting=lambda: screen.status("waiting for the running cell: it is read after that"))
        if (question := self._question) is None:
            return
        with self.turn.budget.working(self.stop):
            proposal = self._assistant.proposals.propose(
                question,
                self._snapshot,
                self.cells,
                self.turn.budget,
                screen=screen,
                chat=self._thread.chat,
                prepared=preview.prepared,
                executor=self._check,
                said=self.pair.question if self.told else "",
            )
        pair, found = self.pair, proposal.changes
        self.turn.changes = {change.id: change for change in found.changes}
        pair.answer = found.words
        pair.notes = tuple(filter(None, [proposal.looked]))
        pair.footer = usage_line(proposal.usage, notes=proposal.notes)
        pair.model, pair.request_id = proposal.usage.model, proposal.usage.request_id
        pair.changes = tuple({**change.as_dict(), "state": "proposed"} for change in found.changes)
        pair.agent = self.turn.as_dict()
        pair.state = "done"
        self._panel.turns.keep(pair, self.turn)

    def _tell(self) -> None:
        self.pair.agent = self.turn.as_dict()
        self._push("status", status=self.pair.status, agent=self.pair.agent)


class AgentTurns:
    """The turns of one panel, by the pair that holds their last proposal."""

    def __init__(self, panel: ChatPanel) -> None:
        self._panel = panel
        self._turns: dict[str, AgentTurn] = {}
        self.net = ConsentNet(panel.shell)
        self.cage = Cage()
        self.outputs = HeldOutputs.of(panel.shell)

    @property
    def _assistant(self) -> Assistant:
        return self._panel.assistant

    def begin(self, task: str) -> AgentTurn:
        """A new turn, with the budget that the settings give it."""
        settings = self._assistant.settings
        budget = TurnBudget(settings.do_calls, settings.do_seconds, settings.do_budget)
        return AgentTurn(task, budget, settings.do_rounds)

    def keep(self, pair: MessagePair, turn: AgentTurn) -> None:
        """Note the turn of a pair; it goes on from there only."""
        self._turns = {name: each for name, each in self._turns.items() if each is not turn} | {pair.id: turn}

    def of(self, pair: MessagePair) -> AgentTurn:
        """The turn whose last proposal a pair holds.

        Raises:
            BadInput: It has gone on, or the kernel was restarted.
        """
        if (turn := self._turns.get(pair.id)) is None:
            raise BadInput("This turn is over.", hint="Ask again for what is left to do.")
        return turn

    def release(self, pair: MessagePair, changes: Sequence[str], agreed: Sequence[str]) -> list[str]:
        """Let cells of a proposal run, those with effects only where each was agreed to; the sources, in order.

        Raises:
            BadInput: A change is not of the proposal, or nobody agreed to what it does.
        """
        turn = self.of(pair)
        if unknown := set(changes) - set(turn.changes):
            raise BadInput(f"There is no change {', '.join(sorted(unknown))}.", hint="Reload the page.")
        chosen = [turn.changes[name] for name in changes if turn.changes[name].type == "code"]
        for change in chosen:
            if change.effects and change.id not in agreed:
                reason = f"{change.title} {change.effects[0]}. That needs a yes of its own."
                raise BadInput(reason, hint="Say yes at the change, or leave it out.")
        self._expect_none(turn)
        for change in chosen:
            self._expect(change.source, change.effects)
        return [change.id for change in chosen]

    def attempt(self, pair: MessagePair, name: str) -> dict[str, Any]:
        """What a cell of a proposal does in a process of its own, where it can change nothing.

        Raises:
            BadInput: The change is not of the proposal, or a cell runs.
            CannotTry: This cell, or this system, does not allow it.
        """
        if (change := self.of(pair).changes.get(name)) is None or change.type != "code":
            raise BadInput(f"There is no cell of a change {name}.", hint="Reload the page.")
        panel = self._panel
        try:
            carried = panel.main_thread.call(
                lambda: self.cage.carried(change.source, panel.namespace), patience=_PATIENCE
            )
        except TimeoutError:
            raise BadInput("A cell is running.", hint="Try this one when that has ended.") from None
        return self.cage.run(change.source, carried).as_dict()

    def effects(self, source: str) -> tuple[Effect, ...]:
        """What a cell that the assistant wrote would do beyond computing."""
        panel = self._panel
        return self._assistant.proposals.effects(
            source, panel.namespace, executor=lambda work: panel.main_thread.call(work, patience=_PATIENCE)
        )

    def let_run(self, sources: Sequence[str], agreed: Collection[str]) -> None:
        """Let cells run that the assistant wrote and the user takes; ``agreed`` is what she was shown that they do.

        Raises:
            BadInput: One would do something that she was not shown.
        """
        found = {source: self.effects(source) for source in sources}
        if unseen := [str(each) for effects in found.values() for each in effects if str(each) not in agreed]:
            raise BadInput(f"This code {'; '.join(unseen)}. That needs a yes of its own.", hint="Nothing was run.")
        for source, effects in found.items():
            self._expect(source, effects)

    # The next run of a cell with this text is watched, and what it shows is looked at.
    def _expect(self, source: str, effects: Sequence[Effect]) -> None:
        self.outputs.expect(source)
        if not source.lstrip().startswith(_UNWATCHED):
            more = {"files", "network"} if source.lstrip().startswith("%%sql") else set[str]()
            self.net.arm(source, {each.kind for each in effects} | more)

    # What was not run of a turn is the user's own.
    def _expect_none(self, turn: AgentTurn) -> None:
        self.net.disarm()
        self.outputs.forget([change.source for change in turn.changes.values()])

    def decided(self, pair: MessagePair, states: Mapping[str, str], undo: Mapping[str, Any] | None = None) -> None:
        """Note what became of changes, for the conversation, and what takes them back: empty for nothing any more.

        Raises:
            BadInput: A state that there is not, or more than is kept of what takes them back.
        """
        if undo is not None:
            if not isinstance(undo, dict) or len(msgspec.json.encode(undo)) > _LARGEST_UNDO:
                raise BadInput("What takes the changes back cannot be kept.", hint="Undo them before the page is left.")
            pair.undo = undo or None
        if unknown := set(states.values()) - set(STATES):
            raise BadInput(f"There is no state {', '.join(sorted(unknown))!r}.", hint="Reload the page.")
        pair.changes = tuple({**each, "state": states.get(each["id"], each["state"])} for each in pair.changes)

    def results(self, pair: MessagePair, given: Sequence[Any]) -> tuple[AgentTurn, str]:
        """The next step of a turn, and what it tells the model of the cells that were run.

        Raises:
            BadInput: The turn is over, or has gone on as often as it may.
        """
        turn, results = self.of(pair), [CellResult.read(each) for each in given[:_MOST_RESULTS]]
        self._expect_none(turn)
        if turn.rounds >= turn.most_rounds:
            hint = "Ask again for what is left to do, or raise %config Rsql.do_rounds."
            raise BadInput(f"Results have gone back {turn.most_rounds} times in this turn.", hint=hint)
        assistant, level = self._assistant, self._assistant.locator.most(self._assistant.settings.privacy)
        known = known_names(self._panel.namespace, assistant.catalog_in_use())
        left, shown = _OUTPUT_TOKENS, list[str]()
        for result in results:
            if (change := turn.changes.get(result.change)) is None or left <= 0:
                continue
            shown.append(result.text(change.title, level, known, left))
            left -= count_tokens(shown[-1])
        states = {each["id"]: each["state"] for each in pair.changes}
        decided = [
            f"- {change.title} ({one_line(change.reason, 200)}): {STATES[states.get(change.id, 'proposed')]}"
            for change in turn.changes.values()
        ]
        told = prompts.render(
            "do_results", task=turn.task, decided="\n".join(decided), results="\n\n".join(shown) or "Nothing was run."
        )
        turn.rounds += 1
        return turn, told

    def close(self) -> None:
        """Watch no more cells."""
        self.net.close()
        self.cage.close()
