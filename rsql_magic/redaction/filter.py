"""What may not leave: secrets and personal identifiers are replaced by placeholders, and counted."""

# `redact` runs over everything that leaves the kernel: names, values, cells, errors and the question itself. It works
# on text alone, so one filter serves all sources. Two more rules look at names: a variable or column whose name says
# that it is a secret is never read, and a column whose name says that it holds people's data never gives values.
#
# Detectors find what has a form of its own: a prefix, a check digit, an `@`. They cannot find a person's name in free
# text; the privacy levels are there for that (see `docs/privacy.md`).

# ruff: noqa: SIM905 - lists of words read better as text

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

from rsql_magic.redaction import identifiers
from rsql_magic.redaction.sensitivity import says_secret
from rsql_magic.redaction.words import CALLED, COMMANDS, PAIRS, PARTS, SIGN, VERB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_PLACEHOLDER = re.compile(r"\[[a-z ]+\]|\[[a-z ]*\Z|(?:…|\.{3})\W*\Z")
_NAME_OR_NUMBER = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+|[+-]?[0-9][0-9_.,]{0,7}|(?:None|TRUE|FALSE|NA)")
_IDENTIFIER = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
# A name as people write one, and not random letters.
_OF_WORDS = re.compile(r"[A-Z]?[a-z0-9]+(?:_?[A-Z][a-z0-9]{2,}|_[a-z0-9]+)+")
_CLASSES = (str.islower, str.isupper, str.isdigit)
_HEX = re.compile(r"(?<![0-9a-zA-Z])(?:SK|AC)?(?=[0-9a-f]*[a-f])(?=[0-9a-f]*[0-9])[0-9a-f]{32,}(?![0-9a-zA-Z])")
_RUN = re.compile(r"[A-Za-z0-9]+")
# Most texts are names of columns and words of values, in which no detector finds anything: each needs a digit, a sign,
# a longer run of letters or one of these three words. It is a twentieth of the time.
_WORDS = re.compile(r"(?:(?!Bearer|Basic|login)[A-Za-z]{1,15}(?:[ _]|\Z))*")
_ADDRESS_PART = re.compile(r"[0-9a-fA-F]{1,4}\W?")  # of an IPv6 address
# What follows an @ in R (`seurat@meta.data`) and is no domain.
_SLOTS = frozenset({"data", "frame", "matrix", "counts", "features", "assays", "cells", "names", "list", "table"})
# Prefixes with which services mark their keys, each followed by what the rest looks like.
_KEY_FORMS = (
    r"sk-[A-Za-z0-9_-]{8,}",
    r"(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{8,}",
    r"(?:gsk|csk|xai|nvapi|pplx|tgp_v1|r8|hf|whsec|lsv2_[ps]t|gh[oprsu]|github_pat|npm|dop_v1|doo_v1|shpat|shpss|dapi"
    r"|secret|dckr_pat|sbp|vercel|sntry[su]|pat|lin_api|key|tok)"
    r"[-_][A-Za-z0-9_-]{16,}",
    r"(?:gl(?:pat|ptt|rt|soat|dt)|pypi|sq0atp|sq0csp)-[A-Za-z0-9_-]{16,}",
    r"xox[abeoprs]-[A-Za-z0-9-]{8,}",
    r"AIza[A-Za-z0-9_-]{30,}",
    r"ya29\.[A-Za-z0-9_-]{16,}",
    r"(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA|AGPA|AIDA|AROA|ANPA)[A-Z0-9]{16}",
    r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",
    r"ATATT3[A-Za-z0-9_=-]{16,}",
    r"EAAC[A-Za-z0-9]{24,}",
    r"[0-9]{8,10}:AA[A-Za-z0-9_-]{30,}",
    r"AGE-SECRET-KEY-1[A-Z0-9]{20,}",
    r"(?<=hooks\.slack\.com/services/)[A-Z0-9]+/[A-Z0-9]+/[A-Za-z0-9]{8,}",
    r"(?<=/api/webhooks/)[0-9]{8,}/[\w-]{16,}",
)
_MAY_SAY_SECRET = re.compile(f"(?i){PARTS}")  # a part of each name of `CALLED`, at a quarter of the cost
_BEFORE, _BEHIND = 200, 800  # characters around such a name that detectors look at, and to the ends of their lines
_AHEAD = 24  # characters behind a line by which a name in it is known
# The same as a whole cell, element or option: ``AWS_SECRET_ACCESS_KEY``, ``db.password``.
_NAME = rf"[\w.-]{{0,40}}?{CALLED}(?:[_.-][A-Za-z0-9]{{1,20}}){{0,2}}"
# Around a name or a value, also where the text stands in another.
_QUOTES = r"['\"\\]{0,4}"
_VALUE = r"(?P<secret>[^\s'\"&;,()\[\]{}<>]{4,200})(?![\w.]*[(\[])"
_WORDS_OF_HEADERS = frozenset(
    """
    value values role roles name names email user username type types description id url host port created updated
    status none null true false required optional string text varchar char int integer bytes str na nan nil self
    input default prompt float bool boolean object list dict tuple any literal callable secretstr nullable
    undefined
    """.split()
)
# What is written before a line: marks of comments and of quoted mail.
_MARKS = r"^[ \t]*(?:(?:[>#*-]|//|--)[ \t]*){0,3}"


