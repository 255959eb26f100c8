"""Every setting of the kernel side, with its default and its help: ``%config Rsql`` shows and changes them."""

# They can also be set for good in `ipython_config.py`: `c.Rsql.model = "llama-3.3-70b"`. docs/settings.md is made from
# this file.

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from traitlets import Bool, CaselessStrEnum, Dict, Float, Integer, Unicode
from traitlets.config import Configurable

if TYPE_CHECKING:
    from traitlets import TraitType


class Rsql(Configurable):
    """Settings of ``%%ask``, ``%%sql_ai`` and the chat panel."""

    model = Unicode("", help="Model to ask; empty for the gateway's default. --model wins.")
    aliases = Dict(
        key_trait=Unicode(),
        value_trait=Unicode(),
        help='Short names for models, as in {"fast": "llama-3.1-8b-instant"}.',
    )
    lang = CaselessStrEnum(
        ["auto", "r", "python", "sql"], "auto", help="Language of code in answers; auto leaves it to the question."
    )
    privacy = CaselessStrEnum(
        ["names", "stats", "sample"],
        "stats",
        help="What may leave. names: names and types; stats: also ranges and frequent categories; sample: also 5 rows.",
    )
    format = CaselessStrEnum(["markdown", "text", "json"], "markdown", help="How an answer of %%ask is shown.")

    context_tokens = Integer(1500, min=0, help="Most tokens spent on describing the notebook to the model.")
    documents = CaselessStrEnum(
        ["auto", "named"],
        "auto",
        help="When passages of documents go with a question. auto: when they fit it; named: with --docs only.",
    )
    document_tokens = Integer(1500, min=0, help="Most tokens spent on passages of documents; 0 for none.")
    embedding_model = Unicode(
        "",
        help="Model that finds passages by meaning too; all text of the documents is sent to it. Empty: words alone.",
    )
    completion_model = Unicode(
        "",
        help="Model that completes code in cells by JupyterLab's inline completion (docs/panel.md). Empty: none.",
    )
    completions_per_minute = Integer(20, min=1, help="Most completions that a notebook asks for in a minute.")
    query_log = Bool(
        False,
        help="Learn from the database's own log (PostgreSQL's pg_stat_statements) which tables are used and joined.",
    )
    schema_tokens = Integer(
        8000,
        min=100,
        help="Most tokens spent on tables by %%sql_ai; a larger schema is narrowed to the tables that matter.",
    )
    history_tokens = Integer(1000, min=0, help="Most tokens spent on earlier turns of the chat.")
    max_question_chars = Integer(
        100_000, min=1, help="Longest question in characters, after {{names}} are filled in; a longer one is refused."
    )
    max_value_chars = Integer(20_000, min=1, help="Longest text that one {{name}} may bring into a question.")

    value_index = Bool(
        True,
        help="Keep an index of the values of text columns beside the kernel, to correct literals (docs/privacy.md).",
    )
    value_index_mb = Integer(
        1024, min=1, help="Most megabytes that the value index of one connection may take on disk."
    )

    conversations = CaselessStrEnum(
        ["auto", "always", "never"],
        "auto",
        help="Whether conversations are kept, encrypted, in Jupyter's data folder (docs/privacy.md). auto: where "
        "somebody watches, so not by nbconvert, papermill and the like.",
    )
    copy_conversations = Bool(
        False,
        help="Copy conversations and their files to the gateway, encrypted there, so that they follow you to other "
        "machines of the hub (docs/privacy.md).",
    )
    conversation_days = Float(
        365.0, min=0.0, help="Days after which a conversation in which nothing was said is deleted; 0 for never."
    )

    artifact_mb = Float(
        512.0,
        min=0.0,
        help="Most megabytes of files that answers made (rows, scripts, charts, …) are kept; the oldest that are not "
        "pinned make room. 0 keeps none.",
    )
    artifact_days = Float(
        90.0,
        min=0.0,
        help="Days after which a file that an answer made is deleted, but what is pinned and practised; 0 for never.",
    )

    drafts = Integer(
        0,
        min=0,
        max=5,
        help="How many drafts of a query %%sql_ai compares by their results; 0 compares three where the first one was "
        "repaired, came back empty, or the question is long.",
    )
    look = CaselessStrEnum(
        ["auto", "always", "never"],
        "auto",
        help="Whether a model may call tools before it answers; auto: where not all tables fit into its prompt.",
    )
    look_calls = Integer(8, min=0, max=50, help="Most calls of tools for one question; 0 for none.")
    retries = Integer(3, min=0, help="How many times %%sql_ai may send a failing query back to be corrected.")
    max_rows = Integer(1000, min=1, help="Most rows a query of %%sql_ai brings into the notebook.")
    file_rows = Integer(
        1_000_000, min=1, help="Most rows of a file, when all rows of a query are asked for in the list of files."
    )
    shown_rows = Integer(10, min=1, help="Rows of a result shown below the cell.")
    shown_columns = Integer(20, min=1, help="Columns of a result shown below the cell.")
    query_timeout = Float(60.0, min=0.001, help="Most seconds a query may run.")
    plan_rows = Integer(
        10_000_000_000,
        min=0,
        help="Rows that a query's plan may expect to handle; beyond, a person is asked first. 0: any number.",
    )
    timeout = Float(120.0, min=0.001, help="Most seconds without a word from the gateway before a request is given up.")

    on_error = CaselessStrEnum(
        ["raise", "warn", "skip"],
        "raise",
        help="What an error of a question does. raise: it stops the run; warn: its cell shows it, and the run goes on; "
        "skip: the run goes on and nothing is shown. --on-error wins.",
    )
    batch_deadline = Float(
        None,
        allow_none=True,
        min=0.0,
        help="Most seconds a question waits for limits, and for a gateway that is away, where nobody watches. None: an "
        "hour, and 5 s for a gateway that has not answered yet.",
    )
    answer_tokens = Integer(
        0, min=0, help="Most tokens an answer may have, sent as max_tokens; 0 leaves it to the gateway and the model."
    )
    answer_timeout = Float(
        600.0,
        min=0.0,
        help="Most seconds an answer may take from its first event to its last; what had come is kept. 0: any time.",
    )
    updates_per_second = Float(10.0, min=0.1, max=10.0, help="How often a streamed answer is redrawn.")
    usage_line = Bool(True, help="Show model, tokens, time and what is left under each answer.")
    check_code = Bool(True, help="Check answers: code that does not parse goes back once, numbers meet the data.")

    do_calls = Integer(12, min=1, help="Most calls of a model in one turn of the assistant (do), looks included.")
    do_seconds = Float(
        300.0, min=1.0, help="Most seconds that one turn of the assistant may work; your own do not count."
    )
    do_budget = Float(
        None,
        allow_none=True,
        min=0.0,
        help="Most US dollars that one turn of the assistant may cost. None: any amount.",
    )
    do_rounds = Integer(3, min=0, help="How many times results of cells go back to the assistant in one turn.")
    do_cell_tokens = Integer(
        6000, min=100, help="Most tokens spent on the notebook's cells in a turn of the assistant."
    )

    gateway_url = Unicode(
        "", help="Base URL of the gateway, ending in /rsql/. Empty: look for one (docs/magics.md, %rsql connect)."
    )
    hub_service = Unicode("rsql", help="Name of the gateway's service on a JupyterHub.")
    embedded = Bool(True, help="Start a gateway of our own, on loopback, when no other is found.")
    start_timeout = Float(20.0, min=0.1, help="Most seconds the embedded gateway may take to start.")

    def resolve(self, model: str | None) -> str | None:
        """The model to ask for: the one given, else the configured one, aliases replaced. None: the gateway's default.

        Example:
            >>> Rsql(aliases={"fast": "llama-3.1-8b"}).resolve("fast")
            'llama-3.1-8b'
        """
        name = model or self.model
        return self.aliases.get(name, name) or None


for _setting in Rsql.class_own_traits().values():
    _setting.tag(config=True)  # so that %config and configuration files know it


def settings_table() -> str:
    """All settings as a Markdown table, for docs/settings.md."""
    rows = [
        f"| `Rsql.{name}` | {_kind(trait)} | `{trait.default()!r}` | {trait.help} |"
        for name, trait in sorted(Rsql.class_own_traits(config=True).items())
    ]
    return "\n".join(["| setting | kind | default | what it does |", "|---|---|---|---|", *rows])


def _kind(trait: TraitType[Any, Any]) -> str:
    if isinstance(trait, CaselessStrEnum):
        return ", ".join(f"`{value}`" for value in trait.values or ())
    kinds = {Bool: "yes or no", Integer: "whole number", Float: "number", Unicode: "text", Dict: "names and texts"}
    return next(word for kind, word in kinds.items() if isinstance(trait, kind))
