"""The commands of ``%rsql``: a report or a method ``_NAME`` carries out each of ``options.COMMANDS``."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from rsql_magic import diagnostics, reports
from rsql_magic.assistant import ending
from rsql_magic.databases import check_dictionary, draft_dictionary, keep_values
from rsql_magic.errors import BadInput, ConnectionProblem, GatewayUnreachable
from rsql_magic.gateway import ReplayFile
from rsql_magic.options import COMMANDS, DICTIONARIES, KEY_LIMITS, KEY_OPTIONS, help_text, is_variable

if TYPE_CHECKING:
    from collections.abc import Callable

    from rsql_magic.answers import NotebookSnapshot
    from rsql_magic.assistant import Assistant
    from rsql_magic.display import Screen
    from rsql_magic.gateway import GatewayLocator
    from rsql_magic.panel import Conversations


_REPORTS = {"status": reports.status, "usage": reports.usage, "stats": reports.usage, "models": reports.models}


@dataclass
class Commands:
    """The commands of one line; ``keep`` puts a value into a variable of the notebook."""

    assistant: Assistant
    snapshot: NotebookSnapshot
    screen: Screen
    show_panel: Callable[[], None]
    conversations: Callable[[], Conversations]
    keep: Callable[[str, Any], None]

    def run(self, line: str) -> None:
        """Run the command that stands after ``%rsql``."""
        name, _, rest = line.strip().partition(" ")
        name = "help" if name in {"", "--help", "-h"} else name
        if name not in COMMANDS:
            close = " or ".join(f"%rsql {known}" for known in get_close_matches(name, COMMANDS, 2))
            hint = f"Did you mean {close}?" if close else "%rsql help lists the commands."
            raise BadInput(f"There is no %rsql {name}.", hint=hint)
        if rest.strip() and not COMMANDS[name][0]:
            hint = "%rsql help lists the commands."
            raise BadInput(f"%rsql {name} takes nothing more, not {rest.strip()!r}.", hint=hint)
        with ending(self.screen):
            if name in _REPORTS:
                self.screen.show(_REPORTS[name](self.assistant))
            else:
                getattr(self, f"_{name}")(rest.strip())

    def _connect(self, rest: str) -> None:
        url, _, more = rest.partition(" ")
        flag, _, name = more.strip().partition(" ")
        if flag and (flag != "--token-from" or not name.strip()):
            wrong = "--token-from needs a NAME" if flag == "--token-from" else f"%rsql connect does not know {flag}"
            raise BadInput(f"{wrong}.", hint="%rsql connect URL --token-from NAME.")
        locator, name = self.assistant.locator, name.strip()
        if not url:
            found = locator.address
            self.screen.say(f"{found}." if found else "Not connected; the first question finds or starts a gateway.")
            return
        token = self.snapshot.namespace.get(name, os.environ.get(name)) if name else ""
        if token is None:
            raise BadInput(f"Neither a variable nor the environment has {name}.", hint="Name what holds the token.")
        try:
            self.screen.say(f"Connected to {locator.use(url, str(token))}.")
            self.assistant.shared.knowledge.expire()
        except GatewayUnreachable as error:
            error.hint = "Check the URL." + (f" {locator.address} stays in use." if locator.address else "")
            raise

    def _keys(self, rest: str) -> None:
        word, _, more = rest.partition(" ")
        if not word:
            self.screen.show(reports.keys(self.assistant))
        elif word == "new":
            self._make_key(more.split())
        elif word == "revoke" and not more.strip():
            raise BadInput("A key to revoke needs its ID.", hint="%rsql keys lists them.")
        elif word == "revoke":
            revoked = self.assistant.locator.gateway.delete(f"keys/{quote(more.strip(), safe='')}")
            self.screen.say(f"Revoked {revoked['name']} ({revoked['id']}).")
        else:
            raise BadInput(f"%rsql keys does not know {rest}.", hint="%rsql keys new NAME, or %rsql keys revoke ID.")

    # The text of a new key goes into a variable: a notebook keeps what it shows.
    def _make_key(self, words: list[str]) -> None:
        options = dict(zip_longest(words[1::2], words[2::2]))
        wrong = "A new key needs a name" if not words or words[0].startswith("--") else ""
        for option, value in options.items():
            unknown = f"A new key has no option {option}" if option not in KEY_OPTIONS else ""
            wrong = wrong or unknown or (f"{option} needs a value" if value is None else "")
        if wrong:
            options_there_are = f"%rsql keys new NAME, with these and a value each: {', '.join(KEY_OPTIONS)}."
            raise BadInput(f"{wrong}.", hint=options_there_are)
        if not is_variable(name := options.get("--into", "rsql_key")):
            raise BadInput(f"{name} is not a name for a variable.", hint="Write --into NAME.")
        body: dict[str, Any] = {"name": words[0]}
        if "--days" in options:
            body["days"] = _number(options["--days"])
        if limits := {limit: _number(options[name]) for name, limit in KEY_LIMITS.items() if name in options}:
            body["limits"] = limits
        if "--scopes" in options:
            body["scopes"] = [scope for scope in options["--scopes"].split(",") if scope]
        made = self.assistant.locator.gateway.post("keys", body)
        self.keep(name, made["key"])
        good = reports.good_until(self.assistant, made["expires"])
        may = f", for {', '.join(made['scopes'])}" if made.get("scopes") else ""
        self.screen.say(
            f"{made['name']} ({made['id']}), good until {good}{may}, is in the variable {name}. "
            "It is not given again, and not shown, as the notebook would keep it."
        )

    def _context(self, rest: str) -> None:
        unsure = self.assistant.locator.unknown_policy()
        gathered = self.assistant.gather(rest, self.snapshot)
        self.screen.show(reports.context(replace(gathered, notes=(*gathered.notes, *filter(None, [unsure])))))
        if self.assistant.last_prompt is not None and not rest:
            from rsql_magic.text2sql import last_query

            self.screen.also(last_query(self.assistant.last_prompt).bundle())

    def _catalog(self, rest: str) -> None:
        engine, _ = self.assistant.connections.engine("", self.snapshot.namespace)
        from rsql_magic.text2sql import earlier_queries, evidence_of, read_verified, verified_paths

        settings = self.assistant.settings
        catalog = engine.catalog(settings.privacy)
        log = engine.query_log() if settings.query_log else ()
        earlier = earlier_queries(self.snapshot.cells, (), Path(), log)
        examples = [*read_verified(verified_paths()), *self.assistant.shared.examples()]
        evidence = evidence_of(examples, earlier, catalog)
        self.screen.show(reports.catalog(catalog, rest, evidence))

    def _docs(self, rest: str) -> None:
        word, _, more = rest.partition(" ")
        library = self.assistant.documents.library
        if not word:
            self.screen.show(reports.documents(library))
        elif word == "add":
            try:
                words = shlex.split(more)
            except ValueError:
                raise BadInput("A quotation mark is not closed.", hint="%rsql docs add 'my notes.md'") from None
            added = library.add(words, reports.progress_bar(self.screen.status))
            self.screen.show(reports.added(added))
        elif word == "remove" and more.strip():
            gone = library.remove(more.strip().strip("'\""))
            self.screen.say(f"Removed {', '.join(each.name for each in gone[:5])}{' …' if len(gone) > 5 else ''}.")
        elif word == "push" and more.strip():
            shared, owner = library.push(more.strip().strip("'\""))
            self.screen.say(f"Shared {', '.join(each.name for each in shared[:5])} with {owner}.")
        else:
            hint = "%rsql docs add PATH, %rsql docs remove NAME, %rsql docs push NAME, or %rsql docs to list them."
            raise BadInput(f"%rsql docs does not know {rest}.", hint=hint)

    def _search(self, words: str) -> None:
        if not words:
            raise BadInput("There is nothing to search for.", hint="%rsql search WORDS.")
        library = self.assistant.documents.library
        hits = library.search(words, most=10)
        if not (hits.passages or hits.notes or library.all_documents()):
            raise BadInput("There are no documents to search.", hint="%rsql docs add PATH, a folder, or an address.")
        self.screen.show(reports.found(hits, words))

    def _dictionary(self, rest: str) -> None:
        word, _, path = rest.partition(" ")
        path, used = path.strip("'\" "), self.assistant.dictionary
        if word == "init":
            self._draft_dictionary(path or DICTIONARIES[0])
        elif word == "check":
            self._check_dictionary(path or used.path)
        elif word == "share":
            self._share_dictionary(path or used.path)
        elif word == "unshare":
            if not path:
                raise BadInput("A dictionary to take back needs its name.", hint="%rsql dictionary lists them.")
            self.assistant.shared.unshare_dictionary(path)
            self.screen.say(f"{path} is no longer shared.")
        else:
            if word in {"on", "off"} and not path:
                used.use("" if word == "on" else None)
            elif rest:
                used.use(rest.strip("'\""))
            self.screen.say(str(used))

    def _draft_dictionary(self, path: str) -> None:
        engine, on = self.assistant.connections.engine("", self.snapshot.namespace)
        file = draft_dictionary(path, engine, self.assistant.settings.privacy)
        todo = sum(line.lstrip().startswith("todo: ") for line in file.read_text(encoding="utf-8").splitlines())
        marks = f"{todo:,} to-do mark{'s' * (todo != 1)}"
        self.screen.say(
            f"Drafted {file}{f' {on}' if on else ''}, with {marks}. %rsql dictionary check {file} tells what is left."
        )

    def _share_dictionary(self, path: str) -> None:
        if not path:
            raise BadInput("There is no dictionary to share.", hint="%rsql dictionary share PATH.")
        self.screen.say(f"{self.assistant.shared.share_dictionary(path)} Notebooks find it within a minute.")

    def _check_dictionary(self, path: str) -> None:
        if not path:
            raise BadInput("There is no dictionary to check.", hint="%rsql dictionary check PATH.")
        try:
            engine, _ = self.assistant.connections.engine("", self.snapshot.namespace)
        except ConnectionProblem:
            engine = None  # the file alone
        self.screen.show(reports.misfits(check_dictionary(path, engine), path, engine.name if engine else ""))

    def _values(self, word: str) -> None:
        settings, folder = self.assistant.settings, self.assistant.values_folder
        engine, _ = self.assistant.connections.engine("", self.snapshot.namespace)
        keep_values(engine, folder, settings.value_index_mb if settings.value_index else 0)
        engine.catalog(self.assistant.locator.most(settings.privacy), sure=True)
        if engine.values is None:
            hint = "%config Rsql.value_index = True keeps one." if folder else "RSQL_VALUES=off turns it off here."
            raise BadInput("There is no value index.", hint=hint)
        self.screen.show(reports.values(engine.values, word.strip("'\"")))

    def _chat(self, _: str) -> None:
        self.show_panel()

    def _history(self, rest: str) -> None:
        from rsql_magic.notebook.history import HistoryCommands

        HistoryCommands(self.conversations, self.assistant.chat, self.screen).run(rest)

    def _study(self, rest: str) -> None:
        from rsql_magic.notebook.study_sets import practise

        practise(rest, self.conversations(), self.screen, batch=self.assistant.batch)

    def _thread(self, rest: str) -> None:
        chat = self.assistant.chat
        if rest:
            chat.switch(rest)
        self.screen.say(
            "\n".join(
                f"{'*' if name == chat.thread else ' '} {name}: {turns} turn{'' if turns == 1 else 's'}"
                for name, turns in chat.threads.items()
            )
        )

    def _replay(self, rest: str) -> None:
        locator, word = self.assistant.locator, rest.strip("'\"")
        if word == "off":
            locator.stop_replaying()
        elif word == "diff":
            self.screen.say(_differences(_recording(locator)))
            return
        elif word == "on":
            locator.go_on_replaying()
        elif word == "strict":
            file = _recording(locator)
            locator.replay = ReplayFile(file.path, "replay").opened()
        elif word:
            locator.replay = ReplayFile.named(word).opened()
        self.screen.say(f"{locator.replay}." if locator.replay else "No answers are recorded or replayed.")

    def _reset(self, _: str) -> None:
        turns = len(self.assistant.chat)
        self.conversations().reset()
        left = self.conversations().copies.settle()
        self.screen.say(f"Forgot {turns} turn{'' if turns == 1 else 's'}. {left}".strip())

    def _refresh(self, _: str) -> None:
        self.assistant.connections.refresh()
        self.screen.say("Tables are read anew at the next question.")

    def _transpile(self, sql: str) -> None:
        given: dict[str, str] = {}
        while (flag := sql.partition(" ")[0]) in {"--from", "--to"}:
            given[flag], _, sql = sql.removeprefix(flag).strip().partition(" ")
            sql = sql.strip()
        if "--to" not in given or not sql:
            raise BadInput("A dialect and a query are needed.", hint="%rsql transpile --to snowflake SELECT …")
        engine = self.assistant.connections.current
        read = given.get("--from") or (engine.dialect if engine else "duckdb")
        self.screen.say(reports.transpile(sql, read, given["--to"]))

    def _verify(self, rest: str) -> None:
        if rest not in {"", "--user", "--group"}:
            hint = "%rsql verify, %rsql verify --user, or %rsql verify --group."
            raise BadInput(f"%rsql verify does not know {rest}.", hint=hint)
        if rest == "--group":
            self.screen.say(f"Shared with {self.assistant.shared.promote(self.assistant.last_result)}.")
            return
        self.screen.say(f"Kept in {self.assistant.verify(user=rest == '--user')}.")

    def _doctor(self, rest: str) -> None:
        flag, _, file = rest.partition(" ")
        if flag not in {"", "--report"}:
            raise BadInput(f"%rsql doctor does not know {flag}.", hint="%rsql doctor, or %rsql doctor --report FILE.")
        findings = reports.doctor(self.assistant)
        self.screen.show(reports.examined(findings))
        if flag:
            self.screen.say(reports.packed(findings, file.strip()))

    def _debug(self, rest: str) -> None:
        if rest not in {"", "on", "off"}:
            raise BadInput(f"%rsql debug does not know {rest}.", hint="%rsql debug on, or %rsql debug off.")
        if rest == "on":
            try:
                diagnostics.switch_on()
            except OSError as error:
                hint = "XDG_CACHE_HOME names another folder."
                raise BadInput(f"The log cannot be written ({error.strerror}).", hint=hint) from None
        elif rest == "off":
            diagnostics.switch_off()
        state = "on" if diagnostics.is_on() else "off"
        self.screen.say(f"The log is {state}; its files are in {diagnostics.logs_folder(os.environ)}.")

    def _help(self, name: str) -> None:
        if name and name not in COMMANDS:
            raise BadInput(f"There is no %rsql {name}.", hint="%rsql help lists the commands.")
        self.screen.say(help_text(name))


def _recording(locator: GatewayLocator) -> ReplayFile:
    if locator.replay is None:
        raise BadInput("No recording is in use.", hint="%rsql replay answers.jsonl.")
    return locator.replay


# How the questions of this session differ from the recorded ones.
def _differences(file: ReplayFile) -> str:
    parts = []
    for request in file.missed:
        changed = file.differences(request) or ["not recorded before, and nothing like it"]
        parts.append("\n".join([f"{request.task or 'ask'}: {request.question}", *(f"  {line}" for line in changed)]))
    return "\n\n".join(parts) or "All that was asked in this session was recorded before."


def _number(text: str) -> float:
    try:
        return int(text) if text.isdecimal() else float(text)
    except ValueError:
        raise BadInput(f"{text} is no number.", hint="%rsql keys new NAME --days 30 --per-day 100.") from None
