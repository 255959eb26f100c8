"""The question of a cell: the line and what stands below it, what it follows on, and the names that it mentions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from rsql_magic.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterable

_SECOND = re.compile(r"^(%%(?:ask|sql_ai))\b|\A\s*(%(?:ask|sql_ai))\b", re.M)


def joined(text: str, cell: str | None, magic: str) -> str:
    """The question, one alone: the rest of the line and the cell below it (None for a line magic), letter by letter."""
    if second := _SECOND.search(cell or ""):
        raise BadInput(f"A second {second[0].strip()} stands in this cell.", hint="Put it into a cell of its own.")
    question = "\n".join(part for part in (text, (cell or "").strip("\n")) if part.strip())
    if not question.strip():
        hint = f"Write it below {magic}." if cell is not None else f"{magic[1:]} QUESTION."
        raise BadInput("There is no question.", hint=hint)
    return question


def silenced(question: str) -> bool:
    """Whether a semicolon at the end asks to show nothing."""
    return question.rstrip().endswith(";")


def spoken(question: str) -> str:
    """The question without the semicolon that silences the cell."""
    return question.rstrip().removesuffix(";") if silenced(question) else question


# Questions that follow on another


@dataclass(frozen=True)
class _Tongue:
    """How questions of one language say that they follow."""

    opening: re.Pattern[str]  # patterns of words that only a question that follows begins with
    within: re.Pattern[str]  # patterns of words that point back wherever they stand
    plain: frozenset[str]  # words that name nothing; what a pronoun behind nothing else stands for was said before
    pronouns: re.Pattern[str]  # patterns of pronouns
    fragment: re.Pattern[str]  # Patterns of words that begin a piece of a sentence, such as "by month".


def _tongue(opening: str, within: str, plain: str, pronouns: str, fragment: str) -> _Tongue:
    def words(pattern: str) -> re.Pattern[str]:
        return re.compile(rf"(?:{pattern})(?!\w)")

    return _Tongue(words(opening), words(within), frozenset(plain.split()), words(pronouns), words(fragment))


_ENGLISH = _tongue(
    "and|but|or|now|only|also|again|instead|then|plus|same|the same|(?:what|how) about|what else|why(?: not)?$|more$"
    "|just (?:the|those|these|for|in|with|from|first|last)|(?:more|fewer|shorter|longer|simpler|less)(?: detail\\w*)?$"
    "|(?:yes|no|ok|okay|thanks)$|go on|continue|try again|another (?:one|way|example)|one more"
    "|(?:explain|simplify|shorten|change|translate|rewrite|fix|rerun|run|plot|draw|chart|save|sort)"
    " (?:the|this|that|your) (?:query|answer|result|results|reply|sql)",
    "(?:previous|preceding|last|earlier) (?:query|question|answer|result|results|chart|plot|reply|sql)"
    "|(?:the|this|that|your) (?:query|answer|result|results|reply|chart|plot|sql)(?= (?:above|again|before))"
    "|your (?:query|suggestion|solution|last|previous)|you (?:just )?(?:said|wrote|gave|suggested|proposed)"
    "|as (?:above|before)|instead$|(?:the )?other ones|the (?:others|rest)$|(?:the|this|that|first|last|other) ones?$",
    "show list give tell me us display print get find return sort order rank group plot draw chart graph visualize"
    " visualise make put turn convert count sum average total explain describe translate rewrite simplify shorten keep"
    " drop remove add include exclude filter limit restrict compare split break run try fix do does did are"
    " is was were will can could would should you i we please how many much what which who where when why of for with"
    " without in by to from the a an all both each most among about on only just into name names number",
    "(?:those|these)(?!.* (?:who|whose|whom|where|which|that) )|them|they|their|theirs"
    "|(?<!is )(?<!was )(?<!does )(?<!will )(?<!can )(?<!should )it(?! (?:is|possible|take|mean|true))"
    "|(?:that|this)(?= (?:as|by|in|per|into|again|instead|mean|for)(?!\\w)|$)|its",
    "by|per|for|without|as|sorted|ordered|grouped|split|excluding|except|including|in (?:percent|(?:a|de)scending)",
)
_GERMAN = _tongue(
    "und|aber|oder|jetzt|nun|nur|auch|dann|danach|stattdessen|nochmals?|noch einmal|dasselbe|das gleiche|dieselben?"
    "|die gleichen?|was ist mit|wie (?:ist|sieht) es|warum(?: nicht)?$|weiter$|mehr$|und zwar|kürzer$|sonst noch",
    "(?:letzten?|vorigen?|vorherigen?|obigen?) (?:abfrage|frage|antwort|ergebnis|tabelle)|wie (?:oben|vorher|zuvor)"
    "|deine[rn]? (?:antwort|abfrage)|stattdessen$",
    "zeig zeige mir uns liste nenne gib sortiere ordne gruppiere zeichne mache mach erkläre zähle filtere"
    " vergleiche was wie viele wer wieviele welche welcher welches wo wann warum sind ist war waren haben hat von für"
    " mit ohne nach in bitte nur der die das den kannst du",
    "davon|dazu|damit|diese[nrs]?(?= (?:als|nach|pro|in|nur)(?!\\w)|$)|denen|deren|ihnen"
    "|(?:sie|es|das)(?= (?:als|nach|pro|in|nur|absteigend|aufsteigend|noch)(?!\\w)|$)",
    "nach|pro|für|ohne|als|sortiert|gruppiert|außer|einschließlich|in prozent",
)
_FRENCH = _tongue(
    "et|mais|ou bien|maintenant|seulement|uniquement|aussi|ensuite|puis|encore|plutôt|pareil|la même chose|le même"
    "|les mêmes|idem|qu'en est-il|pourquoi(?: pas)?$|plus court$|à la place|juste (?:les|ceux|celles)",
    "(?:requête|question|réponse) (?:précédente|d'avant)|(?:résultat|graphique) précédent|(?:dernière|dernier)"
    " (?:requête|question|réponse|résultat)|comme (?:avant|ci-dessus)|ta (?:réponse|requête)|à la place$",
    "montre montrez affiche liste donne donnez moi nous trie triez groupe dessine trace explique compte filtre compare"
    " quel quelle quels quelles lesquels lesquelles laquelle lequel combien d entre d'entre qui où quand"
    " pourquoi sont est de des pour avec sans par dans le la les un une que peux tu",
    "ceux-ci|celles-ci|ceux-là|celles-là|ceux|celles|eux|elles|leurs?"
    "|(?:montre|affiche|trie|dessine|trace|explique|compte)[z-]*(?:-les|-le|-la)|(?:ça|cela|ceci)",
    "par|pour|sans|comme|trié|triés|triées|groupé|groupés|sauf|en (?:pourcentage|graphique)",
)
_SPANISH = _tongue(
    "y|pero|ahora|sólo|solamente|únicamente|también|luego|además|lo mismo|el mismo|los mismos|igual|otra vez|de nuevo"
    "|en cambio|en su lugar|qué (?:hay de|pasa con)|por qué(?: no)?$|más$"
    "|solo (?:los|las|el|la|lo|de|del|en|para|por|con|es[oa]s|est[oa]s)",
    "(?:consulta|pregunta|respuesta) anterior|(?:última|último) (?:consulta|pregunta|respuesta|resultado)"
    "|resultado anterior|como (?:antes|arriba)|tu (?:respuesta|consulta)",
    "muestra muéstrame lista dame ordena agrupa dibuja explica cuenta filtra compara cuál cuáles cuántos"
    " cuántas qué quién dónde cuándo son es fueron de para con sin por en el la los las un una a me",
    "es[oa]s|est[oa]s(?= (?:por|como|en|de)(?!\\w)|$)|ell[oa]s|muéstral[oa]s?|ordénal[oa]s?|dibújal[oa]s?"
    "|agrúpal[oa]s?|explícal[oa]|sus|(?:eso|esto)",
    "por|para|sin|como|ordenad[oa]s?|agrupad[oa]s?|excepto|salvo|en porcentaje",
)
_NOW = re.compile(
    r"(?<!\w)(?:today|tomorrow|yesterday|now|nowadays|current(?:ly)?|(?<!most )recently|lately|upcoming|ago|so far"
    r"|until now|overdue|expired|how old|(?:this|last|past|previous|next|coming|current) (?:\w+ )?(?:second|minute"
    r"|hour|day|night|week|weekend|fortnight|month|quarter|year|decade|century|season|term|semester"
    r"|monday|tuesday|wednesday"
    r"|thursday|friday|saturday|sunday|january|february|march|april|may|june|july|august|september|october|november"
    r"|december|spring|summer|autumn|fall|winter)s?|since (?:yesterday|last)|ytd|mtd|future|in the past"
    r"|heute|morgen|gestern|vorgestern|jetzt|aktuell\w*|derzeit\w*|momentan\w*|bisher\w*|bislang|kürzlich|neulich"
    r"|zuletzt|vor \w+ (?:stunden?|tag(?:en)?|wochen?|monat(?:en)?|jahr(?:en)?)|wie alt|überfällig\w*|abgelaufen\w*"
    r"|(?:diese|letzte|vorige|vergangene|nächste|kommende|laufende)[nmrs]? (?:\w+ )?(?:stunden?|tage?n?"
    r"|wochen?|monate?n?"
    r"|quartale?|jahre?n?|woche|monat|jahr)"
    r"|aujourd'hui|demain|hier|maintenant|actuel\w*|récent\w*|dernièrement|jusqu'(?:ici|à présent)|il y a"
    r"|(?:ce|cet|cette|ces) (?:semaine|mois|année|trimestre|jour)s?|(?:semaine|mois|année|an|trimestre|jour|heure)s?"
    r" (?:dernier|dernière|passé|passée|prochain|prochaine|derniers|dernières)|derni\w+ (?:\w+ )?(?:jours|semaines|mois"
    r"|années|ans|heures)|quel âge|en retard|expiré\w*"
    r"|hoy|mañana|ayer|ahora|actual\w*|reciente\w*|últimamente|hasta (?:ahora|hoy|la fecha)|hace \w+|vencid\w+"
    r"|(?:este|esta|estos|estas) (?:semana|mes|año|trimestre|día)\w*|(?:semana|mes|año|trimestre) (?:pasad[oa]"
    r"|próxim[oa]|que viene)|últim[oa]s (?:\w+ )?(?:días|semanas|meses|años|horas)|próxim\w+ (?:\w+ )?(?:días|semanas"
    r"|meses|años)|qué edad)(?!\w)"
)


def asks_of_now(question: str) -> bool:
    """Whether the words of a question count from today, in English, German, French or Spanish.

    A month without a year does not: a model that is given the day would take this year's, which the data may not hold.

    Example:
        >>> asks_of_now("Orders of the last three weeks"), asks_of_now("Orders of May 2024")
        (True, False)
    """
    return bool(_NOW.search(" ".join(question.casefold().replace("’", "'").split())))


_CHART = re.compile(
    r"\b(?:chart|plot|graph|diagram|histogram|scatter ?plot|heat ?map|visuali[sz](?:e|ation)"
    r"|draw (?:me )?(?:a|the|it)|diagramme?|grafik|histogramme?|zeichne|graphique|trace(?:r|z)?|gráfic[oa]|diagrama"
    r"|histograma"
    r"|dibuja)s?\b"
)


def asks_for_chart(question: str) -> bool:
    """Whether the words of a question want a chart, in English, German, French or Spanish.

    Example:
        >>> asks_for_chart("Plot the delays by month"), asks_for_chart("Who draws the most fouls?")
        (True, False)
    """
    return bool(_CHART.search(question.casefold()))


_TONGUES = (_ENGLISH, _GERMAN, _FRENCH, _SPANISH)

_POLITE = re.compile(
    r"^(?:\W|(?:please|thanks|thank you|great|ok|okay|well|so|hm+|bitte|danke|gut|merci|bien|gracias|vale|por favor"
    r"|s'il te plaît)(?:[,.!:]|\s(?=\w))\s*)+"
)
_SENTENCE = re.compile(
    r"\b(?:what|which|who|how|when|where|show|list|give|find|is|are|do|does|did|has|have|was|were|can|count|return|get"
    r"|welche\w*|wie|wer|was|ist|sind|hat|haben|zeige?|gib|nenne|quel\w*|combien|qui|est|sont|montre\w*|donne\w*"
    r"|cuál\w*|cuánt\w*|qué|quién|es|son|muestra|dame)\b"
)
_WORD = re.compile(r"[\w'-]+")
_LONGEST_FRAGMENT = 7


def follows(question: str) -> bool:
    """Whether the words of a question say that it follows on another, in English, German, French or Spanish.

    A question says so by how it begins ("and by month", "only those"), by words that point back ("the last query",
    "which of them"), by a pronoun before which nothing was named ("plot it"), or by being no sentence ("per carrier").

    Example:
        >>> follows("only those from Oslo"), follows("Which airports have delays, and how long are they?")
        (True, False)
    """
    text = _POLITE.sub("", " ".join(question.casefold().replace("’", "'").split())).rstrip(" .!?;:…")
    return bool(text) and any(_says_so(text, tongue) for tongue in _TONGUES)


def _says_so(text: str, tongue: _Tongue) -> bool:
    if tongue.opening.match(text) or re.search(rf"(?<!\w)(?:{tongue.within.pattern})", text):
        return True
    words = _WORD.findall(text)
    if tongue.fragment.match(text) and len(words) <= _LONGEST_FRAGMENT and not _SENTENCE.search(text):
        return True
    found = re.search(rf"(?<![\w'-])(?:{tongue.pronouns.pattern})", text)
    return found is not None and set(_WORD.findall(text[: found.start()])) <= tongue.plain


# Case is ignored, and `unit price` or `unitPrice` mention `unit_price` too. Scripts that write no blanks between words
# (Chinese, Japanese, Thai) are searched for the name as it is.

_PART = re.compile(r"[^\W_]+")
_TOKEN = re.compile(r"\w+")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_LONGEST_NAME = 5


@dataclass(frozen=True)
class Mentions:
    """A question's text, ready to be asked for names."""

    text: str

    @cached_property
    def _folded(self) -> str:
        return self.text.casefold()

    @cached_property
    def _tokens(self) -> frozenset[str]:
        return frozenset(_TOKEN.findall(self._folded))

    @cached_property
    def _phrases(self) -> frozenset[str]:
        """Up to five words in a row, run together: what a name of several words may be written as."""
        words = _PART.findall(_HUMP.sub(" ", self.text).casefold())
        runs = {"".join(words[n : n + size]) for size in range(1, _LONGEST_NAME + 1) for n in range(len(words))}
        return frozenset(runs | {run[:-1] for run in runs if run.endswith("s") and len(run) > 3})

    def mentions(self, name: str) -> bool:
        """Whether the question names it.

        Example:
            >>> question = Mentions("Plot the Unit Price by region")
            >>> [name for name in ("unit_price", "region", "t", "price.unit") if question.mentions(name)]
            ['unit_price', 'region']
        """
        if not name or len(name) > 200:
            return False
        if (folded := name.casefold()) in self._tokens or self._as_written(folded):
            return True
        return "".join(_PART.findall(folded)) in self._phrases

    def _as_written(self, folded: str) -> bool:
        if folded not in self._folded or (_TOKEN.fullmatch(folded) and not _UNSPACED.search(folded)):
            return False
        start = r"(?<!\w)" if folded[0].isalnum() and not _UNSPACED.match(folded) else ""
        end = r"(?!\w)" if folded[-1].isalnum() and not _UNSPACED.match(folded[-1]) else ""
        return re.search(start + re.escape(folded) + end, self._folded) is not None

    def mentioned(self, names: Iterable[str]) -> list[str]:
        """Those of the names that the question mentions, in their order."""
        return [name for name in names if self.mentions(name)]
