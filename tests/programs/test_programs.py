"""`make programs`: each program of docs/programs.md, in an environment of its own, with the hub token of a server."""

from __future__ import annotations

import re
import tarfile

import pytest
from hub.real_hub import ROOT

pytestmark = [pytest.mark.programs, pytest.mark.timeout(0)]

PAGE = (ROOT / "docs" / "programs.md").read_text(encoding="utf-8")
SECTIONS = {
    part.split("\n", 1)[0]: re.findall(r"^```(\w+)\n(.*?)^```", part, re.M | re.S) for part in PAGE.split("\n## ")[1:]
}
FIND = next(code for language, code in re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.M | re.S) if language == "sh")
"""How the page finds address and token."""

TRIED = {
    "openai": ["openai==3.52.0"],
    "LangChain": ["langchain-openai==1.7.3"],
    "chatlas": ["chatlas==0.23.0", "openai==3.52.0"],
    "LiteLLM": ["litellm==1.106.2"],  # not 1.82.7, 1.82.8 or 1.107.0, which were tampered with
    "jupyter-ai's magics": ["jupyter-ai-magics==2.31.7", "langchain-openai==0.3.35", "ipykernel"],
    "llm": ["llm==0.36"],
}
"""Requirements by the page's heading."""

OPENAI_TESTS = [
    *("openai[aiohttp]==3.52.0", "pytest==9.1.1", "pytest-asyncio==1.4.0", "pytest-xdist", "rich", "inline-snapshot"),
    "trio",
]
THEIR_TOKEN = '\napi_key = "My API Key"'

MORE = {
    "openai": """
import os, openai
url, token = os.environ["RSQL_GATEWAY_URL"] + "v1", os.environ["RSQL_GATEWAY_TOKEN"]
client = openai.OpenAI(base_url=url, api_key=token)
print(sorted(model.id for model in client.models.list()))
print(client.embeddings.create(model="text-embedding-3-small", input="x").data[0].embedding)
""",
    "LangChain": """
import os, pydantic
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
url, token = os.environ["RSQL_GATEWAY_URL"] + "v1", os.environ["RSQL_GATEWAY_TOKEN"]
class City(pydantic.BaseModel):
    city: str
    population: int
def weather(city: str) -> str:
    "The weather of a city."
model = ChatOpenAI(base_url=url, api_key=token, model="default")
print(model.bind_tools([weather]).invoke("Weather?").tool_calls[0]["args"])
print(model.with_structured_output(City).invoke("Oslo?").population)
print(ChatOpenAI(base_url=url, api_key=token, model="default", use_responses_api=True).invoke("Hi").text)
embeddings = OpenAIEmbeddings(
    base_url=url, api_key=token, model="text-embedding-3-small", check_embedding_ctx_length=False
)
print(embeddings.embed_query("abc"))
""",
    "chatlas": """
import os
from chatlas import ChatOpenAI, ChatOpenAICompletions
url, token = os.environ["RSQL_GATEWAY_URL"] + "v1", os.environ["RSQL_GATEWAY_TOKEN"]
def weather(city: str) -> str:
    "The weather of a city."
    return "sunny in " + city
for kind in (ChatOpenAICompletions, ChatOpenAI):
    chat = kind(base_url=url, api_key=token, model="default")
    chat.register_tool(weather)
    print(chat.chat("Weather?", echo="none"))
    print("".join(chat.stream("And now?", echo="none")))
""",
    "LiteLLM": """
import os, litellm
options = dict(api_base=os.environ["RSQL_GATEWAY_URL"] + "v1", api_key=os.environ["RSQL_GATEWAY_TOKEN"])
question = [{"role": "user", "content": "Hi"}]
for chunk in litellm.completion(model="openai/default", messages=question, stream=True, **options):
    print(chunk.choices[0].delta.content or "", end="")
print()
print(litellm.embedding(model="openai/text-embedding-3-small", input=["abc"], **options).data[0]["embedding"])
""",
}
"""What else the page says of a program."""

