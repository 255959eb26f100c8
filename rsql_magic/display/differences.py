"""What has changed between two versions of a cell: a card whose lines are coloured, and text."""

from __future__ import annotations

import re
import unicodedata
from difflib import unified_diff

from rsql_magic.display.markdown import card
from rsql_magic.plain_text import html_text, printable

_AROUND = 2  # lines that stay, beside those that change
# Inline styles and colours as those of cards. A line is as wide as the card, so that its colour is, too.
_LINE = (
    "display:inline-block;width:100%;white-space:pre-wrap;overflow-wrap:anywhere;text-decoration:none;background-color:"
)
_TAGS = {"-": ("del", f"{_LINE}rgba(248,81,73,0.2)"), "+": ("ins", f"{_LINE}rgba(63,185,80,0.2)")}


def difference(before: str, after: str) -> dict[str, str]:
    r"""What has changed from one text to another, as representations of one output.

    Example:
        >>> print(difference("x = 1\ny = 2", "x = 1\ny = 3")["text/plain"])
        @@ -1,2 +1,2 @@
         x = 1
        -y = 2
        +y = 3
    """
    before, after = _with_codes(before), _with_codes(after)
    changes = [*unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=_AROUND)][2:]
    lines = "\n".join(filter(None, map(_line, changes)))
    return {"text/markdown": card("Change", f"<pre>{lines}</pre>"), "text/plain": printable("\n".join(changes))}


def _line(change: str) -> str:
    if place := re.match(r"@@ -(\d+)", change):
        return f"<em>from line {place[1]}</em>" if place[1] != "1" else ""
    tag, style = _TAGS.get(change[:1], ("", ""))
    return f'<{tag} style="{style}">{html_text(change)}</{tag}>' if tag else html_text(change)


_HIDDEN = frozenset({"Cc", "Cf", "Zl", "Zp", "Co", "Cn", "Cs"})
_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u2800\u3164\uffa0")
_WORD = re.compile(r"[^\W\d]\w*")
# Scripts whose letters look like those of Latin; other letters of Greek are at home in formulas.
_ALIKE = re.compile(
    "CYRILLIC|ARMENIAN|CHEROKEE|COPTIC|LISU|GEORGIAN|DESERET|GOTHIC|CANADIAN|"
    "LATIN SMALL LETTER (?:DOTLESS I|ALPHA|SCRIPT G)"
)
_GREEK = frozenset("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧϹϳανογιρτυϲ")
_BLANKS = re.compile(r"(?<=\S) {12,}(?=\S)")


def oddities(text: str) -> list[str]:
    r"""What of code is not what it seems, a sentence each: what cannot be seen, letters that look like others.

    Example:
        >>> oddities("x = 1\u200b")
        ['It has characters that cannot be seen, or change how others are shown: U+200B.']
        >>> oddities("größe = Δt")
        []
    """
    hidden = dict.fromkeys(_code(sign) for sign in text if _is_hidden(sign))
    alike = dict.fromkeys(word for word in _WORD.findall(text) if not word.isascii() and _is_like_another(word))
    said = []
    if hidden:
        said.append(f"It has characters that cannot be seen, or change how others are shown: {', '.join(hidden)}.")
    if alike:
        said.append(f"It has words that look like others, or are read as others: {', '.join(alike)}.")
    if _BLANKS.search(text):
        said.append("It has long runs of blanks; what stands behind them is code as well.")
    return said


def _code(sign: str) -> str:
    return f"U+{ord(sign):04X}"


def _is_hidden(sign: str) -> bool:
    if sign.isascii() and (sign.isprintable() or sign in "\n\t"):
        return False
    kind = unicodedata.category(sign)
    return kind in _HIDDEN or kind == "Zs" or sign in _UNSEEN or "VARIATION SELECTOR" in unicodedata.name(sign, "")


def _is_like_another(word: str) -> bool:
    if unicodedata.normalize("NFKC", word) != word:
        return True
    others = [sign for sign in word if not sign.isascii() and sign.isalpha()]
    alike = [sign for sign in others if sign in _GREEK or _ALIKE.match(unicodedata.name(sign, ""))]
    return bool(alike) and any(sign.isascii() and sign.isalpha() for sign in word)


# What cannot be seen as its code, so that it is drawn.
def _with_codes(text: str) -> str:
    return "".join(f"⟦{_code(sign)}⟧" if _is_hidden(sign) and sign != "\r" else sign for sign in text)
