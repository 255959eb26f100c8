"""A panel without a browser: views that note what they are told, and a main thread that is free when a test says so."""

from __future__ import annotations

import contextlib
import queue
import threading
import time

from ipykernel.jsonutil import json_clean
from jupyter_client.session import json_packer
from waiting import SECONDS, eventually


class Views:
    """What views would be told; in place of the widget, and as strict as a kernel's comm about what can be sent."""

    model_id = "views"

    def __init__(self):
        self.told = []

    def send(self, content):
        json_packer(json_clean(content))
        self.told.append(content)

    def close(self):
        pass


class Talk:
    """A panel over the fake gateway, and a view of it."""

    def __init__(self, ip, assistant, panel=None):
        from rsql_magic.notebook import loaded

        self.panel = loaded(ip).panel() if panel is None else panel
        self.panel._widget = self.views = Views()
        self.thread = self.panel.threads.current

    def do(self, what, **arguments):
        return self.panel.answer({"do": what, "n": 1, **arguments})

    def ask(self, text, **more):
        """Ask and wait for the end; the exchange as a view knows it."""
        told = self.do("ask", thread=more.pop("thread", self.thread), text=text, **more)
        if "exchange" not in told:
            return told
        return self.ended(told["exchange"]["id"])

    def reply(self, what, **arguments):
        """What a view is told that sends a request, whichever thread replies."""
        begun = len(self.views.told)
        self.panel.receive({"do": what, "n": "reply", **arguments})
        return eventually(
            lambda: next((told for told in self.views.told[begun:] if told.get("n") == "reply"), None),
            lambda: f"no reply to {what}",
        )

    def ended(self, number):
        ends = eventually(
            lambda: [
                told["exchange"]
                for told in list(self.views.told)
                if told.get("push") == "exchange" and told["id"] == number and told["exchange"]["state"] != "running"
            ]
        )
        return ends[-1]

    def exchanges(self, thread=""):
        return self.do("hello", thread=thread or self.thread)["exchanges"]


class Loop:
    """An event loop that runs what it is given when it is told to."""

    def __init__(self):
        self.work = queue.SimpleQueue()
        self.there = threading.Event()

    def add_callback(self, work, *args):
        self.work.put((work, args))
        self.there.set()

    def run(self):
        while not self.work.empty():
            work, args = self.work.get()
            work(*args)

    def run_until(self, done):
        """Run what comes, as the main thread between two cells, until something is true."""
        deadline = time.monotonic() + SECONDS
        while not done():
            assert time.monotonic() < deadline
            with contextlib.suppress(queue.Empty):
                work, args = self.work.get(timeout=0.01)
                work(*args)


def in_thread(work):
    done = []

    def run():
        try:
            done.append(work())
        except BaseException as error:
            done.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, done
