# ruff: noqa: E501 - tables of cases
"""A corpus of secrets written down in many ways, each with what must not be left of it, and of what only looks so."""

# A case is a secret × a name × a notation × what stands around it, all drawn by a seed. Names are in fourteen languages,
# and what kind of a secret a notation may carry follows from its form: a word is a secret in `password=…;` and none in a
# sentence that says "password required".

from __future__ import annotations

import base64
import random
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Draw = random.Random


@dataclass(frozen=True)
class Case:
    """A text, the secret that it holds (empty for none), and by what it was made."""

    text: str
    secret: str
    notation: str
    language: str
    kind: str


# How secrets look. Words are of letters alone, as people choose them and as some tokens are.

_SYLLABLES = "ba be do fa gu hi jo ka le mi no pu ra se ti vo wy xa zu lor mer tan".split()  # noqa: SIM905


def _mixed(draw: Draw) -> str:
    letters = "".join(draw.choices(string.ascii_letters, k=draw.randint(5, 10)))
    return letters[:3] + str(draw.randint(2, 99)) + letters[3:]


def _word(draw: Draw) -> str:
    return "".join(draw.choices(_SYLLABLES, k=draw.randint(3, 5)))


def _letters(draw: Draw) -> str:
    return "".join(draw.choices(string.ascii_letters, k=draw.randint(12, 24)))


def _signs(draw: Draw) -> str:
    return _word(draw).capitalize() + draw.choice("!@#%^*+~") + str(draw.randint(10, 99)) + draw.choice("!@%^*~")


KINDS: dict[str, Callable[[Draw], str]] = {"mixed": _mixed, "word": _word, "letters": _letters, "signs": _signs}

