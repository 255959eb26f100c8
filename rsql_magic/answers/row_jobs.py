"""Many rows by a job of the gateway: it asks when there is quota to spare, and goes on when this process ends."""

from __future__ import annotations

import hashlib
import json
import secrets
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any

from rsql_magic.errors import BadInput, GatewayError, Stopped
from rsql_magic.gateway import Usage, can_pass, ending_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from rsql_magic.answers.rows import RowAsker
    from rsql_magic.gateway import LLMClient, Patience

MANY = 500
"""Requests from which a job asks them."""
_PAUSES = (1.0, 15.0)  # seconds between two looks at a job: the first, and the longest
_UNSURE = "rows-"  # the beginning of the name of a job whose id is not known
_GOING = frozenset({"validating", "in_progress", "finalizing", "cancelling"})


def takes_jobs(client: LLMClient) -> bool:
    """Whether the gateway takes jobs of this caller.

    Raises:
        GatewayError: It may tell later.
    """
    try:
        return isinstance(client.get("v1/batches?limit=1", timeout=10.0).get("data"), list)
    except AttributeError:
        return False
    except GatewayError as error:
        if can_pass(error):
            raise
        return False


def ask_by_job(
    asker: RowAsker, client: Callable[[], LLMClient], patience: Patience, budget: float | None = None
) -> None:
    """Have a job ask about all open rows, or go on waiting for the one that does; rows without an answer stay open.

    Args:
        asker: Knows the rows.
        client: The gateway, also one that was started anew.
        patience: How long a gateway that is away is waited for.
        budget: Most US dollars that the job may cost.

    Raises:
        BadInput: The gateway's jobs have no budgets.
        Stopped: Ctrl-C; the job goes on.
        GatewayError: The gateway refuses the job, or is away for too long.
    """
    batches = asker.batches()
    mark = hashlib.sha256("".join(asker.keys[place] for batch in batches for place in batch).encode()).hexdigest()
    job = asker.known.job(mark)
    try:
        if not job or job.startswith(_UNSURE):
            job = _made(asker, batches, mark, client, patience, budget=budget)
        told = _waited(asker, job, client, patience)
        results = f"v1/files/{told.get('output_file_id')}/content"
        lines = patience.until_answered(lambda: list(client().lines(results))) if told.get("output_file_id") else []
    except KeyboardInterrupt:
        job = job or asker.known.job(mark)
        goes_on = f"the job {job} goes on at the gateway, and the same call fetches its answers"
        goes_on = "a job may have been made, which the same call goes on with" if job.startswith(_UNSURE) else goes_on
        raise Stopped(f"Stopped; {goes_on if job else 'no job was made'}.") from None
    except GatewayError as error:
        if error.status != 404:
            raise
        asker.known.put_job(mark, "")
        return
    for line in lines:
        _take(asker, batches, json.loads(line))
    if paid := (told.get("rsql") or {}).get("cost_usd"):  # failed tries included
        asker.progress.cost_usd = max(asker.progress.cost_usd or 0.0, float(paid))
    asker.known.put_job(mark, "")
    with suppress(GatewayError):  # they expire
        for name in ("input_file_id", "output_file_id", "error_file_id"):
            if told.get(name):
                client().delete(f"v1/files/{told[name]}")


def _made(
    asker: RowAsker,
    batches: list[list[int]],
    mark: str,
    client: Callable[[], LLMClient],
    patience: Patience,
    *,
    budget: float | None,
) -> str:
    """The id of the job of all requests: made once, also where the reply of the gateway that made it was lost."""
    # By this name a job is found of which nothing more is known. It is kept before the job is made.
    earlier = asker.known.job(mark)
    name = earlier or f"{_UNSURE}{secrets.token_hex(8)}"
    asker.known.put_job(mark, name)
    tries = count(1 if earlier else 0)
    lines = (
        {"custom_id": str(number), "method": "POST", "url": "/v1/chat/completions", "body": asker.body(batch)}
        for number, batch in enumerate(batches)
    )
    content = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode("utf-8", "replace")

    def make() -> str:
        if next(tries) and (there := _job_named(client(), name)):
            return there
        file = client().upload("rows.jsonl", content, purpose="batch")["id"]
        about = {"name": name} | ({} if budget is None else {"budget_usd": f"{budget:.9f}"})
        made = {"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
        told = client().post("v1/batches", {**made, "metadata": about})
        if budget is not None and (told.get("rsql") or {}).get("budget_usd") is None:
            client().post(f"v1/batches/{told['id']}/cancel", {})
            raise BadInput(
                "The gateway's jobs keep no budget.", hint="Leave by_job out: rows are asked about from here."
            )
        return str(told["id"])

    job = patience.until_answered(make)
    asker.known.put_job(mark, job)
    return job


def _job_named(client: LLMClient, name: str) -> str:
    listed = client.get("v1/batches?limit=100")["data"]
    return next((str(one["id"]) for one in listed if (one.get("metadata") or {}).get("name") == name), "")


def _waited(asker: RowAsker, job: str, client: Callable[[], LLMClient], patience: Patience) -> dict[str, Any]:
    """The job once it has ended."""
    seconds, longest = _PAUSES
    while True:
        told: dict[str, Any] = patience.until_answered(lambda: client().get(f"v1/batches/{job}"))
        if told.get("status") not in _GOING:
            return told
        counts = told.get("request_counts") or {}
        asker.progress.wait_for(f"job {job}: {counts.get('completed', 0):,} of {counts.get('total', 0):,} requests")
        asker.tell(asker.progress)
        patience.pause(seconds)
        seconds = min(2 * seconds, longest)


def _take(asker: RowAsker, batches: list[list[int]], line: dict[str, Any]) -> None:
    try:
        body, batch = line["response"]["body"], batches[int(line["custom_id"])]
        choice = body["choices"][0]
        is_whole = ending_of(str(choice.get("finish_reason") or "")) == "whole"
        text = str(choice["message"]["content"]) if is_whole else ""
        about, told = body.get("rsql") or {}, body.get("usage") or {}
        asked, answered = (int(told.get(name) or 0) for name in ("prompt_tokens", "completion_tokens"))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return  # a line that failed: its rows are asked about without a job
    model, request = str(body.get("model") or ""), str(about.get("request_id") or "")
    cost = about.get("cost_usd")
    asker.accept(batch, text, Usage(asked, answered, 1, cost_usd=cost, model=model, request_id=request))
