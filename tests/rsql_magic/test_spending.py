"""A budget over several runs: it is never passed, whatever is asked at the same time, and what is not known is said."""

from __future__ import annotations

import json
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from rsql_magic.assistant import Assistant
from rsql_magic.errors import BadInput, BudgetSpent, GatewayError, LimitReached
from rsql_magic.gateway import CostFile, Done, LLMClient, Text
from rsql_magic.gateway.spending import SpendingClient

ASK = [{"role": "user", "content": "How many?"}]
PRICES = (1e-6, 1e-5)


class Model:
    """A model whose answers are as long as they may be at most, and sometimes shorter."""

    offline_models = frozenset()

    def __init__(self, seed=0, **rsql):
        self.random, self.rsql, self.asked, self.lock = random.Random(seed), rsql, [], threading.Lock()

    def stream(self, messages, **options):
        with self.lock:
            self.asked.append(options)
            tokens = min(options.get("max_tokens") or 4096, self.random.choice([10, 3000, 9000]))
            pause = self.random.random() * 0.004
        time.sleep(pause)
        yield Text("x")
        cut = tokens == options.get("max_tokens")
        rsql = self.rsql or {"cost_usd": len(ASK[0]["content"]) * PRICES[0] + tokens * PRICES[1], "price": "known"}
        yield Done(rsql=rsql, finish_reason="length" if cut else "stop")


def asking(model, file, run="a", prices=PRICES, **fields):
    return SpendingClient(model, file, run, lambda _: prices, pause=lambda _: time.sleep(0.001), **fields)


@pytest.fixture
def costs(tmp_path):
    return lambda budget=None: CostFile.begun(tmp_path / "costs.jsonl", budget)


@pytest.mark.parametrize("seed", range(8))
def test_many_questions_at_once_never_pass_the_budget(costs, seed):
    budget = random.Random(seed).choice([0.004, 0.05, 0.2, 0.7])
    model, file = Model(seed), costs(budget)

    def run(number):
        client = asking(model, file, f"run-{number}")
        for _ in range(20):
            try:
                list(client.stream(ASK))
            except BudgetSpent:
                return "spent"
        return "done"

    with ThreadPoolExecutor(6) as pool:
        ended = list(pool.map(run, range(6)))
    total = file.costs()
    assert total.spent <= budget
    assert total.held < 1e-9
    assert "spent" in ended
    # What is left does not reach for the shortest answer that is worth asking for, or an answer was cut for it.
    assert budget - total.spent < 4096 * PRICES[1] + 1e-4
    assert sum(file.costs(f"run-{number}").spent for number in range(6)) == pytest.approx(total.spent)


def test_an_answer_that_was_cut_for_the_budget_is_none(costs):
    model, file = Model(), costs(0.01)
    model.random.choice = max
    with pytest.raises(BudgetSpent, match=r"The budget of \$0.01 does not reach for another answer"):
        list(asking(model, file).stream(ASK))
    assert 512 < model.asked[0]["max_tokens"] < 1000
    assert file.costs().spent <= 0.01
    with pytest.raises(BudgetSpent):
        list(asking(model, file).stream(ASK))
    assert len(model.asked) == 1


def test_a_question_waits_for_what_others_hold(costs):
    file, told = costs(0.1), []
    held = file.hold("other", 0.09)
    client = asking(Model(), file, tell=told.append)
    client.pause = lambda _: file.settle(held, "other", 0.001) if file.costs().held else None
    assert isinstance(list(client.stream(ASK))[-1], Done)
    assert told == ["waiting for answers in other notebooks: the rest of the budget is held for them"]


def test_what_a_run_that_died_held_counts_as_spent(costs):
    file = costs(0.1)
    file.hold("dead", 0.06)
    file.settle(file.hold("dead", 0.02), "dead", 0.01)
    file.close("dead")
    assert (file.costs().held, file.costs("dead").spent) == (0, pytest.approx(0.07))
    file.close("dead")
    assert file.costs().spent == pytest.approx(0.07)


def test_without_a_price_a_budget_cannot_be_kept_and_nothing_is_asked(costs):
    model = Model()
    with pytest.raises(BadInput, match="The price of llama is not known"):
        list(asking(model, costs(1.0), prices=None).stream(ASK, model="llama"))
    assert model.asked == []


@pytest.mark.parametrize(
    ("rsql", "said"),
    [
        ({"cost_usd": 0.5, "price": "known"}, "$0.50"),
        ({"cost_usd": None, "price": "free"}, "$0.00"),
        ({"cost_usd": None, "price": "assumed"}, "$0.00 and 1 answers of unknown price"),
        ({"request_id": "of another endpoint"}, "$0.00 and 1 answers of unknown price"),
    ],
)
def test_what_is_not_known_is_no_zero(costs, rsql, said):
    file = costs()
    list(asking(Model(**rsql), file, prices=None).stream(ASK))
    assert str(file.costs()) == said