# Words for a password, alone and as people qualify them; of those in `KEYS` a name for what opens an interface.
WORDS = {
    "en": ["password", "passphrase", "passcode", "Password"],
    "de": ["Passwort", "Kennwort", "Zugangspasswort", "Geheimwort"],
    "fr": ["mot de passe", "Mot de passe", "mdp", "motdepasse"],
    "es": ["contraseña", "Contraseña", "contrasena"],
    "pt": ["senha", "Senha", "palavra-passe"],
    "it": ["parola d'ordine", "parola chiave", "password"],
    "nl": ["wachtwoord", "Wachtwoord", "toegangscode"],
    "pl": ["hasło", "Hasło", "haslo"],
    "ru": ["пароль", "Пароль"],
    "zh": ["密码", "口令", "登录密码"],
    "ja": ["パスワード", "暗証番号", "合言葉"],
    "ko": ["비밀번호", "암호"],
    "tr": ["şifre", "parola", "Şifre"],
    "sv": ["lösenord", "Lösenord"],
}
KEYS = {
    "en": ["API key", "access token", "secret key", "secret"],
    "de": ["API-Schlüssel", "Zugangsschlüssel", "Geheimnis", "geheimer Schlüssel"],
    "fr": ["clé API", "clé d'API", "clé secrète", "jeton d'accès"],
    "es": ["clave API", "clave de API", "clave secreta", "token de acceso"],
    "pt": ["chave de API", "chave secreta", "chave de acesso"],
    "it": ["chiave API", "chiave segreta", "token di accesso"],
    "nl": ["API-sleutel", "geheime sleutel", "toegangssleutel"],
    "pl": ["klucz API", "tajny klucz", "klucz dostępu"],
    "ru": ["ключ API", "секретный ключ", "токен доступа"],
    "zh": ["API密钥", "密钥", "访问令牌"],
    "ja": ["APIキー", "秘密鍵", "アクセストークン"],
    "ko": ["API 키", "비밀키", "액세스 토큰"],
    "tr": ["API anahtarı", "gizli anahtar"],
    "sv": ["API-nyckel", "hemlig nyckel"],
}
IS = {
    "en": "is",
    "de": "ist",
    "fr": "est",
    "es": "es",
    "pt": "é",
    "it": "è",
    "nl": "is",
    "pl": "to",
    "ru": "—",
    "zh": "是",
    "ja": "は",
    "ko": "는",
    "tr": ":",
    "sv": "är",
}
# Names of variables, options and fields.
NAMES = ["DB_PASS", "SMTP_PASS", "PGPASS", "PGPASSWORD", "MYSQL_ROOT_PASSWORD", "db_password", "dbPassword", "passwd"]
NAMES += [
    "ADMIN_PWD",
    "redis_pass",
    "ftp_pass",
    "API_KEY",
    "apiKey",
    "api-key",
    "SECRET_KEY",
    "client_secret",
    "auth_token",
]
NAMES += [
    "ACCESS_TOKEN",
    "GITHUB_TOKEN",
    "user.password",
    "spring.datasource.password",
    "LDAP_BIND_PASSWORD",
    "passphrase",
]
NAMES += ["mail_passwd", "keystore_pass", "HTTP_PROXY_PASS", "WIFI_PASSWORD", "password", "pwd", "sudo_pass", "pass"]
NAMES += [
    "passwort",
    "db_kennwort",
    "mot_de_passe",
    "contraseña",
    "db_senha",
    "wachtwoord",
    "haslo",
    "пароль",
    "密码",
    "パスワード",
]
# Notations that leave no doubt: any kind of secret. `{n}` is a name, `{v}` the secret.
STRICT = {
    "env": "{n}={v}",
    "env export": "export {n}={v}",
    "env quoted": "{n}='{v}'",
    "env before a command": "{n}={v} python run.py",
    "docker -e": "docker run -e {n}={v} -p 8080:80 shop",
    "dockerfile": "ENV {n}={v}",
    "set": "set {n}={v}",
    "ini": "[database]\nhost = db1\n{n} = {v}\n",
    "ini quoted": '[database]\n{n} = "{v}"\n',
    "properties": "host=db1\n{n}={v}\nport=5432",
    "toml": '[db]\nhost = "db1"\n{n} = "{v}"\n',
    "yaml": "db:\n  host: db1\n  {n}: {v}\n  port: 5432\n",
    "yaml quoted": 'db:\n  {n}: "{v}"\n',
    "yaml list": "env:\n  - name: {n}\n    value: {v}\n",
    "compose": "environment:\n  - {n}={v}\n",
    "json": '{{"host": "db1", "{n}": "{v}", "port": 5432}}',
    "json pretty": '{{\n  "host": "db1",\n  "{n}": "{v}"\n}}',
    "json in a text": '"{{\\"{n}\\": \\"{v}\\"}}"',
    "xml": "<{n}>{v}</{n}>",
    "xml attributes": '<property name="{n}" value="{v}"/>',
    "python": '{n} = "{v}"',
    "python dict": "{{'host': 'db1', '{n}': '{v}'}}",
    "python argument": "connect(host='db1', {n}='{v}')",
    "python environ": 'os.environ["{n}"] = "{v}"',
    "r": '{n} <- "{v}"',
    "r setenv": 'Sys.setenv({n} = "{v}")',
    "r setenv quoted": 'Sys.setenv("{n}" = "{v}", TZ = "UTC")',
    "r connect": 'con <- dbConnect(RPostgres::Postgres(), host = "db1", {n} = "{v}")',
    "r list": 'list(host = "db1", {n} = "{v}")',
    "full width": "{n}＝{v}",
    "full width colon": "{n}：{v}",
    "full width quoted": "{n}：“{v}”",
    "typographic quotes": "{n} = “{v}”",
    "long option": "run --{n} {v} --verbose",
    "long option with =": "run --{n}={v}",
    "url parameter": "https://x.org/a?user=ann&{n}={v}&n=1",
    "magic": "%env {n}={v}",
    "semicolons": "Server=db1;Uid=sa;{n}={v};Timeout=5;",
}
# Notations in running text, where only what has letters and digits is taken for a secret.
LOOSE = {
    "prose": "my {n} {i} {v}, and it fails",
    "prose with a colon": "Zugang ({n}: {v}) geht nicht",
    "two columns": "{n}\t{v}",
    "logged": "2024-01-02 12:00:01 INFO connect {n}={v} ok",
    "line": "{n}: {v}",
}
# A form of its own, each with the kinds that it may carry.
ALL = ("mixed", "word", "letters", "signs")
PLAIN = ("mixed", "word", "letters")
WHOLE: dict[str, tuple[str, tuple[str, ...]]] = {
    "my.cnf": ("[client]\nuser = ann\npassword = {v}\nhost = db1\n", ALL),
    "my.cnf tight": ("[client]\nuser=ann\npassword={v}\n", ALL),
    "pgpass": ("db1:5432:shop:ann:{v}", ALL),
    "pgpass star": ("*:*:*:ann:{v}\n", ALL),
    "netrc": ("machine x.org\n  login ann\n  password {v}\n", ALL),
    "netrc line": ("machine x.org login ann password {v}", ALL),
    "conninfo": ("host=db1 dbname=shop user=ann password={v} sslmode=require", ALL),
    "conninfo quoted": ("host=db1 user=ann password='{v}'", ALL),
    "odbc": ("Driver={{ODBC Driver 18}};Server=db1;UID=ann;PWD={v};Encrypt=yes;", ALL),
    "odbc braces": ("Driver={{x}};UID=ann;PWD={{{v}}};", ALL),
    "ado": ("Data Source=db1;User ID=sa;Password={v};", ALL),
    "jdbc": ("jdbc:sqlserver://db1:1433;user=sa;password={v};", PLAIN),
    "jdbc oracle": ("jdbc:oracle:thin:ann/{v}@db1:1521/shop", PLAIN),
    "url": ("postgresql://ann:{v}@db1/shop", PLAIN),
    "url redis": ("redis://:{v}@cache:6379/0", PLAIN),
    "url mongo": ("mongodb+srv://ann:{v}@cluster0.x.org/shop?retryWrites=true", PLAIN),
    "url git": ("git clone https://ann:{v}@x.org/a.git", PLAIN),
    "curl -u": ("curl -u ann:{v} https://x.org", ALL),
    "curl -u quoted": ("curl -s -u 'ann:{v}' https://x.org", ALL),
    "curl --user": ("curl --user ann:{v} https://x.org", ALL),
    "curl header": ("curl -H 'X-Api-Key: {v}' https://x.org", PLAIN),
    "httpie": ("http -a ann:{v} x.org", ALL),
    "wget": ("wget --user=ann --password={v} https://x.org/a", ALL),
    "mysql -p": ("mysql -u ann -p{v} shop", ALL),
    "mysql -p quoted": ("mysql -h db1 -u ann -p'{v}' shop", ALL),
    "mysqldump": ("!mysqldump --single-transaction -uann -p{v} shop > a.sql", ALL),
    "mariadb": ("mariadb --user ann --password={v} shop", ALL),
    "redis -a": ("redis-cli -h cache -a {v} ping", ALL),
    "mongo -p": ("mongosh --host db1 -u ann -p {v} shop", ALL),
    "sqlcmd": ("sqlcmd -S db1 -U sa -P {v} -Q 'SELECT 1'", ALL),
    "bcp": ("bcp shop.t out t.csv -S db1 -U sa -P {v} -c", ALL),
    "sshpass": ("sshpass -p {v} ssh ann@db1", ALL),
    "sshpass tight": ("sshpass -p'{v}' scp a ann@db1:", ALL),
    "ldap": ("ldapsearch -x -D cn=ann -w {v} -b dc=x", ALL),
    "docker login": ("docker login -u ann -p {v} registry.x.org", ALL),
    "unzip": ("unzip -P {v} a.zip", ALL),
    "7z": ("7z x -p{v} a.7z", PLAIN),
    "openssl": ("openssl rsa -in k.pem -passin pass:{v} -out o.pem", PLAIN),
    "smbclient": ("smbclient //nas/a -U ann%{v}", PLAIN),
    "option --password": ("etl --user ann --password {v} --fast", ALL),
    "option --token": ("vault login --token {v}", ALL),
    "option --token=": ("huggingface-cli login --token={v}", ALL),
    "sql": ("CREATE USER ann WITH PASSWORD '{v}'", ALL),
    "sql identified": ("ALTER USER ann IDENTIFIED BY '{v}'", ALL),
    "sql secret": ("CREATE SECRET s (TYPE s3, KEY_ID 'AKIA', SECRET '{v}')", ALL),
    "sql set": ("SET s3_secret_access_key = '{v}'", ALL),
    "sql attach": ("ATTACH 'dbname=shop user=ann password={v}' AS pg (TYPE postgres)", PLAIN),
    "bearer": ("Authorization: Bearer {v}", ("mixed", "letters", "word")),
    "bearer in code": ("headers = {{'Authorization': 'Bearer {v}'}}", ("mixed", "letters", "word")),
    "bearer in r": ('add_headers(Authorization = "Bearer {v}")', ("mixed", "letters", "word")),
    "bearer in curl": ('curl -H "Authorization: Bearer {v}" https://x.org', ("mixed", "letters", "word")),
    "bearer in prose": ("it sends Bearer {v} each time", ("letters",)),
    "auth pair": ("requests.get(url, auth=('ann', '{v}'))", ALL),
    "auth object": ('httpx.get(url, auth=HTTPBasicAuth("ann", "{v}"))', ALL),
    "r authenticate": ('GET(url, authenticate("ann", "{v}"))', ALL),
    "r req_auth_basic": ('req |> req_auth_basic("ann", "{v}")', ALL),
    "smtp login": ('server.login("ann@x.org", "{v}")', ALL),
    "grant": ("GRANT ALL ON *.* TO 'ann'@'%' IDENTIFIED BY '{v}' WITH GRANT OPTION", ALL),
}
AROUND = {
    "alone": "{}",
    "lines": "import os\n{}\nprint(1)",
    "comment": "# {}",
    "blanks": "    {}  ",
    "question": "Why does this fail?\n\n```\n{}\n```\n",
    "error": "OperationalError: could not connect\n{}\nTraceback (most recent call last)",
    "quoted mail": "> {}",
}


