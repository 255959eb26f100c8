"""Whether a query says what its question says: nothing left out, nothing put in, nothing that may mean something else.

The rules take what they know from a question, and the resolver the best candidate for each name. That is right where
the question names things as the schema does; elsewhere it is a guess. Here a guess is noticed once the query stands,
and refused with a reason that a person can act on. The figures behind the rules are in ``docs/offline.md``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlglot import exp

from ..words import stem, tokens, word_set
from .lexicon import likeness
from .query import NotUnderstood

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .linking import Mention
    from .query import Condition
    from .reading import Reading
    from .resolve import Resolver
    from .schema import Column, Table

_SURE, _ALONE, _CLOSE = 0.9, 0.7, 0.05
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_MARK = re.compile(r"‹([TBCA])(\d+)›")
_LISTING = re.compile(r"^(?:what|which|who|names?|find|list)\b")
_ASKING = re.compile(r"\b(?:what|which|who|how|where|when)\b")
_LISTED = re.compile(r"‹[CBA]\d+›.* (?:,|and) (?:(?:that|those|of|their|its|all|from|for) )*‹[TB](?P<n>\d+)›(?! ‹)")
_UNSHOWN = re.compile(r"\b(?:by|with|have|has|had|that) (?P<mark>‹[CB]\d+›)")
_DIFFERENT = word_set("different distinct unique")
_LARGER = {"hour": ("day", "date"), "day": ("month",), "week": ("year",), "month": ("year",), "quarter": ("year",)}
_AMOUNTS = word_set("no num number of count total amount n")


class Certainty:
    """One query beside its question.

    Args:
        question: The user's words.
        reading: The question after all rules.
        left: Its marked text before what is asked for was taken from it.
        resolver: What the mentions mean.
        query: The query.
    """

    def __init__(self, question: str, reading: Reading, left: str, resolver: Resolver, query: exp.Select) -> None:
        self.reading, self.left, self.resolver, self.query = reading, left, resolver, query
        self.words = [token.text for token in tokens(question)]
        self.question = question.lower()
        self.said = set(reading.original.split())
        self.columns = list(query.find_all(exp.Column))
        used = {table.name.lower() for table in query.find_all(exp.Table)}
        self.tables = [t for t in resolver.schema.tables if t.name.rpartition(".")[2].lower() in used]

    def check(self) -> None:
        """Refuse a query that is a guess.

        Raises:
            NotUnderstood: Naming what could be meant otherwise, or would be left out.
        """
        self._check_one_question()
        self._check_shown()
        self._check_tables()
        self._check_counts()
        self._check_repeats()
        self._check_rank()
        self._check_addends()
        self._check_calendar()
        self.check_change()

    def check_change(self) -> None:
        """Refuse what is a guess in a question that changes the query before it.

        Raises:
            NotUnderstood: Naming what could be meant otherwise, or would be left out.
        """
        self._check_names()
        self._check_heard()
        self._check_constants()
        self._check_values()
        self._check_conditions()

    # What is asked for.

    def _check_one_question(self) -> None:
        for sentence in re.split(r"[.?!;]\s", self.question):
            if len(_ASKING.findall(sentence)) > 1:
                raise NotUnderstood("These are two questions at once")

    def _check_shown(self) -> None:
        """What stands in the list of what is asked for is shown, each once; and there is such a list."""
        star = any(isinstance(part, exp.Star) for part in self.query.expressions)
        if (
            star
            and not self.reading.draft.everything
            and not _MARK.search(self.left)
            and _LISTING.search(self.question)
        ):
            raise NotUnderstood("I do not see what is to be shown")
        unplaced = _UNSHOWN.search(self.left)
        if unplaced:
            raise NotUnderstood(f"I do not see what “{self._mention(unplaced['mark']).text}” is for")
        listed = _LISTED.search(self.left)
        if listed and not self._is_shown(int(listed["n"])):
            raise NotUnderstood(f"I do not see what to show of “{self.reading.mentions[int(listed['n'])].text}”")
        shown: dict[Column, int] = {}
        for number in () if star else self._listed_columns():
            column = self.resolver.column(number)
            if column.name.lower() not in {
                c.name.lower() for e in self.query.expressions for c in e.find_all(exp.Column)
            }:
                raise NotUnderstood(f"I do not see what “{self.reading.mentions[number].text}” is for")
            if shown.setdefault(column, number) != number:
                raise NotUnderstood(f"I do not see how “{self.reading.mentions[number].text}” is to be told apart")

    def _listed_columns(self) -> Iterator[int]:
        for match in _MARK.finditer(self.left):
            number, item = int(match[2]), self.reading.item(match[2])
            plain = match[1] != "A" and not item.computed and not self.resolver.is_table(number)
            if plain and not self._only_says_when(number):
                yield number

    def _only_says_when(self, number: int) -> bool:
        """Whether a participle belongs to a time: “books published in 2021”."""
        column, where = self.resolver.column(number), self.query.args.get("where")
        timed = where is not None and any(c.name == column.name for c in where.find_all(exp.Column))
        return self.reading.mentions[number].is_participle and column.is_time and timed

    def _is_shown(self, number: int) -> bool:
        mention = self.reading.mentions[number]
        names = {c.name for t, _ in mention.tables for c in (t.display, *(t.person or ())) if c}
        names |= {c.name for c, _ in mention.columns}
        return any(c.name in names for e in self.query.expressions for c in e.find_all(exp.Column))

    def _mention(self, mark: str) -> Mention:
        return self.reading.mentions[int(re.sub(r"\D", "", mark))]

    # Names.

    def _check_names(self) -> None:
        """A name says most of the words of the column it is taken for, and of no other's that is as near."""
        for number, column in self.resolver.chosen.items():
            mention = self.reading.mentions[number]
            fit = next((fit for other, fit in mention.columns if other == column), 1.0)
            sure = len(mention.columns) > 1 and not (mention.is_participle and column.is_time)
            if fit < (_SURE if sure else _ALONE):
                raise NotUnderstood(f"I am not sure that “{mention.text}” means {column.table}.{column.name}")
            owner = self.reading.owners.get(number)
            if owner is not None and mention.columns:
                self._check_owned(mention, column, self.resolver.table(owner))
            elif rivals := list(self._rivals(mention, column, fit)):
                names = " or ".join(f"{c.table}.{c.name}" for c in (column, *rivals[:3]))
                raise NotUnderstood(f"“{mention.text}” may mean {names}")

    def _check_owned(self, mention: Mention, column: Column, owner: Table) -> None:
        if owner.name != column.table:
            raise NotUnderstood(f"I see no “{mention.text}” in {owner.name}")

    def _rivals(self, mention: Mention, column: Column, fit: float) -> Iterator[Column]:
        """Other columns that the words fit as well: of the same table, or of one that is spoken of no less."""
        named = {table.name for table in self.resolver.named} | set(self._told())
        for other, score in mention.columns:
            if other == column or score < fit - _CLOSE or self.resolver.same(other, column):
                continue
            if other.table == column.table or column.table not in named or other.table in named:
                yield other

    def _told(self) -> Iterator[str]:
        """Tables that are told by a column which no other table has."""
        for number, column in self.resolver.chosen.items():
            if {other.table for other, _ in self.reading.mentions[number].columns} <= {column.table}:
                yield column.table

    def _check_tables(self) -> None:
        """A table takes part because the question names it or a column of it, or because it only links two that do."""
        mentions = self.reading.mentions
        said = {table.name for table in self.resolver.named}
        said |= {column.table for number, column in self.resolver.chosen.items() if mentions[number].end}
        for table in self.tables if len(self.resolver.schema.tables) > 1 else ():
            if table.name not in said and not links(table):
                raise NotUnderstood(f"I should have to go through {table.name}, which the question does not name")

    def _check_heard(self) -> None:
        """Every name of the question is in the query, and no "each" is left over."""
        if dropped := re.search(r"\b(?:each|every)\b(?! (?:of )?‹)", self.left):
            raise NotUnderstood(f"I did not take “{dropped[0]}” into account")
        tables = {table.name for table in self.tables}
        names = {column.name.lower() for column in self.columns}
        for number, mention in enumerate(self.reading.mentions):
            if not mention.end or number in self.reading.timed or not (mention.tables or mention.columns):
                continue
            there = any(table.name in tables for table, _ in mention.tables)
            if not there and not any(c.table in tables and c.name.lower() in names for c, _ in mention.columns):
                raise NotUnderstood(f"I did not take “{mention.text}” into account")

    # Constants.

    def _check_constants(self) -> None:
        """Every number and every quoted text of the question is in the query."""
        held = " ".join(literal.name for literal in self.query.find_all(exp.Literal)).lower()
        for number, mention in enumerate(self.reading.mentions):
            said = f"{mention.number:.15g}" if mention.number is not None else mention.text if mention.quoted else ""
            if not said or mention.unit or number in self.reading.timed:
                continue
            if not any(one.lower().strip("%-") in held for one in (said, _next_year(said))):
                raise NotUnderstood(f"I did not take “{mention.text}” into account")

    def _check_values(self) -> None:
        """A text stands for a value that its column is known to hold, or the question names the column in full."""
        for condition in self.reading.draft.where:
            mention = self.reading.mentions[condition.mention] if condition.mention is not None else None
            if mention is None or mention.number is not None:
                continue
            if longer := _longer_name(self.words, mention):
                raise NotUnderstood(f"I do not know where “{longer}” is stored")
            if mention.values:
                self._check_held_once(mention, condition)
            elif condition.item is not None and condition.item.mention is not None:
                self._check_named_in_full(mention, condition.item.mention)

    def _check_held_once(self, mention: Mention, condition: Condition) -> None:
        tables = {table.name for table in self.tables}
        near = [column for column, _ in mention.values if column.table in tables]
        if condition.item is None and len(near) > 1:
            names = " or ".join(f"{c.table}.{c.name}" for c in near[:4])
            raise NotUnderstood(f"“{mention.text}” may be a value of {names}")

    def _check_named_in_full(self, value: Mention, number: int) -> None:
        mention = self.reading.mentions[number]
        if not mention.end:
            return
        if self.resolver.is_table(number):
            raise NotUnderstood(f"I do not know where “{value.text}” is stored")
        column = self.resolver.column(number)
        said = [stem(word) for word in mention.text.lower().split()]
        whole = all(any(likeness(one, word) >= _SURE for one in said) for word in column.words)
        if " of " in f" {mention.text} " or column.facts.complete or not (whole or column.is_time):
            raise NotUnderstood(f"I do not know that {column.table}.{column.name} holds “{value.text}”")

    # Figures.

    def _check_counts(self) -> None:
        """Different values are counted where the question says so; elsewhere it may mean rows, or their sum."""
        groups = [group.sql() for group in self.query.args["group"].expressions] if self.query.args.get("group") else []
        for count in self.query.find_all(exp.Count):
            if not isinstance(count.this, exp.Distinct) or self.said & _DIFFERENT:
                continue
            counted = count.this.expressions[0]
            if groups or not self._is_key(counted):
                raise NotUnderstood(
                    f"I do not see whether rows or different values of {counted.sql()} are to be counted"
                )

    def _is_key(self, column: exp.Expr) -> bool:
        return any(c.name == column.name and (c.key or c.facts.unique) for t in self.tables for c in t.columns)

    def _check_repeats(self) -> None:
        """Rows that a join repeats may be wanted once or as often as they come."""
        if self.query.args.get("distinct") and self.query.args.get("joins") and not self.said & _DIFFERENT:
            raise NotUnderstood("Rows would come several times, and I do not see whether each is wanted once")

    def _check_rank(self) -> None:
        """The first by a count over a join is one of several where counts are equal."""
        order, limit = self.query.args.get("order"), self.query.args.get("limit")
        if order and limit and self.query.args.get("joins") and order.find(exp.Count):
            raise NotUnderstood("I do not rank by counts over several tables, as several may come first")

    def _check_calendar(self) -> None:
        """“The hottest day” is no number from 1 to 31, averaged over all months."""
        if not (self.query.args.get("limit") and self.query.args.get("order")):
            return
        for table in self.tables:
            held = {c.words[0]: c for c in table.columns if len(c.words) == 1}
            told = {c.name for c in self.columns}
            for part, larger in _LARGER.items():
                shown = part in held and any(held[part].name == c.name for c in self._shown_columns())
                beside = [held[name] for name in larger if name in held and not _is_one(held[name])]
                if shown and beside and not {c.name for c in beside} & told:
                    raise NotUnderstood(f"{held[part].name} alone does not say which {part}, without {beside[0].name}")

    def _shown_columns(self) -> Iterator[exp.Column]:
        return (column for part in self.query.expressions for column in part.find_all(exp.Column))

    def _check_addends(self) -> None:
        """How many there are may stand in a column: “how many customers”, where banks have a ``no_of_customers``."""
        for number in self._counted():
            mention = self.reading.mentions[number]
            words = {stem(word) for word in self.resolver.table(number).words}
            for column in self.resolver.schema.columns():
                held = {stem(word) for word in column.words}
                if column.is_number and not column.is_id and held > words and held - words <= _AMOUNTS:
                    said = f"{column.table}.{column.name}"
                    raise NotUnderstood(f"“{mention.text}” may be counted, or added up from {said}")

    def _counted(self) -> Iterator[int]:
        for item in (*self.reading.draft.select, *(order.item for order in self.reading.draft.order)):
            if item.aggregate == "count" and item.mention is not None and self.resolver.is_table(item.mention):
                yield item.mention

    # Conditions.

    def _check_conditions(self) -> None:
        """No row can meet "more than 5" and "less than 3", and every row meets "male or female"."""
        for select in self.query.find_all(exp.Select):
            where = select.args.get("where")
            limits: dict[str, list[exp.Expr]] = {}
            for one in where.this.flatten() if where and isinstance(where.this, exp.And) else ():
                if isinstance(one, exp.Binary) and isinstance(one.this, exp.Column):
                    limits.setdefault(one.this.sql(), []).append(one)
            for name, several in limits.items():
                if excludes(several):
                    raise NotUnderstood(f"No row can meet both conditions on {name}")
        for chosen in self.query.find_all(exp.In):
            self._check_leaves_out(chosen)

        for one in self.query.find_all(exp.EQ, exp.GT, exp.GTE, exp.LT, exp.LTE):
            self._check_range(one)

    def _check_range(self, one: exp.Binary) -> None:
        """A number lies in the range of its column, as far as that is known."""
        if not (
            isinstance(one.this, exp.Column) and isinstance(one.expression, exp.Literal) and one.expression.is_number
        ):
            return
        for column in (c for t in self.tables for c in t.columns if c.name == one.this.name and _in(t, one.this)):
            if column.facts.about or not (_NUMBER.fullmatch(column.facts.low) and _NUMBER.fullmatch(column.facts.high)):
                continue
            low, high, asked = float(column.facts.low), float(column.facts.high), float(one.expression.name)
            above = asked > high if isinstance(one, exp.EQ | exp.GTE) else asked >= high
            below = asked < low if isinstance(one, exp.EQ | exp.LTE) else asked <= low
            if (above and not isinstance(one, exp.LT | exp.LTE)) or (below and not isinstance(one, exp.GT | exp.GTE)):
                span = f"{column.facts.low} to {column.facts.high}"
                raise NotUnderstood(
                    f"{column.table}.{column.name} goes from {span}, so no row has {one.expression.name}"
                )

    def _check_leaves_out(self, chosen: exp.In) -> None:
        columns = [c for t in self.tables for c in t.columns if c.name.lower() == chosen.this.name.lower()]
        values = {value.name for value in chosen.expressions}
        if any(c.facts.complete and set(c.facts.values) <= values for c in columns):
            raise NotUnderstood(f"Every row has one of these values of {chosen.this.name}: {', '.join(sorted(values))}")


