"""What English says about data: abbreviations in names, synonyms, adjectives and the words that carry no content."""

from __future__ import annotations

from functools import lru_cache

from ..words import root, stem, word_set

ABBREVIATIONS: dict[str, tuple[str, ...]] = {
    "addr": ("address",),
    "alt": ("altitude",),
    "amt": ("amount",),
    "apid": ("airport", "id"),
    "apt": ("apartment",),
    "arr": ("arrival",),
    "asst": ("assistant",),
    "auth": ("author",),
    "avg": ("average",),
    "bal": ("balance",),
    "bday": ("birth", "date"),
    "birthdate": ("birth", "date"),
    "birthday": ("birth", "date"),
    "bldg": ("building",),
    "cap": ("capacity",),
    "cat": ("category",),
    "cert": ("certificate",),
    "cid": ("customer", "id"),
    "cls": ("class",),
    "cnt": ("count",),
    "comm": ("commission",),
    "conf": ("conference",),
    "coord": ("coordinate",),
    "crs": ("course",),
    "ctry": ("country",),
    "cust": ("customer",),
    "del": ("delivery",),
    "dep": ("departure",),
    "dept": ("department",),
    "desc": ("description",),
    "descr": ("description",),
    "dest": ("destination",),
    "dir": ("direction",),
    "dist": ("distance",),
    "div": ("division",),
    "dob": ("birth", "date"),
    "doc": ("document",),
    "dst": ("destination",),
    "dur": ("duration",),
    "ed": ("education",),
    "elev": ("elevation",),
    "emp": ("employee",),
    "env": ("environment",),
    "est": ("estimated",),
    "exp": ("experience",),
    "fac": ("faculty",),
    "firstname": ("first", "name"),
    "flno": ("flight", "number"),
    "fname": ("first", "name"),
    "forename": ("first", "name"),
    "givenname": ("first", "name"),
    "surname": ("last", "name"),
    "familyname": ("last", "name"),
    "freq": ("frequency",),
    "gdp": ("gdp",),
    "gov": ("government",),
    "grp": ("group",),
    "hhi": ("household", "income"),
    "hrs": ("hour",),
    "ht": ("height",),
    "humid": ("humidity",),
    "img": ("image",),
    "info": ("information",),
    "init": ("initial",),
    "inst": ("institution",),
    "instr": ("instructor",),
    "inv": ("invoice",),
    "lang": ("language",),
    "lastname": ("last", "name"),
    "lat": ("latitude",),
    "len": ("length",),
    "lname": ("last", "name"),
    "lng": ("longitude",),
    "loc": ("location",),
    "lon": ("longitude",),
    "long": ("longitude",),
    "max": ("maximum",),
    "mfr": ("manufacturer",),
    "mgr": ("manager",),
    "min": ("minimum",),
    "mth": ("month",),
    "nbr": ("number",),
    "no": ("number",),
    "num": ("number",),
    "nums": ("number",),
    "org": ("organization",),
    "orig": ("origin",),
    "pct": ("percent",),
    "perc": ("percent",),
    "phone": ("phone",),
    "pop": ("population",),
    "pos": ("position",),
    "precip": ("precipitation",),
    "pres": ("president",),
    "prod": ("product",),
    "prof": ("professor",),
    "proj": ("project",),
    "pub": ("publication",),
    "qty": ("quantity",),
    "reg": ("region",),
    "rel": ("relation",),
    "req": ("required",),
    "sal": ("salary",),
    "sched": ("scheduled",),
    "sec": ("section",),
    "seg": ("segment",),
    "seq": ("sequence",),
    "src": ("source",),
    "srv": ("service",),
    "std": ("standard",),
    "stu": ("student",),
    "tailnum": ("tail", "number"),
    "tel": ("telephone",),
    "temp": ("temperature",),
    "tot": ("total",),
    "trans": ("transaction",),
    "univ": ("university",),
    "vel": ("velocity",),
    "visib": ("visibility",),
    "vol": ("volume",),
    "wgt": ("weight",),
    "wt": ("weight",),
    "yr": ("year",),
    "zip": ("zip",),
    "zipcode": ("zip", "code"),
}
"""Words of identifiers and what they stand for."""