EXPECTED = {
    "openai": ["'chatty'", "[1.0, 0.5]"],
    "LangChain": ["{'city': 'Oslo'}", "700000", "2 messages| came.", "[3.0, 0.5]"],
    "chatlas": ["sunny in Oslo"],
    "LiteLLM": ["2 messages came.", "[3.0, 0.5]"],
}


def section(name):
    return [(language, code) for language, code in SECTIONS[name] if language in {"python", "sh"}]


@pytest.mark.parametrize("name", TRIED)
def test_the_pages_example_with_a_hub_token(name, environment_of, run, upstream):
    commands = environment_of(re.sub(r"\W+", "-", name.lower()), TRIED[name])
    language, code = section(name)[0]
    asked = len(upstream.seen)
    if language == "sh":
        out = run(["sh", "-ec", FIND + code], commands)
    elif "get_ipython" in code:
        out = run(["sh", "-ec", f'{FIND}exec ipython -c "$0"', code], commands)
    else:
        out = run(["sh", "-ec", f'{FIND}exec python -c "$0"', code], commands)

    assert re.search(r"2 messages\|? came\.", out)  # the question, and the prompt of ada's group
    assert len(upstream.seen) > asked
    assert not [body for _, body in upstream.seen if "api_key" in body]


@pytest.mark.parametrize("name", MORE)
def test_what_else_the_page_promises(name, environment_of, run):
    commands = environment_of(re.sub(r"\W+", "-", name.lower()), TRIED[name])
    out = run(["sh", "-ec", f'{FIND}exec python -W ignore -c "$0"', MORE[name]], commands)
    assert not [text for text in EXPECTED[name] if text not in out], out


def test_r_with_a_hub_token(run):
    (code,) = [code for language, code in SECTIONS["R"] if language == "r"]
    assert run(["sh", "-ec", f'{FIND}exec Rscript --vanilla -e "$0"', code]) == "2 messages| came. \n"


def test_what_was_used_is_adas(hub):
    told = hub.ask("stats", hub.token("ada")).json()
    assert (told["caller"], told["tenant"]) == ("ada", "stats101")
    assert told["limits"]["day"]["current"] >= 10


def test_the_page_names_the_versions_that_are_tried():
    pinned = [one for requirements in TRIED.values() for one in requirements if "==" in one]
    missing = [one for one in pinned if "{} {}".format(*one.split("==")) not in PAGE]
    assert not missing


CASES = [
    *("tests/api_resources/chat/test_completions.py", "tests/api_resources/test_embeddings.py"),
    "tests/api_resources/test_models.py",
]
OURS = "test_completions and create or test_embeddings or test_models and not method_delete and not response_delete"
"""Nothing is stored here and nobody deletes a model, so there is nothing for the other cases to talk to."""


def test_the_openai_packages_own_test_cases(environment_of, run, tmp_path):
    """From its source release, as they stand but for the token, which is the hub's."""
    commands = environment_of("openai-tests", OPENAI_TESTS)
    download = ["pip", "download", "-q", "--no-deps", "--no-binary=openai", OPENAI_TESTS[0].replace("[aiohttp]", "")]
    run([*download, "-d", str(tmp_path)], commands)
    (archive,) = tmp_path.glob("openai-*.tar.gz")
    with tarfile.open(archive) as files:
        files.extractall(tmp_path, filter="data")
    source = tmp_path / archive.name.removesuffix(".tar.gz")
    conftest = source / "tests" / "conftest.py"
    text = conftest.read_text()
    assert text.count(THEIR_TOKEN) == 1
    conftest.write_text(text.replace(THEIR_TOKEN, 'api_key = os.environ["RSQL_GATEWAY_TOKEN"]'))

    pytest_of_theirs = f'exec python -m pytest -q -n 2 -p no:cacheprovider {" ".join(CASES)} -k "{OURS}"'
    out = run(
        ["sh", "-ec", f"{FIND}export TEST_API_BASE_URL=${{RSQL_GATEWAY_URL}}v1; cd {source}; {pytest_of_theirs}"],
        commands,
    )
    print(out.splitlines()[-1])
    assert int(re.search(r"(\d+) passed", out)[1]) >= 90
    assert "failed" not in out
