"""What a question of the panel would send: mentions with what they add, and previews, which are sent as seen."""

from __future__ import annotations

import pytest

from rsql_magic.errors import GatewayUnreachable

pytestmark = pytest.mark.usefixtures("without_r")


def test_mentions_are_described_and_counted(talk, gateway, ip):
    ip.run("import pandas as pd\nflights = pd.DataFrame({'origin': ['JFK'], 'n': [1]})")
    ip.run("total = 41 + 1")
    text = "Look at @flights and @cell:2"
    told = talk.do("chips", thread=talk.thread, text=text)
    assert [(chip["text"], chip["kind"], bool(chip["missing"])) for chip in told["chips"]] == [
        ("@flights", "frame", False),
        ("@cell:2", "cell", False),
    ]
    assert all(chip["tokens"] > 5 for chip in told["chips"])
    assert "total = 41 + 1" in told["chips"][1]["shown"]
    preview = talk.do("preview", thread=talk.thread, text=text)
    assert preview["tokens"] == told["tokens"]
    gateway.replies = ["ok"]
    talk.ask(text)
    assert gateway.requests[-1]["messages"] == preview["messages"]
    assert "Look at flights and In[2]" in gateway.sent


def body(gateway):
    """What the gateway was sent last, without headers."""
    return {name: value for name, value in gateway.requests[-1].items() if name != "headers"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    ["Which origin is busiest in @flights?", "/sql flights per origin", "/explain @cell:1", "/fix", "Is {{top}} it?"],
)
def test_what_a_preview_shows_is_what_is_sent(talk, gateway, ip, text):
    ip.run("import pandas as pd\nflights = pd.DataFrame({'origin': ['JFK'] * 9, 'n': range(9)})\ntop = 'JFK'")
    with pytest.raises(ZeroDivisionError):
        ip.run("1 / 0")
    gateway.replies = ["Earlier words.", "```sql\nSELECT origin FROM flights\n```"]
    talk.ask("Earlier?")
    shown = talk.do("preview", thread=talk.thread, text=text, model="qwen")
    talk.ask(text, model="qwen", seen=shown["seen"])
    assert body(gateway) == {
        "messages": shown["messages"],
        "model": shown["model"],
        "temperature": 0,
        "seed": 1,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert "Earlier?" in str(shown["messages"])


def test_what_was_looked_at_is_sent_as_it_is_or_not_at_all(talk, gateway, ip):
    ip.run("import pandas as pd\nflights = pd.DataFrame({'origin': ['JFK'] * 9})")
    question = "What is in @flights?"
    shown = talk.do("preview", thread=talk.thread, text=question)
    # Data that changes by itself, as from a thread: what was seen goes out.
    ip.user_ns["flights"]["secret_salary"] = range(9)
    gateway.replies = ["Origins.", "Origins and salaries."]
    talk.ask(question, seen=shown["seen"])
    assert body(gateway)["messages"] == shown["messages"]
    # A cell that ran: it is shown anew, and nothing was sent.
    shown = talk.do("preview", thread=talk.thread, text=question)
    ip.run("flights['bonus'] = 1.5")
    told = talk.do("ask", thread=talk.thread, text=question, seen=shown["seen"])
    assert told["error"]["kind"] == "Outdated"
    assert (len(gateway.requests), len(talk.exchanges())) == (1, 1)
    again = talk.do("preview", thread=talk.thread, text=question)
    assert "bonus" in again["messages"][-1]["content"]
    talk.ask(question, seen=again["seen"])
    assert body(gateway)["messages"] == again["messages"]


def test_a_preview_is_of_one_message_to_one_model(talk, gateway):
    shown = talk.do("preview", thread=talk.thread, text="one thing")
    gateway.replies = ["Said."]
    talk.ask("another thing", seen=shown["seen"])
    assert "another thing" in gateway.sent


def test_a_preview_of_an_edited_question_leaves_out_what_it_replaces(talk, gateway):
    gateway.replies = ["First.", "Second."]
    first = talk.ask("one ocelot")
    shown = talk.do("preview", thread=talk.thread, text="two lynxes", replaces=first["id"])
    assert "ocelot" not in str(shown["messages"])
    assert "ocelot" in str(talk.do("preview", thread=talk.thread, text="two lynxes")["messages"])
    talk.ask("two lynxes", replaces=first["id"], seen=shown["seen"])
    assert body(gateway)["messages"] == shown["messages"]
    gone = talk.do("ask", thread=talk.thread, text="three", replaces=first["id"])
    assert gone["error"]["message"] == "This answer is gone."


def test_a_preview_heeds_the_policy_of_the_gateway_before_anything_was_sent(talk, gateway, ip):
    ip.run("import pandas as pd\nflights = pd.DataFrame({'origin': ['JFK'] * 9, 'delay': range(9)})")
    question = "How late is @flights?"
    unsure = talk.do("preview", thread=talk.thread, text=question)
    assert "0..8" in unsure["messages"][-1]["content"].replace(" ", "")
    talk.panel.assistant.locator._policy_known = False
    gateway.paths["stats"] = {"privacy_floor": "names"}
    shown = talk.do("preview", thread=talk.thread, text=question)
    assert "0..8" not in shown["messages"][-1]["content"].replace(" ", "")
    (chip,) = talk.do("chips", thread=talk.thread, text=question)["chips"]
    assert chip["shown"] in shown["messages"][-1]["content"]


def test_a_preview_while_nobody_answers_says_what_is_not_known(talk, gateway):
    talk.panel.assistant.locator._policy_known = False

    def down(path, **_):
        raise GatewayUnreachable("No gateway answers.")

    talk.panel.assistant.locator.gateway.get = down
    shown = talk.do("preview", thread=talk.thread, text="Anything?")
    assert shown["notes"] == ["No gateway answers. Its policy may let less leave."]
    assert shown["seen"] == ""


@pytest.mark.slow
def test_a_preview_changes_nothing(talk, ip, assistant):
    ip.run("import duckdb\na = duckdb.connect(':memory:')\nb = duckdb.connect(':memory:')")
    ip.run("_ = a.execute('CREATE TABLE t AS SELECT 1 AS n')\n_ = b.execute('CREATE TABLE u AS SELECT 1 AS n')")
    assistant.connections.engine("a", ip.user_ns)
    assert (
        "CREATE TABLE u" in talk.do("preview", thread=talk.thread, text="/sql b how many?")["messages"][-1]["content"]
    )
    assert assistant.connections.last == "a"
    assert talk.exchanges() == []


def test_a_mention_of_what_is_gone_is_told_before_and_after_sending(talk, ip):
    ip.run("import pandas as pd\nflights = pd.DataFrame({'n': [1]})")
    (chip,) = talk.do("chips", thread=talk.thread, text="see @flight ")["chips"]
    assert "Did you mean @flights?" in chip["missing"]
    told = talk.ask("see @flight")
    assert "@flight names nothing here" in told["error"]["message"]
