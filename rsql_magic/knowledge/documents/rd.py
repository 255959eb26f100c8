r"""R's help: the sections of an Rd file, and the help pages of installed packages.

An Rd file is read here, so that its own line numbers are cited and no R is needed. Pages of installed packages come
from R itself as text, from a process of its own: the R of the notebook is not touched.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rsql_magic.errors import BadInput
from rsql_magic.knowledge.documents.passages import Section

if TYPE_CHECKING:
    from collections.abc import Iterator

# The sections of an Rd file that hold text, as R heads them.
_SECTIONS = {
    "description": "Description",
    "usage": "Usage",
    "arguments": "Arguments",
    "details": "Details",
    "value": "Value",
    "note": "Note",
    "author": "Author",
    "references": "References",
    "seealso": "See Also",
    "examples": "Examples",
    "format": "Format",
    "source": "Source",
}
_HEAD = re.compile(r"^\\(\w+)(?:\[[^\]]*\])?\{", re.M)
_MACRO = re.compile(r"\\([A-Za-z]+)")
_LEFT_OUT = re.compile(r"\\(?:figure|out|if|ifelse|Sexpr|special)\b(?:\[[^\]]*\])?")
_FOR_EQUATIONS = re.compile(r"\\d?eqn\b")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9.]*")


def rd_sections(text: str) -> list[Section]:
    r"""The sections of an Rd file, below its title; names and aliases stand with the description.

    Example:
        >>> rd = "\\name{mean}\n\\title{Arithmetic Mean}\n\\description{\n  The \\bold{mean} of \\code{x}.\n}"
        >>> [(each.path, each.lines) for each in rd_sections(rd)]
        [(('Arithmetic Mean (mean)', 'Description'), ((4, '  The mean of x.'),))]
    """
    parts: list[tuple[str, str, int]] = []  # name, content, line where the content begins
    end = 0
    for head in _HEAD.finditer(text):
        if head.start() < end or _commented(text, head.start()):
            continue
        end = _closing(text, head.end())
        parts.append((head[1], text[head.end() : end], text.count("\n", 0, head.end()) + 1))
        if head[1] in {"section", "subsection"} and text[end + 1 : end + 2] == "{":
            start = end + 2
            end = _closing(text, start)
            called = " ".join(_said(parts.pop()[1]).split())
            parts.append((f"= {called}", text[start:end], text.count("\n", 0, start) + 1))
    aliases = [_said(content).strip() for name, content, _ in parts if name in {"name", "alias"}]
    names = list(dict.fromkeys(alias for alias in aliases if alias))
    title = next((" ".join(_said(content).split()) for name, content, _ in parts if name == "title"), "")
    top = f"{title} ({', '.join(names[:12])})" if names else title
    found = []
    for name, content, first in parts:
        if heading := name[2:] if name.startswith("= ") else _SECTIONS.get(name, ""):
            lines = _said(content).split("\n")
            numbered = ((first + place, line.rstrip()) for place, line in enumerate(lines))
            found.append(Section((top, heading), tuple(each for each in numbered if each[1].strip())))
    return found


def _commented(text: str, place: int) -> bool:
    return "%" in text[text.rfind("\n", 0, place) + 1 : place]


def _closing(text: str, start: int) -> int:
    """Where the brace that was opened just before ``start`` is closed; the end of the text where it is not."""
    depth, place = 1, start
    while place < len(text):
        char = text[place]
        if char == "\\":
            place += 1
        elif char == "%":
            place = text.find("\n", place)
            if place < 0:
                break
        elif char in "{}":
            depth += 1 if char == "{" else -1
            if not depth:
                return place
        place += 1
    return len(text)


def _said(content: str) -> str:
    """The words of Rd markup, line by line: macros go, what they mark stays."""
    lines = (re.sub(r"(?<!\\)%.*", "", line) for line in content.split("\n"))
    text = _FOR_EQUATIONS.sub("", _LEFT_OUT.sub("", "\n".join(lines)))
    text = re.sub(r"\\item\s*", "* ", text).replace("\\dots", "...").replace("\\ldots", "...").replace("\\R", "R")
    text = re.sub(r"\\(?:method|S[34]method)\{([^}]*)\}\{[^}]*\}", r"\1", text)
    text = re.sub(r"\\(?:link|href)\s*(?:\[[^\]]*\])?", "", text)
    text = re.sub(r"\\([\\%{}@])", lambda found: {"{": "\0", "}": "\1"}.get(found[1], found[1]), _MACRO.sub("", text))
    text = re.sub(r"\}\s*\{", ": ", text)
    return text.replace("{", "").replace("}", "").replace("\0", "{").replace("\1", "}")


@dataclass(frozen=True, slots=True)
class HelpPage:
    """A help page of an installed package, as R shows it."""

    package: str
    name: str  # of its Rd file, without the suffix
    aliases: tuple[str, ...]
    text: str  # with the title as its first line


_SCRIPT = r"""
wanted <- commandArgs(TRUE); package <- wanted[[1]]; topic <- if (length(wanted) > 1) wanted[[2]] else ""
out <- function(...) { cat(..., sep = ""); flush(stdout()) }
pages <- tryCatch(tools::Rd_db(package), error = function(e) NULL)
if (is.null(pages)) { out("\x1dnone\n"); quit(status = 0) }
tagged <- function(page, tag) {
  is_tag <- vapply(page, function(part) identical(attr(part, "Rd_tag"), tag), NA)
  vapply(page[is_tag], function(part) trimws(paste(unlist(part), collapse = "")), "")
}
aliases <- lapply(pages, tagged, "\\alias")
if (nzchar(topic)) {
  chosen <- vapply(aliases, function(names) topic %in% names, NA) | sub("\\.Rd$", "", names(pages)) == topic
  pages <- pages[chosen]; aliases <- aliases[chosen]
}
internal <- vapply(pages, function(page) "internal" %in% tagged(page, "\\keyword"), NA)
if (!nzchar(topic)) { pages <- pages[!internal]; aliases <- aliases[!internal] }
out("\x1d", length(pages), "\n")
options <- list(underline_titles = FALSE, width = 100)
for (name in names(pages)) {
  text <- tryCatch(utils::capture.output(tools::Rd2txt(pages[[name]], options = options, package = package)),
                   error = function(e) character())
  text <- gsub("_\b", "", text, fixed = TRUE)
  title <- paste(tagged(pages[[name]], "\\title"), collapse = " ")
  out("\x1e", sub("\\.Rd$", "", name), "\x1f", paste(aliases[[name]], collapse = "\x1f"), "\n",
      gsub("[[:space:]]+", " ", title), "\n", paste(text, collapse = "\n"), "\n")
}
out("\x1c")
"""


def installed_help(package: str, topic: str = "") -> Iterator[HelpPage | int]:
    """The help pages of an installed package, or the one of a topic; before them their number.

    Raises:
        BadInput: R is not installed, or has no such package or topic.
    """
    for name in filter(None, (package, topic)):
        if not (_NAME.fullmatch(package) and "\n" not in name and len(name) < 200):
            raise BadInput(f"{name!r} is no name in R.", hint="%rsql docs add ?stats::lm, or r:stats for a package.")
    if (program := shutil.which("Rscript")) is None:
        raise BadInput("R is not installed here.", hint="Add R's help as Rd or HTML files instead.")
    environ = {**os.environ, "LANGUAGE": "en", "R_PROFILE_USER": "", "R_DEFAULT_PACKAGES": "NULL"}
    process = subprocess.Popen(  # noqa: S603 - no shell, and arguments that were looked at
        [program, "--vanilla", "-e", _SCRIPT, package, *filter(None, [topic])],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        env=environ,
        start_new_session=True,
    )
    try:
        yield from _pages(process, package, topic)
    finally:
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        if process.stdout:
            process.stdout.close()
        process.wait()


def _pages(process: subprocess.Popen[bytes], package: str, topic: str) -> Iterator[HelpPage | int]:
    lines = (line.decode("utf-8", "replace") for line in process.stdout or ())
    first = next(lines, "").strip("\x1d\n")
    if not first.isdecimal():
        hint = f"install.packages('{package}') in R, or check the spelling."
        raise BadInput(f"R has no help for the package {package}.", hint=hint)
    if first == "0":
        raise BadInput(f"R has no help page {package}::{topic}.", hint=f"%rsql docs add r:{package} adds all of them.")
    yield int(first)
    head, held = "", list[str]()
    for line in lines:
        if line[0] in "\x1c\x1e":
            if head:
                yield _page(package, head, held)
            head, held = line[1:].rstrip("\n"), []
        else:
            held.append(line)


def _page(package: str, head: str, lines: list[str]) -> HelpPage:
    name, *aliases = head.split("\x1f")
    title, *rest = "".join(lines).split("\n")
    # R's own title stands in the text again, as its first words.
    body = "\n".join(rest).strip("\n").split("\n")
    while body and (not body[0].strip() or body[0].strip() in title or title.startswith(body[0].strip())):
        body.pop(0)
    names = list(dict.fromkeys([name, *aliases]))
    shown = ", ".join(names[:12])
    return HelpPage(package, name, tuple(names), f"{title} ({shown})\n\n" + "\n".join(body))
