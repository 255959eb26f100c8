"""RStudio's terminal: noticing it, and what R there is: its version, and packages attached, used and installed."""

# The terminal is a process of its own beside RStudio's R session, whose objects it cannot see; `r/rsql.R` in the
# session can. What can be told from here is asked of a new R, which reads the same profile, and of the folder's
# scripts. https://docs.posit.co/ide/user/ide/guide/tools/terminal.html

from __future__ import annotations

import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MARKS = ("RSTUDIO", "RSTUDIO_TERM", "RSTUDIO_SESSION_PORT", "RSTUDIO_SESSION_STREAM", "RSTUDIO_HTTP_REFERER")
_SECONDS = 5.0  # for a new R, with the user's profile
_SCRIPTS = 50  # files that are read
_SCRIPT_CHARACTERS = 100_000  # of each
_MOST_PACKAGES = 60  # that one line names
_USED = re.compile(r"\b(?:library|require|requireNamespace)\(\s*[\"']?([A-Za-z][\w.]*)|([A-Za-z][\w.]*):::?[A-Za-z.]")
_ASKED = """
cat(R.version$major, ".", R.version$minor, " on ", R.version$platform, "\\n", sep = "")
cat(sub("^package:", "", grep("^package:", search(), value = TRUE)), "\\n")
base <- rownames(installed.packages(priority = "base"))
found <- unique(list.files(.libPaths()))
found <- setdiff(found, base)
version <- function(p) tryCatch(as.character(packageVersion(p)), error = function(e) "")
cat(paste(found, vapply(found, version, "")), sep = "\\n")
"""


def noticed(environ: Mapping[str, str]) -> bool:
    """Whether this is a terminal of RStudio, by the variables that it sets there.

    Example:
        >>> noticed({"RSTUDIO": "1"}), noticed({"RSTUDIO": "0"}), noticed({"RSTUDIO_PANDOC": "/usr/bin"})
        (True, False, False)
    """
    return any(environ.get(name, "0") not in {"", "0"} for name in _MARKS)


def session(environ: Mapping[str, str], question: str) -> str:
    """A few lines about R for the model; empty where R cannot be asked.

    ``R_HOME`` of the environment says which R; packages that the question names stand there with their versions.
    """
    home = environ.get("R_HOME", "")
    ours = Path(home) / "bin" / "Rscript"
    command = str(ours) if home and ours.is_file() else shutil.which("Rscript", path=environ.get("PATH"))
    lines = _asked(command) if command else []
    if len(lines) < 2:
        return ""
    installed = dict(line.split(" ", 1) for line in lines[2:] if " " in line)
    used = [name for name in _used(Path.cwd()) if name in installed]
    named = [name for name in installed if re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", question)]
    rest = sorted(set(installed) - set(used) - set(named))
    told = (
        f"A terminal of RStudio. R {lines[0]}",
        f"attached in a new session: {', '.join(lines[1].split())}",
        _line("named in the question", [f"{name} {installed[name]}" for name in named]),
        _line("used by the scripts in this folder", [f"{name} {installed[name]}" for name in used]),
        _line("also installed", rest),
    )
    return "\n".join(filter(None, told))


def _line(what: str, names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_PACKAGES} more" if len(names) > _MOST_PACKAGES else ""
    return f"{what}: {', '.join(names[:_MOST_PACKAGES])}{more}" if names else ""


def _asked(rscript: str) -> list[str]:
    command = [rscript, "--no-echo", "-e", _ASKED]
    try:
        done = subprocess.run(  # noqa: S603 - the user's own R
            command, capture_output=True, text=True, timeout=_SECONDS, check=True, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


# Packages that the R files of a folder use, in the order they are met.
def _used(folder: Path) -> list[str]:
    names: dict[str, None] = {}
    scripts: list[Path] = []
    with suppress(OSError):
        endings = {".r", ".rmd", ".qmd"}
        scripts = sorted(path for path in folder.iterdir() if path.suffix.lower() in endings and path.is_file())
    for script in scripts[:_SCRIPTS]:
        with suppress(OSError):
            text = script.read_text(encoding="utf-8", errors="replace")[:_SCRIPT_CHARACTERS]
            names.update(dict.fromkeys(found[1] or found[2] for found in _USED.finditer(text)))
    return list(names)
