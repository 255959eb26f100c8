"""An error as it is met, and the advice it gets."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...request import Described
    from ..notebook import Notebook


@dataclass(frozen=True)
class Advice:
    """What happened, what to do, and code that does it.

    Args:
        what: What went wrong, in a sentence or two.
        fix: What to do next.
        code: Code to run instead, or empty.
        language: Language of the code.
    """

    what: str
    fix: str = ""
    code: str = ""
    language: str = "python"


@dataclass(frozen=True)
class Trouble:
    """An error with the notebook around it.

    Args:
        notebook: The notebook.
        kind: Name of the exception, empty for R and SQL.
        message: The message without it.
        text: All that is known of the error.
    """

    notebook: Notebook
    kind: str
    message: str
    text: str

    @cached_property
    def line(self) -> str:
        """The line of the user's code that failed, as far as it is known."""
        lines = re.findall(r"^line \d+ in [^:\n]+: (.+)$", self.text, re.MULTILINE)
        arrows = re.findall(r"^-+> *\d+ (.+)$", self.text, re.MULTILINE)
        found = [*lines, *arrows]
        return found[-1].strip() if found else ""

    @property
    def source(self) -> str:
        """The cell that failed, else its failing line."""
        cells = reversed(self.notebook.request.cells)
        return next((cell for cell in cells if not self.line or self.line in cell), self.line)

    @cached_property
    def columns(self) -> list[str]:
        """Names of the columns of the Python frames that the failing code mentions, else of all of them."""
        return [column.name for frame in self._frames for column in frame.columns]

    @cached_property
    def _frames(self) -> list[Described]:
        frames = [frame for frame in self.notebook.frames if not frame.is_r]
        mentioned = [frame for frame in frames if re.search(rf"(?<!\w){re.escape(frame.name)}(?!\w)", self.source)]
        return mentioned or frames

    @cached_property
    def names(self) -> list[str]:
        """Names of the objects there are, and of those that cells assign."""
        code = "\n".join(self.notebook.request.cells)
        assigned = re.findall(r"^\s*([A-Za-z.][\w.]*)\s*(?:=(?!=)|<-)", code, re.MULTILINE)
        return list(dict.fromkeys([*(item.name for item in self.notebook.objects), *assigned]))

    def filled(self, code: str) -> str:
        """Code with the frame and the column it is about; empty when they are not known."""
        frames = self._frames
        if "{df}" not in code:
            return code
        if len(frames) != 1:
            return ""
        columns = [
            column.name for column in frames[0].columns if re.search(rf"['\".]{re.escape(column.name)}\b", self.source)
        ]
        if "{column}" in code and not columns:
            return ""
        return code.replace("{df}", frames[0].name).replace("{column}", columns[-1] if columns else "")

    def corrected(self, old: str, new: str, *, quoted: bool = False) -> str:
        """The failing code with one name put right; empty when it does not stand there exactly once or plainly.

        Strings of a cell may have been left out of the prompt as ``'…'``; one such gap is taken for the wrong name.
        """
        code = self.line or self.source
        for source in dict.fromkeys([self.source, code]):
            fixed = _replaced(source, old, new, quoted=quoted)
            if fixed != source and "…" not in fixed:
                return _MAGIC_OF_R.sub("", fixed)
        return ""


_MAGIC_OF_R = re.compile(r"\A\s*%%R\b.*\n")  # a block marked as R holds what R can parse


def _replaced(source: str, old: str, new: str, *, quoted: bool) -> str:
    if quoted:
        pattern = re.compile(rf"(['\"]){re.escape(old)}\1")
        if pattern.search(source):
            return pattern.sub(lambda match: f"{match[1]}{new}{match[1]}", source)
        return (
            re.sub(r"(['\"])…\1", lambda match: f"{match[1]}{new}{match[1]}", source)
            if source.count("…") == 1
            else source
        )
    return re.sub(rf"(?<![\w.]){re.escape(old)}(?!\w)", lambda _match: new, source)


def _filled(text: str, groups: dict[str, str | None]) -> str:
    for name, value in groups.items():
        text = text.replace("{" + name + "}", value or "")
    return text.replace(" .", ".")


Explainer = Callable[[Trouble, re.Match[str]], Advice | None]


@cache
def _words() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("messages.toml").read_text(encoding="utf-8"))


def known_names(table: str) -> dict[str, str]:
    """The names of a table of ``messages.toml``, such as ``modules``."""
    return dict(_words()[table])


class Explanations:
    """Patterns of messages and what to say about them, tried in order; those in fixed words last.

    Args:
        language: ``python``, ``r`` or ``sql``.
    """

    def __init__(self, language: str) -> None:
        self._language = language
        self._explainers: list[tuple[re.Pattern[str], Explainer]] = []

    def on(self, *patterns: str) -> Callable[[Explainer], Explainer]:
        """Register a function for messages; used as a decorator."""

        def register(function: Explainer) -> Explainer:
            self._explainers += [(_compiled(pattern), function) for pattern in patterns]
            return function

        return register

    @cached_property
    def _rules(self) -> list[tuple[re.Pattern[str], Explainer]]:
        fixed = [(_compiled(each["says"]), self._fixed(each)) for each in _words()[self._language]]
        return [*self._explainers, *fixed]

    def _fixed(self, words: dict[str, str]) -> Explainer:
        def explain(trouble: Trouble, match: re.Match[str]) -> Advice:
            what, fix, code = (_filled(words.get(name, ""), match.groupdict()) for name in ("what", "fix", "code"))
            return Advice(what, fix, trouble.filled(code), "r" if self._language == "r" else "python")

        return explain

    def knows(self, text: str) -> bool:
        """Whether a text is a message with an explanation."""
        return any(pattern.search(text) for pattern, _ in self._rules)

    def advice(self, trouble: Trouble) -> Advice | None:
        """The first advice that fits, or None."""
        for pattern, explain in self._rules:
            match = pattern.search(f"{trouble.kind}: {trouble.message}" if trouble.kind else trouble.message)
            if match and (found := explain(trouble, match)):
                return found
        return None


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE | re.DOTALL)
