"""Replies of a model that means harm, or writes oddly: made by chance from a grammar, each one by its seed."""

from __future__ import annotations

import random

_RUN = "window.hacked=(window.hacked||0)+1"
_LIVE = (
    '<img src=x onerror="{run}">',
    "<img src={server}/{n}>",
    "<script>{run}</script>",
    "<svg onload={run}>",
    "<iframe src={server}/{n}></iframe>",
    '<a href="javascript:{run}">x</a>',
    "<details open ontoggle={run}>",
    "<style>@import '{server}/{n}';</style>",
    "</code></pre><img src=x onerror={run}>",
    "--><img src={server}/{n} onerror={run}>",
    "![x]({server}/{n})",
    "![a [b] c]({server}/{n} 't')",
    "![x][r]",
    "![r]",
    "[x](javascript:{run})",
    "[x](data:text/html,<script>{run}</script>)",
    "[x]( &#106;avascript:{run})",
    "[![x]({server}/{n})](javascript:{run})",
    "<javascript:{run}>",
    '[x](vbscript:{run} "onmouseover={run}")',
    '[x](http://a.b/"onmouseover="{run})',
    "[x](http://a.b/@@0@@)",
    "@@0@@",
    "$\\href{{javascript:{run}}}{{x}}$",
    "$\\style{{background:url({server}/{n})}}{{x}}$",
    "$\\let\\a\\href \\a{{javascript:{run}}}{{x}}$",
    "$$\\begin{{aligned}}a&=\\class{{x}}{{b}}\\\\[2pt]<img src={server}/{n}>\\end{{aligned}}$$",
    '$" onmouseover="{run}$',
    "\\\\(\\href{{javascript:{run}}}{{x}}\\\\)",
    "\\begin{{equation}}\\href{{javascript:{run}}}{{x}}\\end{{equation}}",
    "$a{{b$",
    "&lt;img src=x onerror={run}&gt;",
    "&#60;img src=x onerror={run}&#62;",
    "ftp://a.b/{n} www.a.b/{n} //a.b/{n} x@a.b",
    "\x1b]8;;http://a.b\x07x\x1b[2J",
    "\u202ejs\u2066",
)
_GLUE = (
    "`", "``", "```", "~~~", "````", "\\", "\\`", "*", "**", "_", "~~", "$", "$$", "[", "](", ")", "]", "!", "!!", "<",
    ">", "&", "&#96;", "&#10;", "&#36;", "|", " ", "\n", "\n\n", "\n\n", "\t", "a", "b c", "`x`", "`$`", "\n---\n", ":",
    "\r", "\u00a0", "\u2028", "ſ", "é", "\\(", "\\)", "\\[", "\\]", "@", "ftp:", "www.", "(", "{", "}", "#", "%", "1.",
)  # fmt: skip
_STARTS = (
    "", "- ", "* ", "1. ", "> ", ">", "    ", "\t", "# ", "| ", "- [ ] ", "  ", "   ", "10) ", "+ ", "- - ", "> - ",
    "\n",
)  # fmt: skip
_FENCES = ("```", "~~~", "````", "```html", "```mermaid", '```"onmouseover=x', "```{r}", "~~~ x ~~~", "``` `", "```~~~")


def reply(seed, server="http://canary.invalid"):
    """A reply of some lines.

    Args:
        seed: Makes it this one.
        server: Where it would fetch from.
    """
    chance = random.Random(seed)
    return "\n".join(_line(chance, server) for _ in range(chance.randint(1, 8)))


def _line(chance, server):
    kind = chance.random()
    if kind < 0.12:
        return _start(chance) + chance.choice(_FENCES)
    if kind < 0.16:
        return "| a | b |\n|---|:-:|\n| `" + _live(chance, server) + " | " + _live(chance, server) + "` |"
    if kind < 0.2:
        return f"[r]: {server}/r{chance.randint(0, 99)} '{_live(chance, server)}'"
    if kind < 0.26:
        return ""
    parts = [
        _live(chance, server) if chance.random() < 0.35 else chance.choice(_GLUE) for _ in range(chance.randint(1, 7))
    ]
    return _start(chance) + "".join(parts)


def _start(chance):
    return "".join(chance.choice(_STARTS) for _ in range(chance.choice((0, 0, 1, 1, 2, 3))))


def _live(chance, server):
    return chance.choice(_LIVE).format(run=_RUN, server=server, n=f"n{chance.randint(0, 9999)}")