def _is_one(column: Column) -> bool:
    """Whether a column is known to hold one value alone."""
    known = {*column.facts.values, column.facts.low, column.facts.high} - {""}
    return len(known) == 1


def _longer_name(words: list[str], mention: Mention) -> str:
    """A name that only begins or ends with a value: “New York City”, of which New York is stored."""
    said = mention.text.split()
    for place in range(len(words) - len(said) + 1):
        if words[place : place + len(said)] == said and said[0][0].isupper():
            first, last = place, place + len(said)
            first -= place > 1 and words[place - 1][0].isupper()
            last += last < len(words) and words[last][0].isupper()
            return " ".join(words[first:last]) if last - first > len(said) else ""
    return ""


def _next_year(said: str) -> str:
    """The year in which “after 2010” begins."""
    return str(int(said) + 1) if re.fullmatch(r"[12]\d{3}", said) else said


def links(table: Table) -> bool:
    """Whether a table only ties others together."""
    linked = {name for key in table.keys for name in key.columns}
    return bool(linked) and all(column.name in linked or column.name in table.primary for column in table.columns)


def excludes(conditions: list[exp.Expr]) -> bool:
    """Whether no value meets all of several comparisons of one column.

    Example:
        >>> from sqlglot import condition
        >>> excludes([condition("x > 5"), condition("x < 3")])
        True
    """
    equal = {c.expression.sql() for c in conditions if isinstance(c, exp.EQ)}
    low = [c.expression for c in conditions if isinstance(c, exp.GT | exp.GTE | exp.EQ)]
    high = [c.expression for c in conditions if isinstance(c, exp.LT | exp.LTE | exp.EQ)]
    return len(equal) > 1 or any(_above(one, other) for one in low for other in high)


def _in(table: Table, column: exp.Column) -> bool:
    return column.table.lower() in {"", table.name.rpartition(".")[2].lower()}


def _above(one: exp.Expr, other: exp.Expr) -> bool:
    if not (isinstance(one, exp.Literal) and isinstance(other, exp.Literal)) or one.is_string != other.is_string:
        return False
    return one.name > other.name if one.is_string else float(one.name) > float(other.name)
