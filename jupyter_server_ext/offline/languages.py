"""Which language a question is in, as far as the offline model must know to say that it reads only English."""

from __future__ import annotations

import re

from .words import word_set

_MARKS = {
    "de": word_set(
        """
        der die das den dem des ein eine einen einem einer und oder nicht ist sind war waren wie viele welche
        welcher welches warum wo wann wer bitte zeige zeig gib mir für von mit nach bei aus über unter
        zwischen durchschnitt durchschnittliche anzahl pro jede jeder jedes alle sortiere erkläre fehler
        tabelle spalte spalten auf im zum
        """
    ),
    "fr": word_set(
        """
        le la les un une des du et ou ne pas est sont était étaient combien quel quelle quels quelles pourquoi
        où quand qui montre montrez donne donnez moi pour de avec par chaque tous toutes moyenne nombre entre
        dans sur sous explique erreur colonne colonnes tableau au aux ce cette ces
        """
    ),
    "es": word_set(
        """
        el los las un una unos unas y o no es son fue fueron cuántos cuántas cuantos cuantas cuál cuáles qué
        por dónde cuándo quién muestra muéstrame dame para de con cada todos todas promedio media número entre
        en sobre explica error columna columnas tabla del al este esta estos la
        """
    ),
}
_ENGLISH = word_set(
    """
        the a an and or not is are was were how many much which what why where when who show give me for of
        with by per each every all average number between in on explain error table column columns list find
        count do does did have has than from to that top most more less least only describe summarize plot
        sort
        """
)
_SAY = {
    "de": "Das Offline-Modell versteht nur Fragen auf Englisch. Bitte stelle die Frage auf Englisch, oder richte "
    "ein Sprachmodell ein "
    "(`GROQ_API_KEY=…` oder `rsql.toml`).",
    "fr": "Le modèle hors ligne ne comprend que les questions en anglais. Posez la question en anglais, ou "
    "configurez un modèle "
    "(`GROQ_API_KEY=…` ou `rsql.toml`).",
    "es": "El modelo sin conexión solo entiende preguntas en inglés. Haga la pregunta en inglés o configure un modelo "
    "(`GROQ_API_KEY=…` o `rsql.toml`).",
    "other": "The offline model only understands questions in English. Ask in English, or set up a language model "
    "(`GROQ_API_KEY=…` or `rsql.toml`).",
}


def language(question: str) -> str:
    """``en``, ``de``, ``fr``, ``es``, or ``other`` for a script that is not Latin.

    Example:
        >>> [language(q) for q in ("How many flights?", "Wie viele Flüge gibt es?", "Combien de vols y a-t-il?")]
        ['en', 'de', 'fr']
    """
    letters = [char for char in question if char.isalpha()]
    if letters and sum(ord(char) > 0x24F for char in letters) > len(letters) / 2:
        return "other"
    words = re.findall(r"[^\W\d_]+", question.lower())
    english = sum(word in _ENGLISH for word in words)
    counts = {name: sum(word in marks for word in words) for name, marks in _MARKS.items()}
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] >= 2 and counts[best] > english else "en"


def only_english(question: str) -> str:
    """The sentence, in the question's language, that only English is understood; empty for an English question."""
    found = language(question)
    return "" if found == "en" else _SAY[found]
