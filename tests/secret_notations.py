"""Ways to write a secret down: each text holds `SECRET`, which must be found in it, whatever carries the text."""

from __future__ import annotations

SECRET = "hunter2Xq"
PLAIN = "swordfish"
"""A password without a digit; only where the notation leaves no doubt is it found."""
_LONG = "q7Rk2mZx9Lw4Vb8Np3Ty6Hd1Js5Fg0Ca"

NAMES = ["password", "DB_PASSWORD", "api_key", "apiKey", "X-API-Key", "csrftoken", "sessionid", "client_secret"]
NAMES += ["access_token", "refresh-token", "auth.token", "AWS_SECRET_ACCESS_KEY", "db_pwd", "passphrase", "secret_key"]
NAMES += ["PHPSESSID", "csrfmiddlewaretoken", "mytoken", "dbpassword", "passwort"]

PAIRS = {
    "env": "{name}={value}",
    "export": "export {name}={value}",
    "env quoted": '{name}="{value}"',
    "ini": "[main]\n{name} = {value}\n",
    "yaml": "main:\n  {name}: {value}\n",
    "yaml quoted": "{name}: '{value}'",
    "json": '{{"user": "ann", "{name}": "{value}", "n": 1}}',
    "json records": '[{{"name": "{name}", "value": "{value}"}}]',
    "json key first": '{{"key": "{name}", "type": "text", "value": "{value}"}}',
    "xml": "<{name}>{value}</{name}>",
    "xml attributes": '<add key="{name}" value="{value}"/>',
    "csv": "{name},{value}",
    "csv of many": "name,value\nhost,db1\n{name},{value}\nport,5432",
    "csv quoted": '"{name}","{value}"',
    "tsv": "host\tdb1\n{name}\t{value}\nport\t5432",
    "semicolons": "{name};{value}",
    "table": "| host | db1 |\n| {name} | {value} |",
    "psql": " host | db1\n {name} | {value}\n",
    "python": "{name} = '{value}'",
    "dict": "{{'{name}': '{value}'}}",
    "tuple": "('{name}', '{value}')",
    "r": '{name} <- "{value}"',
    "query": "https://api.example.org/x?{name}={value}&n=1",
    "form": "user=ann&{name}={value}",
    "option": "run --{name} {value}",
    "option with =": "run --{name}={value}",
    "header": "{name}: {value}",
    "cookie": "Cookie: theme=dark; {name}={value}; lang=en",
    "set-cookie": "Set-Cookie: {name}={value}; Path=/; HttpOnly",
    "connection": "Server=db1;User Id=sa;{name}={value};Timeout=5",
    "log": "2024-01-02 login {name}={value} ok",
    "sql default": "{name} TEXT DEFAULT '{value}'",
}

WHOLE = {
    "url": f"postgresql://ann:{SECRET}@db1/shop",
    "url with no user": f"redis://:{SECRET}@cache:6379/0",
    "odbc": f"Driver={{x}};UID=ann;PWD={SECRET};",
    "azure": f"AccountName=x;AccountKey={_LONG}==;EndpointSuffix=core.windows.net",
    "sas": f"https://x.blob.core.windows.net/c?sv=2020&sig={_LONG}%3D",
    "authorization": f"Authorization: Bearer {_LONG}",
    "basic": "Authorization: Basic YW5uOmh1bnRlcjI=",
    "token scheme": f"Authorization: Token {SECRET}1234",
    "proxy": "Proxy-Authorization: Basic YW5uOmh1bnRlcjI=",
    "digest": f'Authorization: Digest username="ann", response="{_LONG}"',
    "cookies": f"Cookie: _ga=GA1.2.3; csrftoken={SECRET}; theme=dark",
    "set-cookie of no name": f"Set-Cookie: s={SECRET}; Path=/",
    "curl": f"curl -u ann:{SECRET} https://x.org",
    "curl header": f"curl -H 'X-Auth-Token: {SECRET}' https://x.org",
    "netrc": f"machine x.org login ann password {PLAIN}",
    "pgpass": f"db1:5432:shop:ann:{PLAIN}",
    "mysql": f"mysql -u ann -p{SECRET} shop",
    "sshpass": f"sshpass -p {SECRET} ssh x",
    "pem": f"-----BEGIN RSA PRIVATE KEY-----\n{_LONG}\n-----END RSA PRIVATE KEY-----",
    "openssh": f"-----BEGIN OPENSSH PRIVATE KEY-----\n{_LONG}",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.s5Rk2mZx9Lw4Vb8N",
    "aws": "AKIAIOSFODNN7EXAMPLE",
    "github": f"ghp_{_LONG}abcd",
    "github fine": f"github_pat_11ABC_{_LONG}",
    "gitlab": f"glpat-{_LONG[:20]}",
    "slack": f"xoxb-1234567890-{_LONG[:16]}",
    "slack hook": f"https://hooks.slack.com/services/T0001/B0002/{_LONG[:24]}",
    "openai": f"sk-proj-{_LONG}",
    "anthropic": f"sk-ant-api03-{_LONG}",
    "google": f"AIza{_LONG}abc",
    "huggingface": f"hf_{_LONG}",
    "stripe": f"sk_live_{_LONG}",
    "npm": f"npm_{_LONG}abcd",
    "bcrypt": "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW",
    "sql password": f"CREATE USER ann WITH PASSWORD '{PLAIN}'",
    "identified by": f"CREATE USER ann IDENTIFIED BY '{PLAIN}'",
    "sentence": f"the password is {SECRET}",
}

_PARTS = (SECRET, PLAIN, _LONG[:16], "YW5uOmh1bnRlcjI", "s5Rk2mZx9Lw4Vb8N", "AKIAIOSFODNN7", "R9h/cIPz0gi")


def notations() -> dict[str, str]:
    """All of them by name."""
    pairs = {f"{how} {name}": text.format(name=name, value=SECRET) for how, text in PAIRS.items() for name in NAMES}
    return pairs | WHOLE


def leaked(text: str) -> str:
    """A part of a secret that a text holds; empty where it holds none."""
    return next((part for part in _PARTS if part in text), "")
