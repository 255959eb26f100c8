"""What a secret is called, in code and settings and in more than twenty languages, as patterns of regular expressions."""

from __future__ import annotations

# ruff: noqa: S105, E501 - patterns, not passwords

# A word begins after a sign or with a capital; a line may begin behind a written \n.
_BEGINS = r"(?:(?<![^\W_])|(?<=\\[nrt])|(?-i:(?<=[a-z0-9])(?=[A-Z])))"
# A password, whatever stands before it in one word (`Zugangspasswort`, `dbpassword`).
_PASSWORD = (
    r"[^\W\d_]{0,20}(?:passwor[dt]|kennwort|wachtwoord|lösenord|losenord)|[a-z0-9]{0,20}(?:passwd|passphrase)"
    r"|pass(?:word|wd|phrase|code)s|passcode|pwd|pw|geheimwort|toegangscode|mot[ _-]?de[ _-]?passe|mdp|contrase[ñn]a"
    r"|senha|palavra[ _-]passe|parola(?:[ _]d['’_]ordine|[ _]chiave)?|has[łl]o|heslo|jelszó|salasana|adgangskode|пароль"
    r"|[şs]ifre|passord|lozinka|парола|parolă|slaptažodis|κωδικός[ ]πρόσβασης|kata[ _-]sandi|mật[ ]khẩu"
)
# `pass` is in `DB_PASS` and `PGPASS` a password, in `low_pass` and `first pass:` none.
_PASS = (
    r"(?:pg|db|sql|my|smtp|imap|mail|ftp|ssh|ldap|http|proxy|auth|user|root|admin|sudo|key|store|trust)pass(?![a-z])"
    r"|(?<!low[ _-])(?<!high[ _-])(?<!band[ _-])(?<!first[ _-])(?<!second[ _-])(?<!one[ _-])(?<!two[ _-])(?<!all[ _-])"
    r"(?<!multi[ _-])(?<!single[ _-])(?<!by[ _-])(?<!last[ _-])(?<!next[ _-])(?<!spring[ _-])(?<!each[ _-])"
    r"(?-i:(?<!proxy_)(?<!fastcgi_)(?<!uwsgi_)(?<!grpc_))"  # of a web server
    r"pass(?=['\"`\\\]]{0,4}(?:\s?[=＝：]|\s?<-|:\s?\S|\s?,|[;|>\t]|\\t|\s{1,20}\S))"
)
_KEY = r"(?:key|schlüssel|schluessel|cl[eé]|clave|chave|chiave|sleutel|klucz|ключ|anahtar[ıi]?|nyckel|キー|키|鍵|密钥|密鑰)"
_QUALIFIED = (
    r"(?:api|secret|secret[ao]|secr[eè]te|segreta|geheime[rn]?|tajny|секретный|gizli|hemlig|private|privat[ae]?"
    r"|zugangs?|toegangs?|toegang|erişim|åtkomst)[ _-]?"
)
_OF = r"[ _-]?(?:(?:de|di|d['’])[ _]?)?(?:api|secret[ao]|secr[eè]te|segreta|acc?ess?[oa]|acc[eè]s|dost[eę]pu|доступа)"
# Scripts that write no blanks between words.
_UNSPACED = (
    r"密码|密碼|口令|密钥|密鑰|令牌|パスワード|暗証番号|合言葉|秘密鍵|アクセストークン|トークン|비밀번호|암호|비밀키"
    r"|액세스 토큰|(?<![a-z])api[ _-]?(?:キー|키|密钥)|รหัสผ่าน|סיסמה|كلمة (?:المرور|السر)|पासवर्ड"
)
#: What a variable, option, field or sentence calls a secret.
CALLED = (
    rf"(?:{_BEGINS}(?:{_PASSWORD}|{_PASS}"
    r"|[a-z0-9]{0,20}(?:secret|token|apikey|sess(?:ion)?[_-]?id)|secrets"
    rf"|{_QUALIFIED}{_KEY}s?|{_KEY}{_OF}|geheimnis|jeton d['’]acc[eè]s|токен(?: доступа)?|token d[ei] acc?ess?o"
    r"|access[_-]?keys?(?:[_-]?id)?|(?:account|shared|session|encryption|signing|master|auth|bearer)[_-]?keys?"
    r"|credentials?|authorization|bearer|client[_-]?secret|connection[_-]?string|sas|sig|signature|otp|pin[_-]?code)"
    rf"|{_UNSPACED})"
)
#: A part that each of these names has.
PARTS = (
    r"(?:pass|pwd|pw|kennwort|wachtwoord|l[öo]senord|geheim|code|mdp|contrase|senha|parola|has[łl]o|heslo|jelszó|salasana"
    r"|пароль|ifre|key|schl|cl[eé]|clave|chave|chiave|sleutel|klucz|ключ|anahtar|nyckel|キー|키|鍵|密|secret|token|токен|sess"
    r"|jeton|credential|auth|bearer|connection|sas|sig|otp|adgangskode|lozinka|парола|parol|slapta|πρόσβασης|sandi|khẩu|รหัส|סיסמה|كلمة|पास|口令|令牌|パスワード|暗証番号|合言葉|トークン|비밀|암호|토큰)"
)
#: What stands between a name and its value.
SIGN = r"(?:=>|<-|:=|==|[=:＝：])"
#: The same in a sentence.
VERB = r"(?:\s(?:is|ist|est|es|é|è|to|jest|är|lautet|wynosi)\s|\s[—–-]\s|\s?(?:是|为|為|は|는|은)\s?)"

_WITHOUT = r"[^\n|;&]{0,200}?\s"  # other options and arguments of the same command
_COMMANDS = (
    (r"(?:mysql|mariadb)[a-z_-]{0,12}|mycli|7z[ar]?", r"-p"),
    (r"sshpass", r"-p\s?"),
    (
        r"mongo[a-z]{0,10}|(?:docker|podman|nerdctl|registry|oras|skopeo|az)\s{1,3}login|cqlsh|beeline|rabbitmqadmin|cbq",
        r"-p\s",
    ),
    (r"sqlcmd|osql|bcp|tsql|zip|unzip|ipmitool", r"-P\s?"),
    (r"(?:redis|valkey|keydb)-cli", r"-a\s"),
    (r"https?|xh", r"-a\s['\"]?[^\s:'\"]{1,100}:"),
    (r"ldap[a-z]{3,10}|vsql", r"-w\s?"),
    (r"plink|pscp|psftp", r"-pw\s"),
    (r"smbclient|rpcclient", r"-U\s?['\"]?[^\s%'\"]{1,100}%"),
    (r"openssl", r"-pass(?:in|out)?\spass:"),
    (r"sqlplus|expdp|impdp|sqlldr", r"[\w.]{1,60}/"),
)
#: The clients that take a password by an option of one letter, each up to where the password begins.
COMMANDS = "|".join(rf"(?<![\w./-])(?:{command})\s(?:{_WITHOUT})?{option}" for command, option in _COMMANDS)
#: Calls and arguments that take a user and a password, up to where the password's quotes begin.
PAIRS = (
    r"(?:\bauth\w{0,15}\s?=\s?|\b(?:http|proxy)?(?:basic|digest)_?auth\w{0,10}|\b(?:req_)?auth(?:enticate|_basic)"
    r"|\.login|\bPlainAuthProvider)\s?\(\s{0,20}(?:\w{1,20}\s?=\s?)?['\"][^'\"\n]{0,200}['\"]\s?,\s{0,20}(?:\w{1,20}\s?=\s?)?"
)