def _pem(draw: Draw) -> Iterator[tuple[str, str, str]]:
    """Private keys over several lines, as files of several kinds carry them."""
    what = draw.choice(["RSA ", "EC ", "", "OPENSSH ", "ENCRYPTED ", "DSA "])
    body = base64.b64encode(draw.randbytes(144)).decode()
    lines = [f"-----BEGIN {what}PRIVATE KEY-----", *(body[at : at + 64] for at in range(0, len(body), 64))]
    lines += [f"-----END {what}PRIVATE KEY-----"]
    for how, text in {
        "pem": "\n".join(lines),
        "pem crlf": "\r\n".join(lines),
        "pem in json": '{"private_key": "' + "\\n".join(lines) + '"}',
        "pem in yaml": "key: |\n" + "".join(f"  {line}\n" for line in lines),
        "pem in python": "KEY = (\n" + "".join(f'    "{line}\\n"\n' for line in lines) + ")",
        "pem in r": 'key <- paste0("' + '\\n",\n  "'.join(lines) + '")',
        "pem in a comment": "".join(f"# {line}\n" for line in lines),
        "pem quoted": "".join(f"> {line}\n" for line in lines),
        "pem cut off": "\n".join(lines[:-1]),
    }.items():
        yield how, text, body[70:100]


