"""What a notebook and its group share by the gateway: dictionaries and examples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rsql_magic.errors import BadInput
from rsql_magic.knowledge import SharedKnowledge
from rsql_magic.redaction import redact
from rsql_magic.text2sql import Verified

if TYPE_CHECKING:
    from rsql_magic.gateway import GatewayLocator, LLMClient
    from rsql_magic.text2sql import SQLResult


class SharedInReach:
    """The dictionaries and examples of a notebook's group, by the gateway, and what is shared with it from here."""

    def __init__(self, locator: GatewayLocator) -> None:
        self._locator = locator
        self.knowledge = SharedKnowledge(self._gateway)

    # The gateway where it shares dictionaries and examples; none is started to find out.
    def _gateway(self) -> LLMClient | None:
        locator = self._locator
        if not locator.is_within_reach() or locator.unknown_policy() or not locator.knows_dictionaries:
            return None
        return locator.gateway

    def examples(self) -> list[Verified]:
        """The questions that instructors promoted for one's group, and those for everyone."""
        return [Verified(one.question, one.sql, one.dialect, one.source) for one in self.knowledge.examples()]

    def promote(self, result: SQLResult | None) -> str:
        """Share a question and its SQL as an example with one's group; gives the group's name.

        Raises:
            BadInput: There is no result, or it holds what must not be shared.
            GatewayError: The gateway keeps none, or not from you.
        """
        if result is None:
            raise BadInput("There is no result to share.", hint="Ask with %%sql_ai first.")
        if found := redact(f"{result.question}\n{result.sql}")[1]:
            reason = f"The question or its SQL holds what looks like {', '.join(sorted(found))}."
            raise BadInput(reason, hint="Ask without it, and share that.")
        return self.knowledge.promote(self._locator.gateway, result.question, result.sql, result.dialect)

    def share_dictionary(self, path: str) -> str:
        """Share the dictionary of a file with one's group; says so, and what of it cannot be computed.

        Raises:
            BadInput: The file cannot be read, or cannot be used as a dictionary.
            GatewayError: The gateway keeps none, or not from you.
        """
        from rsql_magic.knowledge import check_file, read_text

        file = Path(path).expanduser()
        if file.is_dir():
            raise BadInput(f"{path} is a folder.", hint="Share a file: of a dbt project target/manifest.json.")
        text = read_text(file, path)
        dictionary, problems = check_file(text, path)
        errors = [problem for problem in problems if problem.error]
        if dictionary is None or errors:
            first = f": {errors[0].message}" if errors else ""
            where = f" (line {errors[0].line})" if errors and errors[0].line else ""
            hint = f"%rsql dictionary check {path} lists all that is wrong."
            raise BadInput(f"{path} cannot be used, and is not shared{first}{where}.", hint=hint)
        owner = self.knowledge.share(self._locator.gateway, file.name, text)
        unusable = f"; cannot be computed: {', '.join(dictionary.refused)}" if dictionary.refused else ""
        return f"Shared {file.name} with {owner}{unusable}."

    def unshare_dictionary(self, name: str) -> None:
        """Delete a dictionary of one's group."""
        self.knowledge.unshare(self._locator.gateway, name)
