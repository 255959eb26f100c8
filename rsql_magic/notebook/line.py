"""The line of a magic: read into options and text, also where IPython would read it otherwise."""

# IPython's own `parse_argstring` cuts the whole line into words by a shell's rules, which breaks on `it's`. Here only
# the options are cut into words; from the first word that is neither an option nor an option's value, the line is text.
#
# A question may end in a question mark: IPython reads `%ask what is sales?` as a request for help on `sales`. Here such
# a line is a question; `%ask?` stays help. And an empty `%%ask` reaches the magic, which gives the right advice;
# IPython would advise `%ask`, which does something else.

from __future__ import annotations

import re
from argparse import ArgumentError, Namespace
from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeVar, cast

from IPython.core.inputtransformer2 import TokenTransformBase, assemble_continued_line, find_end_of_continued_line
from IPython.core.magic import line_cell_magic, needs_local_scope, no_var_expand
from IPython.core.magic_arguments import argument, magic_arguments

from rsql_magic.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from IPython.core.interactiveshell import InteractiveShell

    from rsql_magic.options import Option

F = TypeVar("F", bound=Callable[..., Any])

_WORD = re.compile(r"""\s*("(?:[^"\\]|\\.)*"(?=\s|,|$)|'(?:[^'\\]|\\.)*'(?=\s|,|$)|\S+)""")
_TARGET = re.compile(r"\s*([^\W\d]\w*)\s*<<(?=\s|$)")
_NUMBER = re.compile(r"-[\d.]")
_NUMERIC = re.compile(r"argument (?P<option>\S+): invalid (?P<kind>int|float) value: '?(?P<value>.*?)'?")
_CHOICE = re.compile(r"argument (?P<option>\S+): invalid choice: '?(?P<value>.*?)'? \(choose from (?P<choices>.*)\)")
_CALL = re.compile(
    r"(?P<before>\s*(?:[^\W\d]\w*\s*=\s*)?)%(?P<name>ask|sql_ai|rsql(?=\s+context\s))\s+(?P<text>.*\?)\s*$", re.S
)
_FOR_SPHINX = re.compile(r"<([^<>\n]*[\[{][^<>\n]*)>")
_LATER = re.compile(r"^%%(?:ask|sql_ai)\b", re.M)
_EMPTY = re.compile(r"%%(?:ask|sql_ai)\b[^\n]*\n?$")


def line_and_cell(options: tuple[Option, ...], connection: str = "") -> Callable[[F], F]:
    """Make a method a magic of one line or a cell with these options; ``connection`` is the help of its first word."""
    # Its docstring becomes the generated help. IPython's expansion of `$x` and `{x}` is off, and the variables of a
    # function around the cell are passed in.

    # `@output_can_be_silenced` is left out on purpose: IPython would read the question as Python to find the semicolon,
    # and fail at the first open bracket. The magics look for the semicolon themselves.
    def decorate(method: F) -> F:
        decorated: Any = needs_local_scope(no_var_expand(method))
        for option in reversed(options):
            decorated = argument(*option.flags, **option.declared())(decorated)  # type: ignore[no-untyped-call]
        asked = "What you ask; in a cell it stands below the first line."
        decorated = argument("question", nargs="*", metavar="QUESTION", help=asked)(decorated)  # type: ignore[no-untyped-call]
        if connection:
            decorated = argument("connection", nargs="?", help=connection)(decorated)  # type: ignore[no-untyped-call]
        decorated = magic_arguments()(decorated)  # type: ignore[no-untyped-call]
        decorated.options = options
        return cast("F", line_cell_magic(decorated))

    return decorate


@dataclass(frozen=True, slots=True)
class Line:
    """A line that was read: options by their long names, the name before ``<<``, a connection, and the rest as text."""

    options: Namespace
    text: str = ""
    target: str = ""
    connection: str = ""


def help_of(magic: Any) -> str:
    """The generated help of a magic."""
    text: str = magic.parser.format_help()
    # Without IPython's marks for Sphinx: `::`, and angle brackets around what is more than a name.
    return _FOR_SPHINX.sub(r"\1", text.removeprefix("::\n\n"))


def read_line(magic: Any, line: str, *, cell: bool, takes_connection: Callable[[str], bool] | None = None) -> Line:
    """Read what stands after a magic's name; ``takes_connection`` tells whether a first bare word is a connection."""
    # Before a cell an option such as `--with` takes all words up to the next option; on a line of its own it takes one,
    # or several joined by commas.
    known = {flag: option for option in magic.options for flag in option.flags}
    return _LineReader(magic.parser, known, line, cell, takes_connection).read()


