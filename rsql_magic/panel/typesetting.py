"""What a browser would need heavy libraries for, and the kernel has: formulas as MathML, code in colours.

Views ask for it piece by piece and show the text as it was written until they have it.
"""

from __future__ import annotations

from functools import lru_cache

_LONGEST_FORMULA = 4_000
_LONGEST_CODE = 60_000


@lru_cache(maxsize=512)
def mathml(tex: str, *, block: bool = False) -> str:
    r"""A formula as MathML; empty for one that cannot be read, which is then shown as it was written.

    Args:
        tex: Without its dollars.
        block: Whether it stands in a line of its own.

    Example:
        >>> mathml("x")
        '<math xmlns="http://www.w3.org/1998/Math/MathML" display="inline"><mrow><mi>x</mi></mrow></math>'
    """
    from latex2mathml.converter import convert

    if len(tex) > _LONGEST_FORMULA:
        return ""
    try:
        return str(convert(tex, display="block" if block else "inline"))
    except Exception:  # noqa: BLE001 - its errors have no common class, and a model writes anything
        return ""


def coloured(code: str, language: str) -> list[tuple[str, str]]:
    """Code as pieces, each with its kind in Pygments' short form: ``k`` keyword, ``s`` string, ``c`` comment, ….

    Args:
        code: The code.
        language: Its name; a language that Pygments does not know has one piece.

    Example:
        >>> coloured("x = 1", "python")
        [('n', 'x'), ('', ' '), ('o', '='), ('', ' '), ('mi', '1')]
    """
    from pygments.lexers import get_lexer_by_name
    from pygments.token import STANDARD_TYPES
    from pygments.util import ClassNotFound

    if len(code) > _LONGEST_CODE:
        return [("", code)]
    try:
        lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return [("", code)]
    return [
        ("" if (kind := STANDARD_TYPES.get(token, "")) == "w" else kind, text) for token, text in lexer.get_tokens(code)
    ]
