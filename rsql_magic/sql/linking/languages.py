"""Words of German, French and Spanish, as far as schemas and questions are full of them: ``languages.txt``.

No translation, but the commonest nouns of business: "Kunden" finds ``customer``, and "customers" ``kunden_nr``. Which
language a text is in is told by its small words, so that ``art``, ``pays`` or ``red`` stay English in English.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from functools import cache, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

from rsql_magic.sql.linking.thesaurus import thesaurus
from rsql_magic.sql.linking.words import STOP_WORDS, WORD

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LANGUAGES = ("de", "fr", "es")

_SMALL = {
    "de": """
        wie viele viel welche welcher welches welchen wer wo wann der die das den dem des ein eine
        einen einem einer und oder nicht kein keine nie noch ist sind hat haben hatte hatten wurde
        wurden wird werden mit ohne von vom bei aus nach zu zum zur im auf unter über zwischen je
        pro jede jeder jedes jeden alle allen aller zeige zeig gib mir liste als mehr weniger
        meisten wenigsten ihr ihre ihren ihrem seit bis für sich es sie er wir gibt pro oft
    """,
    "fr": """
        combien quel quelle quels quelles qui que quoi où quand le la les un une des du de et ou ne
        pas jamais est sont ont été étaient était avec sans par pour dans sur sous entre chaque tous
        toutes tout toute montre montrez donne moi liste plus moins au aux ce cette ces leur leurs
        son sa ses depuis y il elle nous
    """,
    "es": """
        cuántos cuántas cuánto cuánta cuantos cuantas cuál cuáles qué quién quiénes dónde cuándo el
        la los las un una unos unas de del al y e o u no nunca es son fue fueron fueran tiene tienen
        hay con sin por para en sobre entre cada todos todas todo toda muestra muéstrame dame lista
        más menos su sus que desde hasta
    """,
}
_ENDINGS = {
    "de": "innen ern en er em es e n s",
    "fr": "ees ee es e s x",
    "es": "es os as o a e s",
}
_SHORTEST, _SHORTEST_PART = 3, 4
_LINKING = ("", "s", "es", "n", "en")
"""What ties the parts of a German compound together."""
_SPOKEN_FROM, _SPOKEN_SHARE = 5, 0.15
"""So many words of a schema, and this share of them, make its language."""


def language_of(question: str) -> str:
    """The language of a question, ``en`` unless its words say otherwise.

    Example:
        >>> [language_of(q) for q in ("Umsatz je Kunde", "Combien de clients ?", "revenue by client")]
        ['de', 'fr', 'en']
    """
    words = [word.casefold() for word in WORD.findall(question) if word.isalpha()]
    english = sum(2 * (word in STOP_WORDS) + (word in thesaurus().words) for word in words)
    scores = {language: sum(_weight(word, language) for word in words) for language in LANGUAGES}
    best = max(LANGUAGES, key=lambda language: scores[language])
    return best if scores[best] > english else "en"


def _weight(word: str, language: str) -> int:
    if word in small_words(language):
        return 2
    return int(word not in thesaurus().words and bool(translated(word, language)))


def languages_of(words: Iterable[str]) -> tuple[str, ...]:
    """The languages that the words of a schema are in, besides English."""
    telling = {word for word in words if len(word) >= _SHORTEST and word.isalpha() and word not in thesaurus().words}
    counts = {language: sum(bool(translated(word, language)) for word in telling) for language in LANGUAGES}
    least = max(_SPOKEN_FROM, _SPOKEN_SHARE * len(telling))
    return tuple(language for language in LANGUAGES if counts[language] >= least)


@cache
def small_words(language: str) -> frozenset[str]:
    """Words of a language that name nothing in a database."""
    return frozenset(_SMALL.get(language, "").split())


@lru_cache(maxsize=65536)
def translated(word: str, language: str) -> tuple[tuple[str, ...], ...]:
    """The English words that may stand for a word of a language: one group, or one per part of a German compound.

    Example:
        >>> translated("kunden", "de"), translated("rechnungsdatum", "de"), translated("xyz", "de")
        ((('customer', 'client'),), (('bill', 'invoice'), ('date',)), ())
    """
    folded = _folded(word, language)
    if whole := _looked_up(folded, language):
        return (whole,)
    if language != "de":
        return ()
    for cut in range(len(folded) - _SHORTEST_PART, _SHORTEST_PART - 1, -1):
        last = _looked_up(folded[cut:], language)
        first = next((found for tie in _LINKING if (found := _looked_up(folded[:cut].removesuffix(tie), language))), ())
        if first and last:
            return first, last
    return ()


def _looked_up(folded: str, language: str) -> tuple[str, ...]:
    return _dictionary()[language].get(_root(folded, language), ())


@cache
def _dictionary() -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    """For each language the roots of its words, with their English meanings."""
    found: dict[str, dict[str, list[str]]] = {language: defaultdict(list) for language in LANGUAGES}
    text = files("rsql_magic.sql.linking").joinpath("languages.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        english, *columns = (part.split(",") for part in line.split("|"))
        for language, words in zip(LANGUAGES, columns, strict=True):
            for word in filter(None, map(str.strip, words)):
                found[language][_root(_folded(word, language), language)] += [one.strip() for one in english]
    return {
        language: {root: tuple(dict.fromkeys(meanings)) for root, meanings in roots.items()}
        for language, roots in found.items()
    }


def _folded(word: str, language: str) -> str:
    """Without accents, as names are written: ``Länder`` and ``laender`` alike."""
    plain = word.casefold().replace("ß", "ss")
    letters = "".join(c for c in unicodedata.normalize("NFD", plain) if not unicodedata.combining(c))
    return re.sub(r"([aou])e(?=[^aeiou])", r"\1", letters) if language == "de" else letters


def _root(folded: str, language: str) -> str:
    """Without the commonest endings."""
    for ending in _ENDINGS[language].split():
        if folded.endswith(ending) and len(folded) - len(ending) >= _SHORTEST:
            return folded.removesuffix(ending)
    return folded
