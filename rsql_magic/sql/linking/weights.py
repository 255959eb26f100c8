"""How much each sign of relevance counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Weights:
    """The numbers of the ranking, the same for every catalog.

    They are round on purpose: hardly one matters to its second digit (docs/linking.md).

    Args:
        name: A word of a table's own name.
        column: A word of a column's name.
        group: A word of the schema or prefix a table belongs to.
        note: A word of a table's description.
        column_note: A word of a column's description.
        value: A word of a stored value.
        full_value: A phrase of the question that is a stored value.
        word_value: A plain word of the question that is a stored value by chance or on purpose.
        k1: How soon repetition stops to count (BM25).
        b: How much many columns dilute each word (BM25).
        b_name: How much a long name dilutes each word.
        short: A long word that a short form may mean (dept, department).
        part: A word inside a compound (hometown, home).
        synonym: A word that stands for the word asked, times what the thesaurus says.
        alike: A word that begins like the word asked (diagnosed, diagnosis).
        number: A number in the question.
        extreme: A word such as "highest", which asks for a rank rather than for a table.
        inside: A word that is part of a known phrase or value.
        intent: What "when", "where", "who" or a date ask for.
        neighbour: What a word found in a table one key away counts here.
        maybe: A key that names suggest, against one that is declared.
        local: The words covered together with the tables one key away.
        far: The words covered together with the tables two keys away.
        cluster: The words covered together with the whole schema, prefix or island of keys.
        size: How much a large cluster's coverage is discounted.
        sharp: How much a word counts less where another table of the cluster has it more.
        hub: What the table that most others refer to gains, as a share of the best score; fewer gain by the logarithm.
        damp: How much less a table with many keys hands on to its neighbours (a power of its number of neighbours).
        copy: What is left of the score of a copy (``orders_bak``) that the question does not ask for.
        guess: An unknown short form that may be the word asked (``trns``, transaction).
    """

    name: float = 3.0
    column: float = 1.0
    group: float = 1.0
    note: float = 0.3
    column_note: float = 0.3
    value: float = 0.2
    full_value: float = 0.2
    word_value: float = 0.1
    k1: float = 1.5
    b: float = 0.65
    b_name: float = 0.85
    short: float = 1.0
    part: float = 0.8
    synonym: float = 0.7
    alike: float = 0.2
    number: float = 0.5
    extreme: float = 0.3
    inside: float = 0.5
    intent: float = 0.2
    neighbour: float = 1.0
    maybe: float = 0.7
    local: float = 1.3
    far: float = 0.3
    cluster: float = 2.5
    size: float = 0.3
    sharp: float = 1.5
    hub: float = 0.07
    damp: float = 0.3
    copy: float = 0.6
    guess: float = 0.3