@dataclass
class _LineReader:
    _parser: Any
    _known: dict[str, Option]
    _line: str
    _cell: bool
    _takes_connection: Callable[[str], bool] | None
    _at: int = 0
    _argv: list[str] = field(default_factory=list)

    def read(self) -> Line:
        target = connection = ""
        literal = False
        while word := self._peek():
            if assigned := _TARGET.match(self._line, self._at):
                target, self._at = assigned[1], assigned.end()
            elif literal := word == "--":
                self._next()
                break
            elif word.startswith("-") and len(word) > 1 and not _NUMBER.match(word):
                self._option(self._next(raw=True))
            elif self._takes_connection and not connection and self._takes_connection(_unquoted(word)):
                connection = self._next()
            else:
                break
        text = self._line[self._at :].strip()
        # An option behind a question of data would be read as a word of it.
        behind = text.split()[-2:] if self._takes_connection and not self._cell and not literal else ()
        if flag := next((word for word in behind if word.startswith("--") and word in self._known), ""):
            hint = "Put -- before the question where it is part of it."
            raise BadInput(f"{flag} stands behind the question; options come first.", hint=hint)
        return Line(self._parsed(), text, target, connection)

    def _peek(self) -> str:
        return found[1] if (found := _WORD.match(self._line, self._at)) else ""

    def _next(self, *, raw: bool = False) -> str:
        if not (found := _WORD.match(self._line, self._at)):
            return ""
        self._at = found.end()
        return found[1] if raw else _unquoted(found[1])

    def _option(self, word: str) -> None:
        flag, equals, value = word.partition("=")
        if (option := self._known.get(flag)) is None:
            raise _unknown(flag, self._known)
        if equals:
            values = [_unquoted(value)] if option.nargs != "+" else _names(value)
        else:
            values = list(self._values(option))
        if option.nargs == 0 and values:
            raise BadInput(f"{flag} takes no value.", hint="--help lists the options.")
        if option.nargs in {1, "+"} and not values:
            raise BadInput(f"{flag} needs a value.", hint=option.help)
        # --flag=value, so that a value may start with a dash
        self._argv += [flag, *values] if option.nargs in {"+", 0} or not values else [f"{option.flags[0]}={values[0]}"]

    def _values(self, option: Option) -> Iterator[str]:
        if option.nargs == 1 and not self._peek().startswith("--"):
            yield from filter(None, [self._next()])
        elif option.nargs == "?" and self._peek() in option.choices:
            yield self._next()
        elif option.nargs == "+":
            yield from self._listed()

    def _listed(self) -> Iterator[str]:
        going = True
        while going and (word := self._peek()) and not word.startswith("-") and not _TARGET.match(self._line, self._at):
            self._next()
            yield from _names(word)
            going = self._cell or word.endswith(",")

    def _parsed(self) -> Namespace:
        from IPython.core.error import UsageError

        try:
            parsed: Namespace = self._parser.parse_args(self._argv)
        except (UsageError, ArgumentError) as error:
            raise _plainly(str(error)) from None
        return parsed


def _plainly(message: str) -> BadInput:
    """The message of argparse on a wrong value, in plain words."""
    if number := _NUMERIC.fullmatch(message):
        kind = "a whole number" if number["kind"] == "int" else "a number"
        reason = f"{number['option'].split('/')[0]} takes {kind}, not {number['value']!r}."
        return BadInput(reason, hint="--help lists the options.")
    if (wrong := _CHOICE.fullmatch(message)) is None:
        return BadInput(f"{message}.", hint="--help lists the options.")
    choices = [choice.strip("'") for choice in wrong["choices"].split(", ")]
    close = get_close_matches(wrong["value"], choices, 1)
    *others, last = choices
    hint = f"Did you mean {close[0]}?" if close else f"It is {', '.join(others)} or {last}."
    return BadInput(f"There is no {wrong['option'].split('/')[0]} {wrong['value']!r}.", hint=hint)


def _names(word: str) -> list[str]:
    return [_unquoted(name) for name in word.split(",") if name]


def _unquoted(word: str) -> str:
    return word[1:-1] if len(word) > 1 and word[0] == word[-1] and word[0] in "'\"" else word


def _unknown(flag: str, known: dict[str, Option]) -> BadInput:
    close = get_close_matches(flag, known, 1)
    hint = f"Did you mean {close[0]}?" if close else "--help lists the options."
    return BadInput(f"There is no option {flag}.", hint=f"{hint} Put -- before text that starts with a dash.")


class _QuestionMark(TokenTransformBase):
    """``%ask …?`` and ``x = %ask …?`` become a call of the magic, before IPython looks for a question mark."""

    priority = 1  # before IPython's own for question marks, which has 5

    # The first such line that is not inside a string; tokens are grouped by logical lines.
    @classmethod
    def find(cls, tokens_by_line: Sequence[Sequence[Any]]) -> _QuestionMark | None:
        for tokens in tokens_by_line:
            start = next((token for token in tokens if token.string.strip()), None)
            if start is not None and _CALL.match(start.line[start.start[1] :].split("\n", 1)[0]):
                return cls(start.start)
        return None

    # The lines with that one replaced.
    def transform(self, lines: list[str]) -> list[str]:
        end = find_end_of_continued_line(lines, self.start_line)
        line = assemble_continued_line(lines, (self.start_line, self.start_col), end)
        call = _CALL.sub(
            lambda found: f"{found['before']}get_ipython().run_line_magic({found['name']!r}, {found['text']!r})", line
        )
        indent = lines[self.start_line][: self.start_col]
        return [*lines[: self.start_line], f"{indent}{call}\n", *lines[end + 1 :]]


def misread(cell: str) -> str:
    r"""What IPython has read wrong in a cell that was transformed before the magics were there; empty for nothing."""
    lines = cell.splitlines()[1:]
    later = (line for line in lines if _CALL.match(line) or _LATER.match(line))
    return next((line.strip() for line in later), "")


def with_body(lines: list[str]) -> list[str]:
    """A cell of our magics that has no body, with an empty line below; any other as it is."""
    cell = "".join(lines)
    return [cell.rstrip("\n") + "\n", "\n"] if _EMPTY.match(cell) and not cell.rstrip().endswith("?") else lines


def install_syntax(shell: InteractiveShell) -> None:
    """Read lines of this shell as questions where they are."""
    shell.input_transformer_manager.token_transformers.insert(0, _QuestionMark)
    shell.input_transformers_cleanup.append(with_body)


def remove_syntax(shell: InteractiveShell) -> None:
    """Read them as IPython does."""
    transformers = shell.input_transformer_manager.token_transformers
    transformers[:] = [transformer for transformer in transformers if transformer.__name__ != _QuestionMark.__name__]
    cleanups = shell.input_transformers_cleanup
    cleanups[:] = [each for each in cleanups if getattr(each, "__name__", "") != with_body.__name__]
