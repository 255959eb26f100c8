"""Replies of the offline model in place of those that a test writes down."""

from __future__ import annotations

import json

from jupyter_server_ext.offline import answer
from jupyter_server_ext.offline.request import read

DOUBTS = ("I am rsql's offline model", "As the offline model", "did not understand", "I was told of nothing")


class Offline(list):
    """The replies of a gateway whose model is the offline one."""

    def __init__(self, gateway):
        super().__init__(["of the offline model"])
        self._gateway = gateway

    def pop(self, _):
        return answer(read(json.loads(json.dumps(self._gateway.requests[-1]["rsql"]))))


def is_answered(question, told):
    """Whether an exchange of the panel has an answer, and not that the model cannot tell."""
    doubted = any(doubt in told["answer"] for doubt in DOUBTS) and question != "What can I ask here?"
    return told["state"] == "done" and not doubted and bool(told["answer"] or told["result"])
