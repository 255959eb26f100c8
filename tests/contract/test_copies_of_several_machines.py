"""Machines that write the same conversations at any time, with a gateway that is away at times: nothing is lost."""

from __future__ import annotations

import random
import threading

import pytest
from several_machines import copy, keep

from rsql_magic.errors import GatewayError
from rsql_magic.panel.kept.records import read

pytestmark = pytest.mark.usefixtures("programs")


class World:
    """Three machines of one person, one with two kernels, and what should be known when all is copied everywhere."""

    homes = ("lab", "lab, another kernel", "home", "laptop")

    def __init__(self, machine, dice, monkeypatch):
        self.machine, self.dice, self.monkeypatch = machine, dice, monkeypatch
        self.at = {}  # sessions by home
        self.answers = {}  # by id of a pair: all that it ever had
        self.replaced = set()  # ids and answers in whose place somebody who saw them put another
        self.gone = set()  # ids and answers that were taken out
        self.others = []  # conversations besides that of the cells
        self.said = 0
        for home in self.homes:
            self.come(home)

    # What people do.

    def come(self, home):
        if home not in self.at:
            self.at[home] = self.machine("ada", home.partition(",")[0])
            self.at[home].do("hello")

    def thread(self, home, there=None):
        """One of the conversations that a machine knows."""
        talk = self.at[home]
        known = [thread.id for thread in talk.panel.threads if thread.id in self.others]
        name = self.dice.choice([talk.thread, *known])
        talk.do("hello", thread=name)
        return talk.panel.threads.find(name)

    def begin(self, home):
        if len(self.others) < 2:
            thread = self.at[home].do("new")["thread"]
            self.others.append(thread)
            self._say(home, thread)

    def say(self, home):
        self._say(home, self.thread(home).id)

    def _say(self, home, thread):
        self.said += 1
        _, pair = keep(self.at[home], thread, question=f"Question {self.said}")
        pair.at = float(self.said)
        self.write(home, thread, pair, f"first {self.said}")

    def write(self, home, thread, pair, answer):
        self.replaced.add((pair.id, pair.answer))
        pair.answer = answer
        self.at[home].panel.threads.keeper.changed(self.at[home].panel.threads.find(thread), pair)
        self.answers.setdefault(pair.id, set()).add(answer)

    def again(self, home):
        """Ask a question again: by the same pair, with another answer."""
        thread = self.thread(home)
        if thread.pairs:
            self.said += 1
            self.write(home, thread.id, self.dice.choice(thread.pairs), f"again {self.said}")

    def cut(self, home):
        thread = self.thread(home)
        if len(thread.pairs) > 2:
            start = thread.pairs[-1]
            self.at[home].panel.threads.cut(thread, start)
            self.gone.add((start.id, start.answer))

    def rename(self, home):
        thread = self.thread(home)
        if not thread.shared:
            self.said += 1
            self.at[home].do("rename", thread=thread.id, title=f"Name {self.said}")

    # What happens.

    def copy(self, home):
        copy(self.at[home])

    def copy_at_once(self, home):
        """Copy on all machines at the same time."""
        begun = [threading.Thread(target=self.copy, args=(each,)) for each in self.at]
        [thread.start() for thread in begun]
        [thread.join() for thread in begun]

    def leave(self, home):
        if len(self.at) > 1:
            self.at.pop(home).panel.threads.close()

    def kill(self, home):
        """End a session when all is written here, and nothing more is copied."""
        if len(self.at) > 1:
            threads = self.at.pop(home).panel.threads
            threads.keeper.flush()
            threads.copies._beside.drop_all()
            threads.close()

    def away(self, home):
        """Copy while the gateway is away, and end."""
        if len(self.at) > 1:

            def refuse(*_, **__):
                raise GatewayError("The gateway is away.")

            gateway = self.at[home].panel.assistant.locator.gateway
            for name in ("get", "put", "post"):
                self.monkeypatch.setattr(gateway, name, refuse)
            self.leave(home)

    def step(self):
        home = self.dice.choice(self.homes)
        if home not in self.at:
            self.come(home)
            return
        ways = [self.say, self.say, self.again, self.cut, self.rename, self.begin]
        self.dice.choice([*ways, self.copy, self.copy, self.copy_at_once, self.leave, self.kill, self.away])(home)

    # What should be so in the end.

    def settle(self):
        for _ in range(3):
            for home in self.homes:
                self.come(home)
                self.copy(home)
                self.at.pop(home).panel.threads.close()

    def held(self, home):
        """By conversation: its title, and the answers by id."""
        talk = self.machine("ada", home.partition(",")[0])
        talk.do("hello")
        store, cells = talk.panel.threads.keeper.store, talk.panel.threads.keeper.id_of(talk.panel.threads.of_cells)
        told = {}
        for head in store.heads():
            answers = {name: read(body).answer for name, body in store.bodies(head.id)}
            told["cells" if head.id == cells else head.id] = ("" if head.shared else head.title, answers)
        talk.panel.threads.close()
        return told


@pytest.mark.parametrize("seed", [*range(6), *(pytest.param(n, marks=pytest.mark.sweep) for n in range(6, 40))])
def test_what_machines_write_in_any_order_is_everywhere_in_the_end(machine, monkeypatch, seed):
    world = World(machine, random.Random(seed), monkeypatch)
    for _ in range(40):
        world.step()
    world.settle()
    first, *others = [world.held(home) for home in world.homes]
    assert [other == first for other in others] == [True] * len(others)
    last = {(name, answer) for _, pairs in first.values() for name, answer in pairs.items()}
    assert not last & (world.replaced | world.gone)
    lost = set(world.answers) - {name for name, _ in last}
    assert lost <= {name for name, _ in world.gone}