def secrets(seed: int, count: int) -> Iterator[Case]:
    """So many cases, drawn from all."""
    draw = random.Random(seed)
    makers = (_named, _named, _said, _whole, _whole, _key)
    for _ in range(count):
        yield draw.choice(makers)(draw)


def _around(draw: Draw, text: str) -> str:
    around = draw.choice(list(AROUND.values()))
    if "\n" in text and around in (AROUND["comment"], AROUND["quoted mail"]):
        mark = around[0]
        return "\n".join(f"{mark} {line}" for line in text.splitlines())
    return around.replace("{}", text)


def _named(draw: Draw) -> Case:
    """A name of code or of settings in a strict notation."""
    notation, name, kind = draw.choice(list(STRICT)), draw.choice(NAMES), draw.choice(ALL)
    secret = KINDS[kind](draw)
    return Case(_around(draw, STRICT[notation].format(n=name, v=secret)), secret, notation, "names", kind)


def _said(draw: Draw) -> Case:
    """A word of a language, in running text or beside a colon."""
    language = draw.choice(list(WORDS))
    word = draw.choice(WORDS[language] + KEYS[language])
    notation, kind = draw.choice([(each, "mixed") for each in LOOSE] + [("full width colon", "mixed")] * 2)
    form = LOOSE.get(notation) or STRICT[notation]
    secret = KINDS[kind](draw)
    return Case(_around(draw, form.format(n=word, v=secret, i=IS[language])), secret, notation, language, kind)


