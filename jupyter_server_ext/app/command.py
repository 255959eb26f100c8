"""``jupyter rsql``: the gateway alone, for a whole JupyterHub or for one kernel.

It is a plain tornado server with nothing but the gateway's routes. Inside a Jupyter Server the gateway is
``extension.GatewayExtension``; both read the same options, by the same names, from ``jupyter_rsql_config.py``.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import re
import ssl
import sys
import textwrap
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, cast

from jupyter_core.application import JupyterApp, NoStart, base_aliases, base_flags
from traitlets import Bool, Integer, TraitError, Unicode
from traitlets.config import catch_config_error
from traitlets.config.loader import KVArgParseConfigLoader

from jupyter_server_ext.app.assembly import (
    RSQLGatewayApp,
    build_app,
    default_folder,
    environment_token,
    owner,
    with_ledger,
)
from jupyter_server_ext.app.serve import Listening, parent_gone, serve
from jupyter_server_ext.app.supervised import SupervisorLink
from jupyter_server_ext.config import Secret, load_settings, read_by_others
from jupyter_server_ext.errors import ConfigError
from jupyter_server_ext.handlers import installed_version
from jupyter_server_ext.identity import HubPlace
from jupyter_server_ext.logs import keep_clean, use_json, wants_json

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

_COLUMN = 28  # characters before what an option does, in the help
_QUIET_SECONDS = 0.5  # the hub's proxy keeps connections open, and does not repeat what it sent over a closed one

_OWN = ("ip", "port", "base_url", "url_prefix", "gateway_config", "certfile", "keyfile", "drain_seconds", "parent_pid")
_FLAGS = {
    "hub": "Be a service of a JupyterHub, which sets the environment.",
    "trust_xheaders": "Believe X-Forwarded-For and the like: only behind a proxy.",
    "embedded": "Serve one kernel and end with it.",
}
_ACCEPTED: tuple[dict[str, Any], str] = ({}, "Accepted for the sake of habit; it is always so.")


class _CommandParser(KVArgParseConfigLoader.parser_class):  # type: ignore[misc,valid-type]
    """Reports an error in one line; argparse's usage would list traitlets' names."""

    def error(self, message: str) -> NoReturn:
        text = message.removeprefix("argument ").replace("--GatewayCommand.", "--").replace("_", "-")
        raise ConfigError(f"{text}. See jupyter rsql --help.")


class _StrictLoader(KVArgParseConfigLoader):
    """A mistyped option is an error: a gateway without its file would serve with other keys."""

    parser_class = _CommandParser

    def load_config(self, *args: Any, **more: Any) -> Any:
        # The command line as configuration; an option of the application that it does not have is refused.
        config = super().load_config(*args, **more)
        known = GatewayCommand.class_trait_names(config=True)
        for section in ("RSQLGatewayApp", "GatewayCommand"):
            for name in set(config.get(section, {})) - set(known):
                self._handle_unrecognized_alias(f"{section}.{name}")
        return config

    def _handle_unrecognized_alias(self, arg: str) -> None:
        raise ConfigError(f"There is no option --{arg}. See jupyter rsql --help.")


class GatewayCommand(RSQLGatewayApp, JupyterApp):
    """The gateway alone. Its token is JUPYTER_TOKEN; callers of their own are listed in the rsql.toml."""

    name = "rsql"
    version = installed_version()
    description = __doc__
    examples = """
    JUPYTER_TOKEN=… jupyter rsql                                   # keys from the environment
    JUPYTER_TOKEN=… jupyter rsql --port 8899 --gateway-config rsql.toml
    jupyter rsql ledger verify                                     # whether anybody has changed the records
    jupyter rsql ledger export entries.parquet                     # the records as a file, for others to read
    jupyter rsql sizing --gateway-config rsql.toml --users 75      # how many people the keys serve
    """

    ip = Unicode("127.0.0.1", help="Address to listen on; 0.0.0.0 for all.").tag(config=True)
    port = Integer(8899, min=0, max=65_535, help="Port to listen on; 0 for any free one.").tag(config=True)
    base_url = Unicode("/", help="Path that everything is below, such as /services/gateway/.").tag(config=True)
    certfile = Unicode("", help="Certificate for https (PEM).").tag(config=True)
    keyfile = Unicode("", help="Its private key (PEM), when it is not in the same file.").tag(config=True)
    trust_xheaders = Bool(False, help="Believe X-Forwarded-For and the like: only behind a proxy.").tag(config=True)
    drain_seconds = Integer(10, min=0, help="At the end: how long to wait for what is under way.").tag(config=True)
    embedded = Bool(
        False, help="Serve one kernel: loopback, any free port, and end as soon as standard input does."
    ).tag(config=True)
    hub = Bool(False, help="Be a service of a JupyterHub: address, path and callers are the hub's.").tag(config=True)
    parent_pid = Integer(0, min=0, help="End with this process, too.").tag(config=True)

    aliases = base_aliases | {name.replace("_", "-"): f"GatewayCommand.{name}" for name in _OWN}
    flags = (
        base_flags
        | {name.replace("_", "-"): ({"RSQLGatewayApp": {name: True}}, what) for name, what in _FLAGS.items()}
        | dict.fromkeys(("no-browser", "allow-root"), _ACCEPTED)
    )

    def _config_file_name_default(self) -> str:
        return "jupyter_rsql_config"  # the extension's; Jupyter itself would look for rsql_config

    def _log_level_default(self) -> int:
        return logging.WARNING

    @catch_config_error
    def initialize(self, argv: Any = None) -> None:
        """Read the command line and the configuration files of Jupyter."""
        super().initialize(argv)
        if self.extra_args:
            raise ConfigError(f"'{self.extra_args[0]}' is not an option. See jupyter rsql --help.")
        tornado = logging.getLogger("tornado")
        # Tornado logs for itself; its lines are to look like, and go where, the application's go.
        tornado.parent = self.log
        tornado.setLevel(cast("int", self.log_level))  # or a line is made of every request, for a handler that drops it
        if wants_json():
            use_json(self.log.handlers)
        keep_clean(self.log.handlers, always=True)

    def update_config(self, config: Any) -> None:
        """Take a configuration, of the command line or a file; a wrong value ends the program with one line."""
        try:
            super().update_config(config)
        except TraitError as error:
            print(f"jupyter rsql: {_plainly(str(error))} See jupyter rsql --help.", file=sys.stderr)  # noqa: T201
            self.exit(1)

    def _create_loader(self, argv: Any, aliases: Any, flags: Any, classes: Any) -> KVArgParseConfigLoader:
        return _StrictLoader(argv, aliases, flags, classes=classes, log=self.log, subcommands=self.subcommands)

    def emit_help(self, classes: bool = False) -> Generator[str]:
        """The lines of ``--help``: the options in short; ``--help-all`` has traitlets' own, with every setting."""
        if classes:
            yield from super().emit_help(classes)
            return
        yield from ("usage: jupyter rsql [OPTION …]", "", inspect.cleandoc(type(self).__doc__ or ""), "", "options:")
        for option, what in self._options():
            first, *rest = textwrap.wrap(what, 80)
            yield from (f"  {option.ljust(_COLUMN)}{first}", *(f"  {'':{_COLUMN}}{line}" for line in rest))
        yield from ("", "examples:", textwrap.indent(inspect.cleandoc(self.examples), "  "))

    def _options(self) -> Iterator[tuple[str, str]]:
        traits = self.class_traits(config=True)
        for alias, setting in self.aliases.items():
            trait = traits[setting.rpartition(".")[2]]
            if alias not in base_aliases:
                default = f" Default: {trait.default()}." if trait.default() else ""
                yield f"--{alias} {alias.rpartition('-')[2].upper()}", f"{trait.help}{default}"
        for flag, (_, what) in self.flags.items():
            if flag not in base_flags and what != _ACCEPTED[1]:
                yield f"--{flag}", what
        yield "--debug", "One line for each request, on standard error."
        yield "--log-level LEVEL", "DEBUG, INFO, WARN or ERROR. Default: WARN."
        yield "--config FILE", "A configuration file of Jupyter's, in place of jupyter_rsql_config.py."
        yield "--help-all", "Every setting there is, in the form that Jupyter's configuration files use."

    def start(self) -> None:
        """Serve until stopped.

        Raises:
            ConfigError: The configuration is wrong, or nobody could ask.
        """
        super().start()
        supervisor = SupervisorLink.of_environment()
        try:
            self._serve_with(supervisor)
        except ConfigError as error:
            if supervisor is not None:
                supervisor.tell(failed=error.message)
            raise

    def _serve_with(self, supervisor: SupervisorLink | None) -> None:
        settings = load_settings(self.gateway_config, os.environ)
        if supervisor is not None:
            settings = supervisor.checked(settings)
        if words := read_by_others(self.gateway_config, os.environ):
            self.log.warning("rsql: %s", words)
        if not self.embedded:  # the gateway of one kernel keeps records where it is configured
            settings = with_ledger(settings, default_folder())
        place = HubPlace.of(os.environ) if self.hub else None
        token = environment_token()
        if not token and not settings.api_keys and place is None:
            raise ConfigError("Nobody could ask: set JUPYTER_TOKEN to a secret, or list [[api_keys]] in the rsql.toml.")
        known = [(Secret(token), owner(os.environ))] if token else []
        base = self.base_below(self.base_url)
        if place is not None:
            base = place.prefix
            self.ip, self.port = place.listens or (self.ip, self.port)
        asyncio.run(self._serve(partial(build_app, settings, known, base, hub=place), supervisor))

    async def _serve(self, assembled: Any, supervisor: SupervisorLink | None) -> None:
        # What starts this waits for the line.
        listening = replace(self._listening(), supervisor=supervisor)
        await serve(assembled(), listening, lambda url: print(f"rsql gateway ready at {url}", flush=True))  # noqa: T201

    def _listening(self) -> Listening:
        if self.embedded:
            return Listening("127.0.0.1", 0, drain_seconds=0.0, until=partial(parent_gone, self.parent_pid))
        return Listening(
            self.ip,
            self.port,
            tls=self._tls(),
            trust_headers=self.trust_xheaders,
            drain_seconds=self.drain_seconds,
            quiet_seconds=_QUIET_SECONDS if self.hub or self.trust_xheaders else 0.0,
            until=partial(parent_gone, self.parent_pid, stdin=-1) if self.parent_pid else None,
            reread=partial(load_settings, self.gateway_config, os.environ),
            watched=self.gateway_config or os.environ.get("RSQL_CONFIG", ""),
        )

    def _tls(self) -> ssl.SSLContext | None:
        if not self.certfile:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(self.certfile, self.keyfile or None)
        except OSError as error:
            raise ConfigError(f"The certificate cannot be used: {error.strerror or error}.") from None
        return context


