"""Formulas that say mathematics and nothing else."""

# MathJax and KaTeX have commands that make links, set classes and styles, load extensions and define other commands. So
# a formula keeps the commands of a list; another loses its backslash, or what it would do to its argument.

from __future__ import annotations

import re
from functools import cache

_SETS = (
    "align aligned alignat alignedat array bmatrix Bmatrix cases dcases equation gather gathered matrix "
    "multline pmatrix rcases smallmatrix split subarray vmatrix Vmatrix"
)
_ENVIRONMENTS = frozenset(_SETS.split())
_MATHS = (
    "above atop binom brace brack cfrac choose dbinom dfrac frac genfrac over sqrt root tbinom tfrac "
    "overset stackrel underset left right middle big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl "
    "Biggr bigm Bigm acute bar breve check dot ddot dddot ddddot grave hat mathring overbrace overbracket "
    "overleftarrow overleftrightarrow overline overrightarrow tilde underbar underbrace underbracket "
    "underleftarrow underline underrightarrow underleftrightarrow vec widecheck widehat widetilde "
    "xleftarrow xrightarrow xleftrightarrow xmapsto xLeftarrow xRightarrow xLeftrightarrow xhookleftarrow "
    "xhookrightarrow limits nolimits substack sideset prime not cancel bcancel xcancel boxed phantom "
    "hphantom vphantom smash lower raise tag notag nonumber hline cr displaylimits emph text textbf "
    "textit textmd textnormal textrm textsf texttt textup bm Bbb bold boldsymbol pmb mit cal rm bf it sf "
    "tt mathbb mathbf mathcal mathfrak mathit mathnormal mathrm mathscr mathsf mathtt mathbin mathclose "
    "mathinner mathop mathopen mathord mathpunct mathrel mbox operatorname operatornamewithlimits "
    "displaystyle textstyle scriptstyle scriptscriptstyle color textcolor bra ket braket enspace quad "
    "qquad space thinspace medspace thickspace negthinspace negmedspace negthickspace hspace hskip kern "
    "mkern mskip mspace strut mathstrut arccos arcsin arctan arg argmax argmin cos cosh cot coth csc deg "
    "det dim exp gcd hom inf injlim ker lg lim liminf limsup ln log max min Pr projlim sec sin sinh sup "
    "tan tanh mod pmod bmod pod int iint iiint oint sum prod coprod lt gt le ge leq geq neq ne"
)
_COMMANDS = frozenset(_MATHS.split())
_ACTING = (
    "href class style cssId data html htmlClass htmlData htmlId htmlStyle mmlToken require "
    "includegraphics texttip mathtip enclose bbox colorbox fcolorbox url unicode Tooltip definecolor"
)
# Commands whose options and first argument go with them; what they would have changed stays.
_FIRST_GONE = frozenset(_ACTING.split())

_COMMENT = re.compile(r"(?<!\\)((?:\\\\)*)%[^\n]*")
_COMMAND = re.compile(r"\\(?:(?P<word>[A-Za-z]+)\*?|(?P<sign>.))", re.S)
_ENVIRONMENT = re.compile(r"\s*\{\s*([A-Za-z]+)(\*?)\s*\}")
_OPTION = re.compile(r"\s*\[[^\[\]{}]*\]")
_SIGNS = (("<", r"\lt "), (">", r"\gt "), ("`", "'"), ('"', "''"), ("~", r"\ "), ("$", ""), ("@@", "@ @"))


def tamed(formula: str) -> str:
    """A formula on one line, without commands that act on the page, and without what Markdown could read in it."""
    # It is empty for one whose braces do not match, which is no formula.
    formula = _COMMENT.sub(r"\1", formula)
    parts, at = [], 0
    while command := _COMMAND.search(formula, at):
        parts.append(_worded(formula[at : command.start()]))
        kept, at = _command(formula, command)
        parts.append(kept)
    whole = " ".join("".join([*parts, _worded(formula[at:])]).split())
    whole = re.sub(r"\](?=[(\[:])", "] ", whole)
    return whole if _balanced(whole) else ""


def _worded(text: str) -> str:
    for sign, instead in _SIGNS:
        text = text.replace(sign, instead)
    return re.sub(r"&(?=\S)|/(?=/)|\b(?i:ftp|xmpp):", r"\g<0> ", text)


# What stays of a command, and where the rest of the formula begins.
def _command(formula: str, found: re.Match[str]) -> tuple[str, int]:
    word, end = found["word"], found.end()
    if word is None:
        return _sign(formula, found["sign"], end)
    if word in {"begin", "end"}:
        name = _ENVIRONMENT.match(formula, end)
        known = name and name[1] in _ENVIRONMENTS
        return (f"\\{word}{{{name[1]}{name[2]}}}" if name and known else "", name.end() if name else end)
    if word in _FIRST_GONE:
        return "", _after_argument(formula, end)
    return (found[0] if word in _COMMANDS or f"\\{word}" in _symbols() else found[0][1:]), end


def _sign(formula: str, sign: str, end: int) -> tuple[str, int]:
    if sign == "\\":  # a new line; a height in brackets would look like a delimiter of display formulas
        height = _OPTION.match(formula, end)
        return "\\\\ ", height.end() if height else end
    return (f"\\{sign}" if sign in "{}|,;:!> #%&_." else _worded(sign)), end


def _after_argument(formula: str, at: int) -> int:
    while option := _OPTION.match(formula, at):
        at = option.end()
    start = re.compile(r"\s*\{").match(formula, at)
    depth = 0
    for place in range(start.end() - 1 if start else len(formula), len(formula)):
        escaped = formula[place - 1] == "\\"
        depth += ((formula[place] == "{") - (formula[place] == "}")) * (not escaped)
        if not depth:
            return place + 1
    return at


def _balanced(formula: str) -> bool:
    depth = 0
    for brace in re.findall(r"\\.|[{}]", formula):
        depth += (brace == "{") - (brace == "}")
        if depth < 0:
            return False
    return depth == 0 and not formula.endswith("\\")


@cache
def _symbols() -> frozenset[str]:
    from latex2mathml.symbols_parser import parse_symbols

    return frozenset(parse_symbols())
