"""A word for what code that is not on a list seems to do; it decides nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rsql_magic.agent.effects.cells import Kind

_WORDS: tuple[tuple[str, Kind], ...] = (
    (r"\b(?:pip|conda|ensurepip)\b.*install", "install"),
    (r"\b(?:subprocess|Popen|system|popen|os\.exec\w*|spawn\w*|fork)\b", "shell"),
    (r"https?://|\b(?:requests|urllib|urlopen|httpx|socket|aiohttp|smtplib|ftplib)\b", "network"),
    (r"\b(?:DROP|DELETE|INSERT|UPDATE|CREATE|ALTER)\b|\b(?:to_sql|execute\w*|commit|create_all|drop_all)\b", "sql"),
    (r"\b(?:to_\w+|write\w*|save\w*|dump|open|unlink|remove|rename|mkdir|rmdir|rmtree|touch|tofile|shutil)\b", "files"),
)

_R_WORDS: tuple[tuple[str, Kind], ...] = (
    (r"\b(?:install|remove|update)[._]packages\b|\binstall_\w+|\bpkg_install\b", "install"),
    (r"\b(?:system2?|shell|shell\.exec|pipe|pskill|Rcmd)\b(?!\.)", "shell"),
    (r"\b(?:download\.file|url|socket\w*|\w+\.socket|curl\w*)\b|https?://", "network"),
    (r"\bdb(?:Execute|SendStatement|(?:Write|Append|Remove|Create)Table|Begin|Commit|Rollback)\b", "sql"),
    (
        r"\b(?:write\w*|f?write\.\w+|fwrite|save\w*|ggsave|dump|dput|sink|unlink|file|file\.\w+|dir\.create|pdf|png"
        r"|jpeg|tiff|bmp|svg|postscript|cairo_pdf|cat\(file = \)|source|setwd|tempfile|gzfile|bzfile|xzfile)",
        "files",
    ),
)


def kind_of(code: str) -> Kind:
    """The kind of effect that a piece of code is announced as.

    Example:
        >>> kind_of("df.to_csv('a')"), kind_of("thing.go()")
        ('files', 'unknown')
    """
    return next((kind for pattern, kind in _WORDS if re.search(pattern, code)), "unknown")


def kind_of_r(code: str) -> Kind:
    """The kind of effect that a piece of R code is announced as.

    Example:
        >>> kind_of_r("writeLines"), kind_of_r("mine")
        ('files', 'unknown')
    """
    return next((kind for pattern, kind in _R_WORDS if re.search(pattern, code)), "unknown")