def test_what_was_refused_cost_nothing_and_what_broke_off_may_have(costs):
    file = costs(1.0)

    class Failing(Model):
        def __init__(self, error):
            super().__init__()
            self.error = error

        def stream(self, messages, **options):
            raise self.error
            yield

    for error, spent in ((LimitReached("A limit.", status=429), 0.0), (GatewayError("Broken.", status=502), 0.04)):
        with pytest.raises(GatewayError):
            list(asking(Failing(error), file).stream(ASK))
        file.close("a")
        assert file.costs().spent == pytest.approx(spent, abs=0.002)


class Breaking(Model):
    """A model whose answers break off, or are left by who asked."""

    def stream(self, messages, **options):
        self.asked.append(options)
        yield Text("x")
        raise GatewayError("Broken.", status=502)


@pytest.mark.parametrize("ends", ["broken", "left"])
def test_what_a_question_that_broke_off_may_have_cost_is_not_waited_for(costs, ends):
    """What is held is for questions that are open: nobody would ever give back that of one that has ended."""
    model, file = Breaking(), costs(0.05)
    client = asking(model, file)
    client.pause = lambda _: pytest.fail("It waits for itself.")
    events = client.stream(ASK)
    if ends == "left":
        next(events)
        events.close()
    else:
        with pytest.raises(GatewayError):
            list(events)
    costs_now = file.costs()
    assert (costs_now.held, costs_now.spent) == (0, pytest.approx(0.041, abs=0.001))  # 4,096 tokens
    assert file.costs("a").spent <= 0.05
    with pytest.raises(GatewayError):
        list(client.stream(ASK))  # with fewer tokens
    with pytest.raises(BudgetSpent):
        list(client.stream(ASK))
    assert [each["max_tokens"] for each in model.asked] == [4096, pytest.approx(900, abs=50)]


def test_prices_are_the_gateways_and_without_a_model_those_of_the_dearest():
    told = {"a": ("0.000001", "0.000002"), "b": ("0.000003", "0.000001")}
    listed = [
        {"id": name, "pricing": dict(zip(("prompt", "completion"), each, strict=True))} for name, each in told.items()
    ]

    def client(models):
        transport = httpx.MockTransport(lambda _: httpx.Response(200, json={"data": models}))
        return LLMClient("http://gateway.invalid/rsql/", "t", transport=transport)

    assert client(listed).prices("a") == (1e-6, 2e-6)
    assert client(listed).prices(None) == (3e-6, 2e-6)
    for unknown in ([], [*listed, {"id": "c"}], [*listed, {"id": "c", "pricing": None}]):
        assert client(unknown).prices(None) is None
    assert client(listed).prices("c") is None


def test_a_half_written_line_is_not_read(costs):
    file = costs(1.0)
    file.settle("x", "a", 0.25)
    with file.path.open("a") as out:
        out.write('{"run": "a", "id": "y", "co')
    assert file.costs().spent == 0.25
    file.settle("z", "a", 0.5)
    assert file.costs().spent == 0.75


class Embedding:
    """A gateway that embeds, for half a token a byte."""

    def __init__(self, **pricing):
        self.pricing, self.asked = pricing, 0

    def __call__(self, request):
        if request.url.path.endswith("v1/models"):
            return httpx.Response(200, json={"data": [{"id": "small", **self.pricing}]})
        texts = json.loads(request.content)["input"]
        self.asked += 1
        cost = sum(map(len, texts)) / 2 * 2e-6
        told = {"cost_usd": cost, "price": "known"} if self.pricing else {"cost_usd": None, "price": "assumed"}
        return httpx.Response(200, json={"data": [{"embedding": [1.0]} for _ in texts], "rsql": told})


KNOWN = {"pricing": {"prompt": "0.000002", "completion": "0"}}


def embedding(provider, file, *, batch=True):
    client = LLMClient("http://gateway/rsql/", transport=httpx.MockTransport(provider))
    environ = {"RSQL_COSTS": str(file.path), "RSQL_COSTS_RUN": "a"}
    locator = Assistant(client=client, environ=environ, batch=batch).locator
    return lambda model, texts: locator.embed(model, texts).vectors


def test_vectors_count_and_keep_to_the_budget(costs):
    provider, file = Embedding(**KNOWN), costs(0.01)
    embed = embedding(provider, file)
    assert embed("small", ["x" * 1000, "y" * 1000]) == [[1.0], [1.0]]
    assert file.costs("a").spent == pytest.approx(0.002)
    while file.costs().spent < 0.01 - 1016 * 2e-6:
        embed("small", ["x" * 1000])
    with pytest.raises(BudgetSpent, match="does not reach"):
        embed("small", ["x" * 1000])
    assert 5 < provider.asked < 10
    assert 0.007 < file.costs().spent <= 0.01
    assert file.costs().held == 0


def test_vectors_of_unknown_price_are_counted_or_refused(costs):
    free = costs()
    embedding(Embedding(), free)("small", ["x"])
    assert str(free.costs()) == "$0.00 and 1 answers of unknown price"
    provider = Embedding()
    with pytest.raises(BadInput, match="The price of small is not known"):
        embedding(provider, costs(1.0))("small", ["x"])
    assert provider.asked == 0
