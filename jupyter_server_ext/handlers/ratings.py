"""Ratings of answers: ``POST feedback``."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jupyter_server_ext.errors import BadRequest
from jupyter_server_ext.handlers.base import GatewayHandler
from jupyter_server_ext.handlers.requests import json_object, optional_text, required_text
from jupyter_server_ext.identity import needs_scope
from jupyter_server_ext.messages import is_name, without_controls

if TYPE_CHECKING:
    from collections.abc import Mapping

_WORDS = {"up": 5, "down": 1}
_LONGEST_COMMENT = 4_000  # characters


@dataclass(frozen=True, slots=True)
class Rating:
    """One person's word on one answer: ``rating`` from 1 to 5, ``at`` in Unix time."""

    request_id: str
    caller: str
    rating: int
    comment: str
    at: float


class Ratings:
    """The latest ratings, in memory; ``metrics`` counts them all."""

    def __init__(self, most: int = 1_000) -> None:
        self._latest: deque[Rating] = deque(maxlen=most)

    def add(self, rating: Rating) -> None:
        """Keep it, and let the oldest go when there are too many."""
        self._latest.append(rating)

    def forget(self, caller: str) -> None:
        """Drop a caller's ratings."""
        self._latest = deque((one for one in self._latest if one.caller != caller), maxlen=self._latest.maxlen)

    def latest(self) -> list[Rating]:
        """The latest first."""
        return list(reversed(self._latest))


class Feedback(GatewayHandler):
    """``POST feedback``."""

    @needs_scope("chat")
    async def post(self) -> None:
        """Rate an answer, by its request id: ``up``, ``down``, or 1 to 5; with a comment if you like."""
        body = json_object(self.body)
        rating = Rating(
            request_id=required_text(body, "request_id")[:128],
            caller=self.asker.name,
            rating=_rating(body),
            comment=without_controls(optional_text(body, "comment"))[:_LONGEST_COMMENT],
            at=time.time(),
        )
        # Only one's own answers: an id is in no list, but may be seen on a screen.
        if not is_name(rating.request_id) or not await self.app.accounting.knows(rating.request_id, self.asker):
            raise BadRequest(
                "There is no request of yours with this id. It is in the header x-request-id of an answer.",
                param="request_id",
                code="unknown_request",
                status=404,
            )
        self.app.ratings.add(rating)
        self.app.metrics.rated(rating.rating)
        self.reply({"status": "thanks", "request_id": rating.request_id, "rating": rating.rating})


def _rating(body: Mapping[str, Any]) -> int:
    value = body.get("rating")
    number = _WORDS.get(value) if isinstance(value, str) else value
    if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= 5:
        raise BadRequest('\'rating\' must be "up", "down", or a number from 1 to 5.', param="rating")
    return number
