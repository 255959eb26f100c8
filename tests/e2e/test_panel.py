"""The chat panel in a real browser: a JupyterLab, a gateway, Chromium."""

from __future__ import annotations

import pytest
from e2e import panel_lab
from e2e.conftest import wait_until

SETUP = """\
%load_ext rsql_magic
import pandas as pd
flights = pd.DataFrame({"origin": ["JFK", "LGA", "EWR"], "n": [3, 2, 1]})
"""
PANEL = "import rsql_magic\nrsql_magic.ChatPanel()"
RICH = """\
# Mean
Use **mean**, as in $\\bar{x} = \\frac{1}{n}\\sum x_i$:

```python
x = [1, 2]
print(sum(x) / len(x))
```

| a | b |
|---|--:|
| x | 1 |
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="module")
def provider():
    with panel_lab.provider() as provider:
        provider.answers |= {"mean": (RICH, 0.0), "slowly": ("word " * 2000, 0.02)}
        yield provider


@pytest.fixture(scope="module")
def gateway(folder, provider):
    with panel_lab.gateway(folder, provider.url) as (url, _):
        yield url


@pytest.fixture(scope="module")
def lab(folder, gateway):
    with panel_lab.jupyterlab(folder, gateway) as url:
        yield url


@pytest.fixture(scope="module")
def browser():
    with panel_lab.chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def chat(browser, lab, folder):
    """A notebook with a panel, shared by the tests that leave it usable."""
    page = panel_lab.Page(browser, lab, folder, "chat", [SETUP, PANEL])
    yield page
    page.close()


def test_an_answer_streams_as_markdown(chat):
    turn = chat.ask("What is the mean?")
    assert turn.locator("h1").inner_text() == "Mean"
    assert turn.locator("pre code").inner_text() == "x = [1, 2]\nprint(sum(x) / len(x))"
    assert turn.locator("td").last.inner_text() == "1"
    turn.locator("math mfrac").wait_for(timeout=5_000, state="attached")
    assert "talker" in turn.locator(".rsql-bar").inner_text()
    assert chat.errors == []


def test_stop_ends_the_answer_and_the_request_at_the_provider(chat, provider):
    turn = chat.ask("Answer slowly, please", wait=False)
    turn.locator(".rsql-said p").filter(has_text="word word").wait_for()
    chat.panel.get_by_label("Stop", exact=True).click()
    wait_until(lambda: provider.hung_up, 5)
    turn.filter(has_text="Stopped; what had arrived is kept.").wait_for()
    assert "word word" in turn.locator(".rsql-said").inner_text()
