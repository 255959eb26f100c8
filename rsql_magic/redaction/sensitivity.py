"""Names and types that tell what they hold: a secret, data about single people, values."""

# A name is split into its words (`dbPassword`, `db_password` and `db.password` are the same two), and compared with
# lists of words and of pairs of words that stand next to each other.

# ruff: noqa: SIM905 - lists of words read better as text

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise

# A name costs 2 to 3 µs, a type 1: each column of a session is asked about several times in a question.
_remembered = lru_cache(maxsize=20_000)
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|[0-9]+")

_SECRET_WORDS = frozenset(
    """
    password passwords passwd passphrase passcode pwd pw secret secrets token apikey apikeys credential
    credentials cred creds bearer jwt dsn otp privatekey accesskey secretkey connstr passwort kennwort
    pin pincode cvv cvc puk mnemonic authtoken accesstoken sessionid cookie passkey authcode contraseña contrasena
    senha motdepasse wachtwoord пароль 密码 密钥 パスワード
    """.split()
)
_SECRET_PAIRS = frozenset(
    """
    api:key api:keys api:tokens access:key access:keys access:tokens private:key private:keys secret:key
    auth:key auth:tokens auth:header auth:cookie account:key master:key encryption:key signing:key session:key
    session:cookie service:key deploy:key license:key ssh:key aws:key openai:key groq:key anthropic:key
    gemini:key hf:key mistral:key azure:key google:key stripe:key xai:key github:pat access:code security:code
    seed:phrase recovery:code recovery:phrase session:id sas:url webhook:url
    connection:string conn:string conn:str database:url db:url pass:word pass:phrase mot:passe
    """.split()
)
# Words run together that end so: csrftoken, dbpassword, PHPSESSID.
_JOINED = re.compile(r".(?:password|passwd|passphrase|passwort|token|secret|apikey|sess(?:ion)?id)\Z")
# A "token" beside one of these words is a piece of text, not a key.
_TEXT_WORDS = frozenset(
    """
    count counts n num number total max min len length limit ids id type types per used usage cost prompt
    """.split()
)
_PERSONAL_WORDS = frozenset(
    """
    email emails mail phone telephone mobile fax ssn nino iban passport surname lastname firstname forename
    fullname nickname birthdate birthday dob nric cpf curp dni nie nif aadhaar pesel bsn siret street postcode
    zipcode mrn username login cardnumber ipaddress biometric vorname nachname telefon strasse straße
    geburtsdatum geburtstag anschrift prenom prénom nom apellido apellidos nombre birth dob adresse hausnummer
    correo telefono teléfono direccion dirección courriel naam voornaam achternaam imie nazwisko имя фамилия телефон
    姓名 名字 电话 手机 邮箱 地址 身份证 氏名 住所 電話 latitude longitude
    """.split()
)
_PERSONAL_PAIRS = frozenset(
    """
    first:name last:name full:name middle:name patient:name person:name customer:name client:name employee:name
    contact:name user:name student:name given:name family:name maiden:name birth:date date:birth of:birth
    street:address home:address mailing:address postal:address billing:address shipping:address ip:address
    mac:address postal:code zip:code card:number account:number tax:id national:id patient:id social:security
    death:date date:death of:death patient:no patient:nr subject:id participant:id
    passport:no passport:number licence:number license:number insurance:number cell:phone medical:record
    record:number credit:card e:mail
    """.split()
)


# Columns called just that hold people, or what they are called.
_PEOPLE = frozenset(
    """
    name names address addresses
    patient patients subject subjects person persons people student students pupil employee employees
    customer customers client clients doctor physician nurse teacher user users member members contact passenger guest
    tenant owner applicant respondent participant participants surgeon donor recipient witness victim suspect kunde
    kunden patientin mitarbeiter kundenname cliente clientes paciente pacientes usuario usuarios
    """.split()
)
# What the columns of settings are called, those with their names and those with their values.
_NAMES_OF_SETTINGS = frozenset(
    """
    name key setting variable parameter param option property attribute field config item env var label code entry
    index setting_name variable_name parameter_name option_name config_key property_name attr k
    """.split()
)
# A literal in quotes, what is compared with one, and people as lists of them are written.
_LITERAL = re.compile(
    r"""(?<!\w)(?:'[^']*'|"[^"]*")(?!\w)|\(\s*"?[^\W\d][\w. "]*\s*(?:[=<>]|!=|~~|\b(?i:in|like|between)\b)"""
    r"""|\A[^\W\d][\w. "`]*(?:[<>=!]=?|<>) ?-?\d[\d.]*\Z"""  # MariaDB writes no parentheses around a comparison
    r"""|\A[^\W\d_a-z][^\W\d_]+(?:[ '’-][^\W\d_]+)*, [^\W\d_a-z][\w.'’ -]*\Z"""
)
_LABELS = re.compile(r"""(?i)\b(enum(?:8|16)?|set)\((?:[^()'"]|'(?:[^'\\]|''|\\.)*'|"(?:[^"]|"")*")*\)""")