def _whole(draw: Draw) -> Case:
    """A form of its own."""
    notation = draw.choice(list(WHOLE))
    form, kinds = WHOLE[notation]
    kind = draw.choice(kinds)
    secret = KINDS[kind](draw)
    return Case(_around(draw, form.format(v=secret)), secret, notation, "en", kind)


def _key(draw: Draw) -> Case:
    """A private key over several lines."""
    notation, text, secret = draw.choice(list(_pem(draw)))
    return Case(_around(draw, text), secret, notation, "en", "pem")


# What looks like a secret and is none: types, words, calls, variables, ports, parameters of documentation.

_NOTHING = [
    "str",
    "None",
    "True",
    "getpass()",
    "os.environ['X']",
    "Sys.getenv('X')",
    "string",
    "required",
    "${X}",
    "$X",
    "{x}",
]
_NOTHING += [
    "<your-password>",
    "***",
    "NULL",
    "config.password",
    "input()",
    "optional",
    "keyring.get_password('a', 'b')",
]
_ORDINARY = """
token_count = 5
max_tokens=4096
n_tokens: 512
passed = 12
first pass: 3 of 12 rows
low_pass = "butter"
bandpass: 0.5
primary key: id
foreign key (customer_id) references customers (id)
sort_key = "region"
df.sort_values(key="region")
key: region
key=lambda row: row[1]
dict(key="value")
The password is required
A password must have eight letters
Das Passwort ist falsch
mot de passe oublié
la contraseña es incorrecta
docker run -p 8080:80 shop
ssh -p 2222 ann@db1
psql -h db1 -p 5432 shop
redis-cli -p 6379 ping
ls -a folder
git commit -a -m message
mkdir -p data/raw
git push -u origin main
pass # nothing to do
compass: north
passenger = "Ann"
password: str, default None
token : str or None
The bearer token authentication scheme
Bearer authentication is used
Authorization: Bearer <token>
secret santa: Bob
tokens: list of words
tokenizer = "gpt2"
The key is to sort first
密码是必填项
пароль неверный
パスワードは必須です
keyword: mean
cookie recipes: 12
session: 3
pin = 7
signature: (x, y)
compass=4
spring_pass = 3
def login(user, password): return user
SELECT password_changed FROM users
GRANT SELECT ON orders TO ann
author = "Smith"
authority: 3
""".strip().splitlines()


def ordinary(seed: int, count: int) -> Iterator[Case]:
    """So many texts with no secret in them."""
    draw = random.Random(seed)
    forms = ["{n} = {v}", "{n}: {v}", "connect({n}={v})", "{n}={v}", "    {n} : {v}, optional", "{{'{n}': {v}}}"]
    for _ in range(count):
        text = draw.choice(_ORDINARY)
        if draw.random() < 0.4:
            text = draw.choice(forms).format(n=draw.choice(NAMES[:-10]), v=draw.choice(_NOTHING))
        yield Case(_around(draw, text), "", text, "en", "none")