@dataclass(frozen=True)
class Detector:
    """One kind of text that does not leave: ``email`` becomes ``[email]``."""

    # A group of the pattern named `secret` limits what is replaced; `accept` checks a candidate, such as its digits.

    name: str
    finds: str
    form: str | re.Pattern[str]
    accept: Callable[[str], bool] = bool
    called: bool = False  # whether every find holds a name of `CALLED`

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The form, compiled when it is first needed: all take a tenth of a second, and most texts need half."""
        return re.compile(self.form)

    def replace(self, text: str, found: Counter[str]) -> str:
        """The text with every find replaced, and counted in ``found``."""

        def placeholder(match: re.Match[str]) -> str:
            group = "secret" if "secret" in self.pattern.groupindex else 0
            if (secret := match[group]) is None or _PLACEHOLDER.match(secret) or not self.accept(secret):
                return match[0]
            found[self.name] += 1
            start, end = match.start(group) - match.start(), match.end(group) - match.start()
            return f"{match[0][:start]}[{self.name}]{match[0][end:]}"

        return self.pattern.sub(placeholder, text)


def _has_digit(text: str) -> bool:
    return any(char.isdigit() for char in text)


def _is_literal(text: str) -> bool:
    """Whether an unquoted value is a secret itself, and not a name, a number or a call."""
    return not text.startswith(("$", "%")) and _has_digit(text) and not _NAME_OR_NUMBER.fullmatch(text)


def _is_mixed(text: str) -> bool:
    """Whether a value has letters and digits, as a generated password has and a word has not."""
    return _is_literal(text) and any(char.isalpha() for char in text)


def _is_key(text: str) -> bool:
    """Whether what follows a service's prefix is a key, and not words joined by underscores."""
    if text.startswith(("key_", "tok_", "pat_", "secret_")):  # words of names too
        return _looks_random(text[4:])
    if text.startswith("sk-"):
        return not text.startswith("sk-learn")
    longest = max(map(len, _RUN.findall(text[4:])), default=0)
    return longest >= 16 or (longest >= 8 and _has_digit(text[4:]))


def _looks_random(text: str) -> bool:
    """Whether letters and digits change places as often as in a random string."""
    # Joined words change class about every fifth character, random base64 and hex about every second.
    body = [char for char in text if char.isalnum()]
    kinds = [next((n for n, test in enumerate(_CLASSES) if test(char)), 3) for char in body]
    changes = sum(one != two for one, two in pairwise(kinds))
    return 2 in kinds and (changes >= 0.3 * len(body) or bool(_HEX.search(text)))


def _is_given(text: str) -> bool:
    """Whether an unquoted value is one, and not a variable, a type, a placeholder or a name of another secret."""
    if text[0] in "$%<{*([" or text.strip("'\"`,.:").lower() in _WORDS_OF_HEADERS:
        return False
    if _IDENTIFIER.fullmatch(text) is None:
        return True
    return not ("." in text or (text.isupper() and "_" in text) or (_OF_WORDS.fullmatch(text) and says_secret(text)))