_SYNONYM_GROUPS = """
movie film
customer client buyer shopper
employee staff worker personnel
teacher instructor lecturer professor faculty
student pupil
country nation nationality
city town municipality
salary wage pay earnings
price cost fee charge
phone telephone
car vehicle automobile
plane aircraft airplane airliner jet
airline carrier
company firm business enterprise corporation
picture photo photograph image
gender sex
job occupation profession
birth born
birthplace hometown
destination dest
origin source
rating score
rank ranking
store shop
doctor physician
medicine drug medication
illness disease
amount quantity
year yr
date day
location place venue
address location
item product
purchase order
singer artist
writer author
company manufacturer
manufacturer maker producer
money amount
type category
last family
elevation altitude
tune track song
area size
length duration
delay lateness late delayed
flight fly flew flown flying
party organization
description detail
detail information
mile distance
kilometer distance
mail email
mailshot mailing
begin start
begin beginning
end finish
percent percentage
average mean avg
maximum max highest
minimum min lowest
number count
visit visitor
membership member
competition contest
match game
enroll register
enrolled enrollment
temperature temp heat
hire hired employ
identifier id
ids id
title name
level grade
budget funding
capital money
crime criminal
state province
sale sell sold
win won winner winning victory
lose lost loser
teach taught
write wrote written
buy bought
pay paid payment
speak spoken spoke
know known
direct directed
publish published publisher publication
belong belonging
produce produced production producer
name named
height tall
weight heavy
bedroom bed room
bathroom bath
"""


@lru_cache(maxsize=1)
def _synonyms() -> dict[str, frozenset[str]]:
    together: dict[str, set[str]] = {}
    for line in _SYNONYM_GROUPS.strip().splitlines():
        group = {stem(word) for word in line.split()}
        for word in group:
            together.setdefault(word, set()).update(group - {word})
    return {word: frozenset(others) for word, others in together.items()}


def is_known(word: str) -> bool:
    """Whether this is a word, or a short form of one, rather than letters."""
    return word in _SHORT_WORDS or word in ABBREVIATIONS or stem(word) in _synonyms()


@lru_cache(maxsize=16384)
def likeness(asked: str, named: str) -> float:
    """How well a word of a question (its stem) names a word of an identifier: 1 the same, 0 unrelated.

    Example:
        >>> likeness("departure", "dep"), likeness("film", "movie"), likeness("apple", "pear")
        (0.95, 0.8, 0.0)
    """
    own = stem(named)
    if asked in (own, named):
        return 1.0
    if ABBREVIATIONS.get(named) == (asked,) or ABBREVIATIONS.get(asked) == (own,):
        return 0.95
    if asked in {f"{own}ed", f"{own}d"}:
        return 0.89
    if own in _synonyms().get(asked, ()):
        return 0.8
    return _surface_likeness(asked, own) if min(len(asked), len(own)) >= 4 else _short_likeness(asked, own)


def _short_likeness(asked: str, own: str) -> float:
    """Three letters that start a long word: ``enr`` for "enrollment"."""
    abbreviates = len(own) == 3 and own not in _SHORT_WORDS and own not in ABBREVIATIONS
    return 0.6 if abbreviates and len(asked) >= 6 and asked.startswith(own) else 0.0


_SHORT_WORDS = word_set(
    """
    act add age air all and any art ask bad bag bar bed big bit box bus buy can car cat cod cow cup cut day dog ear
    eat end eye fan far fee few fit fly fun gas gun guy hot how ice ill inn job key kid law leg let lie lot low man
    map men mix net new not now odd off oil old one out own pay pen per pet pie pin pop put red rid row run sea see
    set sex she sit six son sum sun tag tax tea ten the tie tip top toy try two use van via war was way web who why
    win zip
    """
)
"""Words of three letters that abbreviate nothing."""