@_remembered
def says_secret(name: str) -> bool:
    """Whether a name says that what it holds is a secret.

    Example:
        >>> [name for name in ("db_password", "apiKey", "token_count", "primary_key") if says_secret(name)]
        ['db_password', 'apiKey']
    """
    words = _words(name)
    said = _SECRET_WORDS.intersection(words)
    if _pairs(words) & _SECRET_PAIRS or any(map(_JOINED.search, words)):
        return True
    return bool(said) and not (said == {"token"} and _TEXT_WORDS.intersection(words))


@_remembered
def names_settings(column: str) -> bool:
    """Whether a column is called as one that holds the names of settings, whose values stand beside it.

    Example:
        >>> names_settings("Parameter"), names_settings("config_key"), names_settings("region")
        (True, True, False)
    """
    words = _words(column)
    return bool(words) and (words[-1] in _NAMES_OF_SETTINGS or "_".join(words) in _NAMES_OF_SETTINGS)


@_remembered
def says_personal(name: str) -> bool:
    """Whether a column's name says that its values are about single people.

    Example:
        >>> [name for name in ("last_name", "EMail", "region", "customer", "customer_type") if says_personal(name)]
        ['last_name', 'EMail', 'customer']
    """
    words = _words(name)
    if (whole := "".join(words)) in _PEOPLE or whole in _PERSONAL_WORDS:
        return True
    return bool(_PERSONAL_WORDS.intersection(words) or _pairs(words) & _PERSONAL_PAIRS)


# Personal words that are what people are called, which other things than people are called, too.
_NAMES_OF_PEOPLE = re.compile(r"(?:names?|nombres?|apellidos?|nom|pr[eé]nom|naam|imie|nazwisko|имя|фамилия)\Z")
_LOGINS = frozenset({"username", "login", "user:name"})


@_remembered
def says_identifier(name: str) -> bool:
    """Whether a column's name says that its values identify people otherwise than by what they are called.

    Example:
        >>> [name for name in ("email", "last_name", "ssn", "customer", "user_name", "region") if says_identifier(name)]
        ['email', 'ssn', 'user_name']
    """
    words = _words(name)
    said = _PERSONAL_WORDS.intersection([*words, "".join(words)]) | _pairs(words) & _PERSONAL_PAIRS
    return any(one in _LOGINS or not _NAMES_OF_PEOPLE.search(one) for one in said)


@_remembered
def says_literal(name: str) -> bool:
    """Whether a column is named by what a query says, so by values: ``SELECT 'Ann'``, ``sum(CASE WHEN (x = 5) …)``.

    Example:
        >>> [name for name in ("'Ann'", "(age > 42)", "Smith, Ann", "sum(total)", "price, net") if says_literal(name)]
        ["'Ann'", '(age > 42)', 'Smith, Ann']
    """
    return _LITERAL.search(name[:1_000]) is not None


@_remembered
def type_without_labels(kind: str) -> str:
    """A column's type without the labels of an enumeration, which are values.

    Example:
        >>> type_without_labels("STRUCT(x ENUM('flu', 'kuru'))[]")
        'STRUCT(x ENUM(…))[]'
    """
    return _LABELS.sub(r"\1(…)", kind)


def _words(name: str) -> list[str]:
    # A column of a query without an alias is named by all of its expression.
    return [word.lower() for word in _PARTS.findall(name[:200])]


def _pairs(words: list[str]) -> set[str]:
    return {f"{one}:{two}" for one, two in pairwise(words)}