def _is_option(text: str) -> bool:
    """Whether what follows an option is a value, and neither the next option nor a name."""
    return text[0] != "-" and _is_given(text)


def _is_bearer(text: str) -> bool:
    """Whether what follows `Bearer` is a token, of letters alone too, and not a word of a sentence."""
    return not text.isalpha() or len(text) > 20 or not (text[1:].islower() or text.isupper())


def _is_no_header(text: str) -> bool:
    """Whether what stands beside a secret's name in a line of two cells is its value, and not another column's name."""
    return text.strip().lower() not in _WORDS_OF_HEADERS and not says_secret(text)


def _detector(name: str, finds: str, pattern: str | re.Pattern[str], accept: Callable[[str], bool] = bool) -> Detector:
    return Detector(name, finds, pattern, accept)


def _called(finds: str, pattern: str, accept: Callable[[str], bool] = bool) -> Detector:
    """A detector of what stands beside a name that says secret."""
    return Detector("secret", finds, pattern, accept, called=True)


# From the special to the general: a broad form, such as a long random text, must not take the name of a narrow one.
DETECTORS: tuple[Detector, ...] = (
    _detector(
        "private key",
        "PEM and OpenSSH private keys, whole or cut off",
        r"-----BEGIN[A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
        r"[\w+/=\s\\:,.-]*?(?:-----END[A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----|(?![\w+/=\s\\:,.-])|\Z)",
    ),
    _detector(
        "password",
        "user name and password in a URL: `postgresql://user:secret@host`",
        r"(?<=://)(?P<secret>[^\s/@:'\"<>]{0,200}:[^\s'\"<>]{0,500})(?=@[^\s@]+)",
    ),
    _detector("token", "JSON Web Tokens: `eyJ….eyJ….…`", r"\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?"),
    _detector(
        "key",
        "keys that services mark by a prefix: `sk-…`, `gsk_…`, `ghp_…`, `AKIA…`, `AIza…`, `xoxb-…`, `hf_…` and others",
        rf"(?<![A-Za-z0-9_-])(?:{'|'.join(_KEY_FORMS)})",
        _is_key,
    ),
    _detector(
        "token",
        "what follows `Bearer` or `Basic` in a header",
        r"\b(?:Bearer|Basic)\s+(?P<secret>[A-Za-z0-9._~+/=-]{8,})",
        _is_bearer,
    ),
    _detector(
        "token",
        "the same in the header's own place, of any letters: `Authorization: Bearer …`",
        rf"(?i)\bauthorization['\"\\\])]{{0,4}}\s{{0,3}}{SIGN}\s{{0,3}}[rbf]?[\\'\"]{{0,4}}(?:bearer|basic|token|apikey)\s"
        r"{1,3}(?P<secret>[^\s'\"\\,;]{4,2000})",
        _is_given,
    ),
    _called(
        'a literal given to a name that says secret: `password = "…"`, `api_key: …`, `env["TOKEN"] = …`',
        rf"(?i){CALLED}(?:[_-][a-z0-9]{{1,20}})?['\"\])]{{0,3}}\s{{0,9}}{SIGN}\s{{0,9}}"
        r"[rbf]{0,2}(?P<quote>['\"])(?P<secret>(?:(?!(?P=quote))[^\n\\]|\\.)+)(?P=quote)",
    ),
    _called(
        "the same in typographic and full-width quotes: `password：“…”`",
        rf"(?i){CALLED}(?:\s{{0,3}}{SIGN}\s{{0,3}}|{VERB})[“„«‹「『‘＂](?P<secret>[^”“»›」』’＂\n]{{1,200}})[”“»›」』’＂]",
    ),
    _called(
        "the same in a text within a text, with a `\\` before its quotes, and as all of a text: `'X-API-Key: …'`",
        rf"(?i)(?:{CALLED}(?:[_-][a-z0-9]{{1,20}})?\\{{1,3}}['\"]\s?{SIGN}\s?\\{{1,3}}['\"]|(?<=['\"]){_NAME}:\s?)"
        r"(?P<secret>[^\s'\"\\]{2,200})(?=\\{0,3}['\"])",
        _is_given,
    ),
    _detector(
        "secret",
        "a user and a password as arguments: `auth=('ann', '…')`, `authenticate(\"ann\", \"…\")`, `.login(…)`",
        rf"(?i){PAIRS}(?P<quote>['\"])(?P<secret>(?:(?!(?P=quote))[^\n]){{2,200}})(?P=quote)",
    ),
    _detector(
        "secret",
        "the values of cookies: `Cookie: theme=…; csrftoken=…`, `Set-Cookie: …`",
        r"(?i)\b(?:set-)?cookie2?['\"]?\s{0,3}:\s{0,3}['\"]?(?P<secret>[^\s'\"=]{1,100}=[^\n'\"]{1,4000})",
    ),
    _detector(
        "token",
        "what other headers carry: `Authorization: Token …`, `Digest …`",
        r"(?i)\b(?:proxy-)?authorization['\"]?\s{0,3}:\s{0,3}['\"]?(?!bearer|basic|\[)"
        r"(?P<secret>[a-z0-9-]{1,30}\s[^\n]{6,})",
        _has_digit,
    ),
    _called(
        "the cell beside a secret's name in a line of two: `DB_PASSWORD,…`",
        rf"(?im)^[ \t]*(?:\|[ \t]*)?['\"]?{_NAME}['\"]?[ \t]*[,;|\t][ \t]*['\"]?"
        r"(?P<secret>[^\n,;|\t'\"]{3,200}?)['\"]?[ \t]*\|?[ \t]*$",
        _is_no_header,
    ),
    _called(
        "the same in a longer line or a list: `…;token;…;`, `('db_password', '…')`",
        rf"(?i)(?:(?<![\w.-])|(?<=\\[nrt])){_NAME}{_QUOTES}[ \t]?(?:[,;|\t]|\\t)[ \t]?{_QUOTES}"
        r"(?P<secret>[^\s,;|'\"()\[\]{}\\]{4,200})",
        _is_mixed,
    ),
    _called(
        'records of a name and a value: `{"name": "db_password", "value": "…"}`, also as attributes of XML',
        rf"(?i)(?:name|key|variable|setting|parameter|option|property|field){_QUOTES}\s{{0,3}}[:=]\s{{0,3}}{_QUOTES}"
        rf"{_NAME}{_QUOTES}(?:[^{{}}<>]|\n>){{0,120}}?(?:value|val|content|data|text|default){_QUOTES}\s{{0,3}}[:=]"
        rf"\s{{0,3}}{_QUOTES}(?P<secret>[^\s'\",}}/>\\]{{2,200}})",
    ),
    _called(
        "an element that is called so: `<password>…</password>`",
        rf"(?i)<{_NAME}(?:\s[^<>]{{0,200}})?>(?P<secret>[^<>\n]{{2,200}})(?=</)",
    ),
    _detector(
        "secret",
        "passwords in SQL: `PASSWORD '…'`, `IDENTIFIED BY '…'`, `api_key TEXT DEFAULT '…'`",
        r"(?i)(?:\bpassword\s{1,3}|\bpassword\s?\(|(?-i:\b[A-Z_]{0,40}(?:SECRET|TOKEN|PASSWORD)\s{1,3})"
        r"|\bidentified\s(?:(?:with|via)\s\S{1,40}\s)?(?:by|as|using)\s{1,3}"
        rf"|\b(?:set_?config|setenv|putenv|set_option|conf\.set)\(\s?['\"]{_NAME}['\"]\s?,\s?"
        rf"|{CALLED}(?:[_-]\w{{1,20}})?['\"`\]]?\s(?:[\w()]{{1,30}}\s){{0,4}}default\s{{1,3}})'(?P<secret>[^'\n]{{1,200}})'",
    ),
    _called(
        "a key and its value alone on a line, as in YAML: `password: …`",
        rf"(?im){_MARKS}{_NAME}[ \t]?[:=：＝] ?(?P<secret>[^\s'\"(){{}}\[\],;.$]{{4,200}})[ \t]*$",
        _is_no_header,
    ),
    _detector(
        "secret",
        "options of commands: `--db-password …`, `mysql -p…`, `sshpass -p …`",
        rf"(?:(?i:(?<!-)--(?=[a-z]){_NAME}[ =])|{COMMANDS})(?P<quote>['\"]?)(?P<secret>[^\s'\"]{{3,200}})",
        _is_option,
    ),
    _detector(
        "secret",
        "lines of `.netrc` and `.pgpass`",
        r"(?m)(?:\blogin\s+\S{1,200}[\s>#]+password\s+|^[^\s:]{1,200}:[0-9*]{1,5}:[^\s:]{1,200}:[^\s:]{1,200}:)"
        r"(?P<secret>\S{2,200})",
    ),
    _detector(
        "secret",
        "a line of `.pgpass` within other text",
        r"(?:(?<![\w.:*/-])|(?<=\\[nrt]))[\w.*/-]{1,200}:(?:[0-9]{4,5}|\*):[^\s:]{1,200}:[^\s:]{1,200}:"
        r"(?P<secret>[^\s:]{2,200})(?![^\s:]|:[0-9a-fA-F])",
        lambda text: not _ADDRESS_PART.fullmatch(text),
    ),
    _detector(
        "secret",
        "hashes of passwords: `$2b$12$…`, `$6$…`, `$argon2id$…`",
        r"\$(?:2[abxy]|apr1|[156y]|argon2(?:id|i|d)|scrypt|pbkdf2[\w-]{0,20})\$[\w./$=,+-]{8,300}",
    ),
    _called(
        "the value of a parameter of a URL that is called so: `?token=…`",
        rf"(?i)(?<=[?&]){CALLED}=(?P<secret>[^\s'\"&;<>]+)",
    ),
    _called(
        "the same without quotes, in prose and headers: `api_key=…`, `password: …`",
        rf"(?i){CALLED}(?:\s?{SIGN}\s?|{VERB}){_VALUE}",
        _is_literal,
    ),
    _detector(
        "secret",
        "the same in `.env` files, connection strings and command lines: `PASSWORD=…`, `Pwd=…;`, `--password …`",
        r"(?:(?<![a-z])[A-Z0-9_]{0,40}(?:PASSWORD|PASSWD|PWD|SECRET|TOKEN|API_?KEY|_PASS|PGPASS)[A-Z0-9_]{0,20}="
        rf"|(?i:(?<![\w.-]){_NAME}[=＝](?=[^\s,)]{{1,200}}(?:[;&\s'\"]|\Z)))"
        rf"|(?i:--(?:password|passphrase|token|secret|api-?key)[ =]))['\"]?{_VALUE.replace('4,', '1,')}",
        _is_given,
    ),
    _called(
        "the same inside another text, where its quotes are written twice or with a `\\`",
        rf"(?i)(?<![\w.-]){_NAME}{_QUOTES}\s{{0,3}}{SIGN}\s{{0,3}}{_QUOTES}(?P<secret>[^\s,;|'\"()\[\]{{}}\\<>]{{4,200}})",
        _is_mixed,
    ),
    _called(
        "what stands after a word for a password: `password hunter2`, `Passwort: …`",
        rf"(?i)(?<![\w.-]){_NAME}[ ]{{1,3}}(?:\|[ ])?{_VALUE}",
        _is_mixed,
    ),
    _detector(
        "secret",
        "passwords in braces and behind a slash: `UID=ann;PWD={…};`, `jdbc:oracle:thin:ann/…@db`",
        r"(?i)(?:(?:driver|server|uid|user id|dsn|database)=[^\n]{0,200}?;\s?(?:pwd|password)=\{(?=[^}\n]{1,200}\})"
        r"|jdbc:oracle:\w{1,10}:[\w.]{1,60}/(?=[^\s@]{1,200}@))(?P<secret>[^}\s@]{1,200})",
        _is_given,
    ),
    _detector("secret", "`curl -u user:…`", r"(?:\s-u|--user)[ =]['\"]?[^\s:'\"]{1,100}:(?P<secret>[^\s'\"]+)"),
    _detector(
        "email",
        "e-mail addresses",
        r"[\w.%+'-]{1,64}(?:@|%40)(?:[\w-]{1,63}\.){1,8}"
        r"(?:[^\W\d_]{2,63}(?![\w(]|-\w)|(?:com|org|net|edu|gov|info|io|co|de|uk|fr|es|it|nl|ch|at|eu|us|ca|au)(?!\w))",
        lambda text: text.rsplit(".", 1)[-1].lower() not in _SLOTS,
    ),
    _detector(
        "phone",
        "telephone numbers with a country code: `+1 212 555 0199`",
        identifiers.PLUS_PHONE,
        identifiers.is_phone,
    ),
    *(_detector("national id", what, pattern, accept) for what, pattern, accept in identifiers.NATIONAL),
    _detector("iban", "bank accounts (IBAN), by their check digits", identifiers.IBAN, identifiers.is_iban),
    _detector("card", "payment cards, by their check digit", identifiers.CARD, identifiers.is_card),
    _detector("ip", "IPv4 addresses other than this machine's", identifiers.IPV4, identifiers.is_foreign_ip),
    _detector("ip", "IPv6 addresses other than this machine's", identifiers.IPV6, identifiers.is_foreign_ip),
    _detector("mac", "hardware addresses of network cards: `00:1b:44:11:3a:b7`", identifiers.MAC),
    _detector("phone", "telephone numbers in usual national forms", identifiers.PHONE, identifiers.is_phone),
    _detector(
        "national id",
        "a number after a word for one: `SSN 123456789`, `passport no. …`, `patient id …`, `account number …`",
        identifiers.NAMED,
    ),
    _detector(
        "token",
        "long random text: 32 and more characters of mixed letters and digits",
        r"(?<![\w/+=.-])[A-Za-z0-9+/_-]{32,}={0,2}(?![\w/+-])",
        _looks_random,
    ),
)