def _surface_likeness(asked: str, own: str) -> float:
    """Shared roots (``director`` ~ ``directed``) and long prefixes (``dest`` ~ ``destination``)."""
    if root(asked) == root(own):
        return 0.75
    if own.endswith(asked) and len(own) - len(asked) >= 3:  # "room" for classroom
        return 0.65
    shorter, longer = sorted((asked, own), key=len)
    if longer.startswith(shorter) and len(longer) - len(shorter) >= 4:
        return 0.6
    return 0.0


GENERIC = word_set(
    """
    id ids code name names title description desc details detail type number no num key date value text info
    flag
    """
)
"""Words that end many names and may be left unsaid: "country" for ``country_code``."""

ARTICLES = frozenset({"the", "a", "an", "'s", "'", "´"})
"""Dropped before anything is read."""

_FUNCTION_WORDS = word_set(
    """
    a about across actually all along alongside also altogether am amongst among an and any anybody anyone
    anything anywhere are as ask asked at available be became because become been being belong belonging belongs
    below both but by called can certain come comes coming contain contained containing contains correspond
    corresponding corresponds could count counts covered current currently data database dataset describe
    described detail did display displayed do does doing done during each either entire every everyone existing
    exist exists fetch find following for found from gave generate get gets give given gives giving go goes
    going got had happen happened happening happens has have having held help her hers here him his hold holding
    holds how i identify if in include included includes including individual inside instance instances into
    involve involved involves involving is it item its itself just kindly know known like list listed listing
    lists live lived lives living locate located look made make makes making many me mentioned much my name
    named need obtain occur occurred occurring occurs of off on one ones only onto or other our out output
    overall own owned owning owns particular per person please possible present presented print produce provide
    provided query question record recorded records registered related relating report reported reports result
    results retrieve return returned returning returns right same say see select set she should show showing
    shown shows so some specific specified state stated stored such sure table tables take taken takes taking
    tell than that their them themselves then there these they thing things this those to together told took
    total try up us use used uses using value values various very via want was we were what when where whether
    which while who whole whom whose will with within work worked working works would yes you your yours
    compute calculate determine filter filtered keep
    subset everybody everything view respective respectively associated distinct different unique
    """
)

FUNCTION_WORDS = _FUNCTION_WORDS | {stem(word) for word in _FUNCTION_WORDS}
"""Words that may be left over when a question has been read: they say nothing about the data."""

FRAME_WORDS = word_set(
    """
    what which please can could you i we me us is are was were be all each every any of for from in and as well along
    together their its his her these those they them it do does did have has there overall that who whose where one
    ones want need know like see
    """
)
"""Words that may be left over when a question has been read: the frame around what it asks for, and nothing else."""

OPENING_VERBS = word_set(
    """
    show list find give return display tell get select report print provide compute calculate determine retrieve fetch
    count name filter keep
    """
)
"""Verbs that may be left over where they open a sentence: "report the sales", but not "who report to"."""

HAPPENING = word_set("made held happened occurred recorded placed took taken")
"""Verbs that say nothing beside a time: "loans made in 2021"."""

RELATION_VERBS = word_set(
    """
    achieve acquire act allow appear apply arrive assign assigned associate attend attended author base based
    bear begin born bought bring broadcast built buy carried carry cast choose chosen come complete completed
    compose conduct connect consist cost created cover create deliver depart design direct do drive driven earn
    earned employ employed enroll enrolled enter establish exist fall feature fill finish flew flown fly follow
    found get given go graduate hire hired host hosted issue issued join joined keep know lead leave led left
    lend live locate lie made make manage managed manufacture marry measure meet move name obtain offer offered
    open opened operate order ordered own paid participate participated pass pay perform performed place play
    played post posted process produced produce promote provide publish published purchase purchased put rank
    rate rated read receive received record refer register registered release released rent report reside review
    run schedule score sell send sent serve served ship shipped sing sign situate situated sold speak spend
    spent spoken sponsor start started stay stayed stop store study studied submit submitted supply supplied
    support take taken taught teach tested think took train trained travel treat treated undergo use used visit
    visited watch watched win won work worked write written wrote yield headquartered sung held aged living
    share shared affect affected participating participates compete competed run ran lasted rate rated launched
    residing working belonging starting departing leaving flying going coming
    """
)
"""Verbs that only say that two things belong together; the keys say how."""