_KINDS = {"an int": "a whole number", "a boolean": "True or False", "a unicode string": "text"}
_WRONG_KIND = re.compile(r"The '(\w+)' trait of an? \w+ instance expected (.+), not the \w+ (.+)\.")
_OUT_OF_RANGE = re.compile(
    r"The value of the '(\w+)' trait of an? \w+ instance should not be (less|greater) than (\S+), "
    r"but a value of (\S+) was specified"
)


def _plainly(text: str) -> str:
    """What traitlets says of a wrong value, in plain words."""
    if kind := _WRONG_KIND.fullmatch(text):
        return f"'{kind[1]}' must be {_KINDS.get(kind[2], kind[2])}, not {kind[3]}."
    if number := _OUT_OF_RANGE.fullmatch(text):
        return f"'{number[1]}' must be {'at least' if number[2] == 'less' else 'at most'} {number[3]}, not {number[4]}."
    return text


def main(argv: list[str] | None = None) -> None:
    """The console script ``jupyter-rsql``; also ``python -m jupyter_server_ext``."""
    words = sys.argv[1:] if argv is None else argv
    try:
        if words[:1] == ["ledger"]:
            from jupyter_server_ext.app.subcommands import run

            sys.exit(run(words[1:]))
        if words[:1] == ["config"]:
            from jupyter_server_ext.app.subcommands import check_config

            check_config(words[1:])
            return
        if words[:1] == ["sizing"]:
            from jupyter_server_ext.app.subcommands import size

            size(words[1:])
            return
        GatewayCommand.launch_instance(argv)
    except ConfigError as error:
        print(f"jupyter rsql: {error.message}", file=sys.stderr)  # noqa: T201
        sys.exit(1)
    except NoStart:
        pass