def redact(text: str) -> tuple[str, Counter[str]]:
    """Replace secrets and personal identifiers by placeholders such as ``[email]``, and count each kind.

    A second run changes nothing.

    Example:
        >>> redact("write to ada@example.org")
        ('write to [email]', Counter({'email': 1}))
    """
    found: Counter[str] = Counter()
    if _WORDS.fullmatch(text):
        return text, found
    searched, places = "", list[tuple[int, int]]()
    for detector in DETECTORS:
        if not detector.called:
            text = detector.replace(text, found)
            continue
        if text is not searched:
            searched, places = text, _around_names(text)
        for start, end in reversed(places):
            piece = detector.replace(before := text[start:end], found)
            text = text if piece == before else f"{text[:start]}{piece}{text[end:]}"
    return text, found


# The lines around each name of `CALLED`, in order. Most texts hold few, and the detectors that begin with such a name
# look nowhere else: it is half of the time. None of them reaches further than this.
def _around_names(text: str) -> list[tuple[int, int]]:
    found = list[tuple[int, int]]()
    read = 0  # up to where names were looked for
    for part in _MAY_SAY_SECRET.finditer(text):
        if part.end() <= read:
            continue
        begin, read = text.rfind("\n", 0, part.start()) + 1, _line_end(text, part.end())
        for name in _names_of_secrets().finditer(text, begin, min(read + _AHEAD, len(text))):
            start = text.rfind("\n", 0, max(0, name.start() - _BEFORE)) + 1
            end = _line_end(text, name.end() + _BEHIND)
            if found and start < found[-1][1]:
                found[-1] = (found[-1][0], max(end, found[-1][1]))
            else:
                found.append((start, end))
    return found


@cache
def _names_of_secrets() -> re.Pattern[str]:
    return re.compile(f"(?i){CALLED}")


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end + 1


def clean(text: str, found: Counter[str]) -> str:
    """A text without secrets; what was replaced is counted in ``found``."""
    # Whoever cuts a text cleans it first: half a secret has lost the form by which it is found.
    replaced, counts = redact(text)
    found.update(counts)
    return replaced


def all_clean(texts: Iterable[str], found: Counter[str]) -> list[str]:
    """Some texts without secrets."""
    return [clean(text, found) if text else "" for text in texts]
