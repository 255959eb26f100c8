"""``%rsql history``: the conversations that are kept, for people without the panel."""

from __future__ import annotations

import json
import shlex
import time
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsql_magic.display import CellOutput, listing, safe_markdown
from rsql_magic.errors import BadInput
from rsql_magic.options import COMMANDS
from rsql_magic.plain_text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rsql_magic.display import Screen
    from rsql_magic.gateway import Chat
    from rsql_magic.panel import Conversations, SharedImage

_USAGE = {
    "open": "open ID",
    "search": "search WORDS",
    "export": "export ID FILE",
    "rename": "rename ID NAME",
    "delete": "delete ID",
    "share": "share ID",
    "unshare": "unshare ID",
}
_SHOWN = 60  # most rows of a list
_SHORT = 6  # characters of an id in a list; as many as tell it apart are enough


@dataclass
class HistoryCommands:
    """What stands after ``%rsql history``; ``conversations`` gives those of the notebook."""

    conversations: Callable[[], Conversations]
    chat: Chat
    screen: Screen

    def run(self, line: str) -> None:
        """Carry out one line."""
        word, _, rest = line.partition(" ")
        rest = rest.strip()
        if not word:
            self.screen.say(str(self.chat) if len(self.chat) else "Nothing was asked yet.")
        elif word == "--save" and rest:
            self.screen.say(f"Saved in {_saved(self.chat, rest)}.")
        elif line in {"list", "forget", "forget copies"}:
            getattr(self, f"_{line.replace(' ', '_')}")()
        elif word in _USAGE and rest:
            getattr(self, f"_{word}")(rest)
        else:
            if usage := (_USAGE | {"--save": "--save FILE"}).get(word):
                raise BadInput(f"{word} needs {usage.removeprefix(word).strip()}.", hint=f"%rsql history {usage}.")
            hint = f"%rsql history {COMMANDS['history'][0].strip('[]')}."
            raise BadInput(f"%rsql history does not know {line}.", hint=hint)

    def _list(self, words: str = "") -> None:
        told = self._listed(words)
        rows = [_row(row) for row in [*told["here"], *told["elsewhere"]]]
        if not rows:
            kept = self.conversations().keeper
            why = kept.trouble or ("" if kept.writes else "None are kept here: see %config Rsql.conversations.")
            self.screen.say(f"{'Nothing was found.' if words else 'There are no conversations.'} {why}".strip())
            return
        columns = ("id", "title", "notebook", "questions", "last", *(["found"] if words else []))
        self.screen.show(listing([row[: len(columns)] for row in rows[:_SHOWN]], columns))
        if len(rows) > _SHOWN or not told["whole"]:
            self.screen.say("There may be more: %rsql history search WORDS finds them.")
        if held := self.conversations().copies.held():
            self.screen.say(held)

    def _listed(self, words: str = "") -> dict[str, Any]:
        conversations = self.conversations()
        return conversations.reader.listed(words, conversations.of_cells)

    def _search(self, words: str) -> None:
        self._list(words.strip("'\""))

    def _open(self, name: str) -> None:
        if "shared/" in name:
            self._open_shared(name)
            return
        thread = self.conversations().find(self._id(name))
        text = thread.markdown
        before = f"\n\n{thread.earlier:,} questions before these: %rsql history export writes all." * bool(
            thread.earlier
        )
        self.screen.show(_said(f"{text}{before}"))

    def _open_shared(self, link: str) -> None:
        who, title, pairs = self.conversations().copies.shared(link)
        # Pictures stand between the texts that they belong to.
        outputs, text = list[CellOutput](), f"# {title} ({who})"
        for pair, images in pairs:
            text = f"{text}\n\n---\n\n{pair.markdown}".lstrip()
            if images:
                outputs.append(_said(text))
                outputs += map(_pictured, images)
                text = ""
        self.screen.show_all([*outputs, *([_said(text)] if text else [])])

    def _share(self, name: str) -> None:
        self.conversations().keeper.flush(2.0)
        link, until = self.conversations().copies.share(self._kept_id(name))
        day = time.strftime("%Y-%m-%d", time.localtime(until))
        self.screen.say(f"Instructors of your group read it until {day}: %rsql history open {link}")

    def _unshare(self, name: str) -> None:
        self.conversations().copies.unshare(self._kept_id(name))
        self.screen.say("The link leads nowhere any more.")

    # As it is kept: that of the cells has another id there.
    def _kept_id(self, start: str) -> str:
        conversations, name = self.conversations(), self._id(start)
        thread = conversations.at_hand(name)
        return name if thread is None else conversations.keeper.id_of(thread)

    def _export(self, rest: str) -> None:
        name, file = _two(rest, "export")
        thread, path = self.conversations().whole(self._id(name)), Path(file).expanduser()
        if path.exists():
            raise BadInput(f"{path} is there already.", hint="Name a new file.")
        is_json = path.suffix.lower() == ".json"
        text = json.dumps(thread.as_dict(), indent=1, ensure_ascii=False, default=str) if is_json else thread.markdown
        try:
            path.write_text(f"{text if is_json else safe_markdown(text)}\n", encoding="utf-8")
        except OSError as problem:
            raise BadInput(f"{path} cannot be written: {problem.strerror}.", hint="Name another file.") from None
        self.screen.say(f"Wrote {thread.name} into {path}.")

    def _rename(self, rest: str) -> None:
        name, title = _two(rest, "rename")
        self.conversations().rename(self._id(name), title)
        self.screen.say(f"It is called {title} now.")

    def _delete(self, name: str) -> None:
        self.conversations().delete(self._id(name))
        self.screen.say(f"Deleted. {self.conversations().copies.settle()}".strip())

    def _forget(self) -> None:
        gone = self.conversations().forget()
        left = self.conversations().copies.settle()
        self.screen.say(f"Deleted {gone:,} conversation{'' if gone == 1 else 's'} of all notebooks. {left}".strip())

    def _forget_copies(self) -> None:
        copies = self.conversations().copies
        copies.forget_copies()
        self.screen.say(copies.settle() or "No copies of yours are at the gateway any more; conversations stay here.")

    # The whole id of what a list shows the beginning of.
    def _id(self, start: str) -> str:
        known = {thread.id for thread in self.conversations()}
        told = self._listed()
        known |= {row["id"] for row in [*told["here"], *told["elsewhere"]]}
        found = [start] if start in known else [name for name in known if name.startswith(start)]
        if len(found) != 1:
            wrong = (
                f"There is no conversation {start}" if not found else f"{len(found)} conversations begin with {start}"
            )
            raise BadInput(f"{wrong}.", hint="%rsql history list shows their ids.")
        return found[0]


