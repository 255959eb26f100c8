"""Explanations of common errors of Python, R and SQL (``errors.toml``), with the names of the notebook put in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..tables import table
from .notebook import PATTERNS, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..request import Described
    from .notebook import Notebook

_MAGIC_OF_R = re.compile(r"\A\s*%%R\b.*\n")  # a block marked as R holds what R can parse
_SAID = re.IGNORECASE | re.DOTALL  # how an entry's pattern is read
_LISTED = 12  # names; more are no help in a sentence


def is_about_error(notebook: Notebook) -> bool:
    """Whether a question is about an error: it says so, or it is one."""
    asks = bool(notebook.request.error) and PATTERNS["about"].search(notebook.question) is not None
    return asks or _quotes_error(notebook.question)


def _quotes_error(question: str) -> bool:
    return any(pattern.search(question) for pattern in (PATTERNS["exception"], PATTERNS["inline"], PATTERNS["r error"]))


def is_known_message(text: str) -> bool:
    """Whether a text is the bare message of an error of R or SQL: "division by zero"."""
    known = table("ask/errors")
    return any(re.search(entry["says"], text, _SAID) for entry in (*known["sql"], *known["r"]))


def explain_error(notebook: Notebook) -> str:
    """What happened, why, and what to do; for an error nobody knows, that and the message itself."""
    question, error = notebook.question, notebook.request.error
    text = question if _quotes_error(question) or not error else error
    cause = _Error(notebook, text)
    for language, message in _readings(text):
        for entry in table("ask/errors")[language]:
            match = re.search(entry["says"], message, _SAID)
            if match and (explained := cause.explained(entry, match, language)):
                return explained
    # The last line of a traceback says what happened.
    last = (text.strip() or "?").splitlines()[-1].strip().replace("`", "'")[:200]
    return (
        f"I do not know this error: `{last}`. The offline model explains common ones only; search for the message, "
        "or set up a language model."
    )


def _readings(text: str) -> Iterator[tuple[str, str]]:
    """The languages that an error may be of, the likeliest first, each with the message as it would read it."""
    in_r = PATTERNS["r error"].search(text)
    # A line that is an exception as a whole goes before one within a sentence.
    python = PATTERNS["exception"].search(text) or PATTERNS["inline"].search(text)
    if PATTERNS["sql hints"].search(text):
        yield "sql", text
    # rpy2 wraps the errors of R: then the message within is what happened.
    if python and not (in_r and "RRuntimeError" in text):
        yield "python", python["error"]
    yield "r", in_r["error"] if in_r else text
    yield "sql", text
    if not python:
        yield "python", text


@dataclass(frozen=True)
class _Error:
    """An error with the notebook around it."""

    notebook: Notebook
    text: str

    def explained(self, entry: dict[str, Any], match: re.Match[str], language: str) -> str:
        """What an entry says of the error; an empty text where it needs what is not known."""
        words = {name: (value or "").strip() for name, value in match.groupdict().items()} | self._fields
        if "find" in entry:
            known = self._names_of(entry["find"])
            name = words["name"]
            found = nearest(name, known, least=entry["near"]) if "near" in entry else name if name in known else None
            if found is None:
                return ""
            words |= {"found": found, "meaning": known[found]}
        said = f"{entry['what']} {entry.get('fix', '')}"
        # A sentence that lists names needs some.
        if any(f"{{{name}}}" in said and not words[name] for name in ("columns", "R columns", "tables")):
            return ""
        code: str = entry.get("code", "")
        if "corrects" in entry:
            code = self._corrected(words["name"], _filled(entry.get("by", "{found}"), words), entry["corrects"])
        elif all(words[name] for name in ("df", "column") if f"{{{name}}}" in code):
            code = _filled(code, words)
        else:
            code = ""
        block = f"\n\n```{'r' if language == 'r' else 'python'}\n{code}\n```" if code else ""
        return " ".join(_filled(said, words).replace(" .", ".").split()) + block

    @cached_property
    def _fields(self) -> dict[str, str]:
        """What the words of an entry may name besides the groups of its pattern."""
        frames = [frame for frame in self._frames if _names(frame.name, self._source)]
        frame = self._frames[0] if len(self._frames) == 1 else None
        columns = [
            c.name for c in (frame.columns if frame else ()) if re.search(rf"['\".]{re.escape(c.name)}\b", self._source)
        ]
        return {
            "in_frame": f" in `{frames[0].name}`" if len(frames) == 1 else "",
            "df": frame.name if frame else "",
            "column": columns[-1] if columns else "",
            "columns": _listed(self._names_of("columns")),
            "R columns": _listed(self._names_of("R columns")),
            "tables": _listed(self._names_of("tables")),
        }

    def _names_of(self, what: str) -> dict[str, str]:
        listed = table("ask/errors").get(what)
        if listed is None:
            return self._in_notebook[what]
        # Functions stand behind their packages; the first package that has one is taken.
        by_function = {one: name for name, some in reversed(listed.items()) for one in some.split()}
        return by_function if what == "functions" else dict(listed)

    @cached_property
    def _in_notebook(self) -> dict[str, dict[str, str]]:
        request = self.notebook.request
        objects, code = request.objects, "\n".join(request.cells)
        catalog = request.catalog if request.tables else self.notebook.catalog(self.notebook.frames)
        in_r = [frame for frame in self.notebook.frames if frame.is_r]
        assigned = {name: name for name in re.findall(r"^\s*([A-Za-z.][\w.]*)\s*(?:=(?!=)|<-)", code, re.MULTILINE)}
        return {
            "columns": {column.name: frame.name for frame in self._frames for column in frame.columns},
            "R columns": {column.name: frame.name for frame in in_r for column in frame.columns},
            "names": {item.name: item.name for item in objects} | assigned,
            "R names": {item.name: item.name for item in objects if item.is_r} | assigned,
            "Python names": {item.name: item.name for item in objects if not item.is_r},
            "tables": {table.name: table.name for table in catalog},
            "table columns": {column.name: table.name for table in catalog for column in table.columns},
        }

    @cached_property
    def _line(self) -> str:
        # Tracebacks of rsql have “line 3 in f: code”, those of IPython “----> 3 code”.
        lines = re.findall(r"^line \d+ in [^:\n]+: (.+)$", self.text, re.MULTILINE)
        arrows = re.findall(r"^-+> *\d+ (.+)$", self.text, re.MULTILINE)
        return [*lines, *arrows][-1].strip() if lines or arrows else ""

    @property
    def _source(self) -> str:
        """The cell that failed, else its failing line."""
        # The newest cell with that line, as cells are run again.
        cells = reversed(self.notebook.request.cells)
        return next((cell for cell in cells if not self._line or self._line in cell), self._line)

    @cached_property
    def _frames(self) -> list[Described]:
        """The Python frames that the failing code mentions, else all of them."""
        frames = [frame for frame in self.notebook.frames if not frame.is_r]
        return [frame for frame in frames if _names(frame.name, self._source)] or frames

    def _corrected(self, old: str, new: str, kind: str) -> str:
        """The failing code with one name put right; empty when it does not stand there exactly once or plainly."""
        for source in dict.fromkeys([self._source, self._line]):
            fixed = _replaced(source, old, new, kind)
            if fixed != source and "…" not in fixed:
                return _MAGIC_OF_R.sub("", fixed)
        return ""


def _replaced(source: str, old: str, new: str, kind: str) -> str:
    # An attribute that is no identifier becomes an index: df["unit price"].
    if kind == "attribute":
        return re.sub(rf"\.{re.escape(old)}\b", f".{new}" if new.isidentifier() else f"[{new!r}]", source)
    plain = re.sub(rf"(?<![\w.]){re.escape(old)}(?!\w)", lambda _match: new, source)
    if kind == "name" and plain != source:
        return plain
    quoted = re.sub(rf"(['\"]){re.escape(old)}\1", lambda match: f"{match[1]}{new}{match[1]}", source)
    if quoted == source and source.count("…") == 1:
        # Strings of a cell may have been left out of the prompt as '…'; a single gap is taken for the wrong name.
        return re.sub(r"(['\"])…\1", lambda match: f"{match[1]}{new}{match[1]}", source)
    return quoted


def _names(name: str, source: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", source) is not None


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in list(names)[:_LISTED])


def _filled(text: str, words: dict[str, str]) -> str:
    for name, value in words.items():
        text = text.replace("{" + name + "}", value)
    return text