def _said(text: str) -> CellOutput:
    return CellOutput(safe_markdown(text), printable(text))


def _pictured(image: SharedImage) -> CellOutput:
    words = {"text/plain": f"<{printable(image.description)}>"}
    return CellOutput(data={"image/png": b64encode(image.png).decode("ascii"), **words})


def _row(told: Mapping[str, Any]) -> tuple[str, ...]:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(told["changed"]))
    name = told["id"] if told["shared"] or "-" in told["id"] else told["id"][:_SHORT]
    return name, told["title"], told["notebook"], f"{told['turns']:,}", when, told["text"]


def _two(rest: str, what: str) -> tuple[str, str]:
    try:
        first, *more = shlex.split(rest)
    except ValueError:
        raise BadInput("A quotation mark is not closed.", hint=f"%rsql history {_USAGE[what]}.") from None
    if not more:
        raise BadInput(f"{what} needs {_USAGE[what].split(' ', 1)[1]}.", hint=f"%rsql history {_USAGE[what]}.")
    return first, " ".join(more)


# Write a conversation into a file of its own; another file is not written over.
def _saved(chat: Chat, path: str) -> Path:
    file = Path(path.strip("'\"")).expanduser()
    try:
        if file.exists() and not file.read_bytes().startswith(b"# Conversation"):
            raise BadInput(f"{file} is no saved conversation.", hint="Name a new file.")
        file.write_text(f"{safe_markdown(chat.as_markdown())}\n", encoding="utf-8")
    except OSError as problem:
        raise BadInput(f"{file} cannot be written: {problem.strerror}.", hint="Name another file.") from None
    return file
