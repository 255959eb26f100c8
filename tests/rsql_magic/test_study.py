"""Study cells: material of a checked form, its code run first, shown to read, flip, choose and score."""

from __future__ import annotations

import json
import re

import jsonschema
import pandas as pd
import pytest

from rsql_magic.answers.study.proving import disproved
from rsql_magic.answers.study.schedule import StudyProgress
from rsql_magic.answers.study.sheet import (
    FORMS,
    Card,
    Choice,
    Code,
    Exercise,
    Point,
    Sheet,
    Unusable,
    as_markdown,
    read_sheet,
    schema,
)
from rsql_magic.answers.study.widgets import Cards, Quiz, widget_of
from rsql_magic.errors import BadInput, RsqlError


def quiz(*items):
    return "```json\n" + json.dumps({"title": "Means", "items": items}) + "\n```"


def question(answer=0, code=None, text="What is the mean of 1, 2 and 3?"):
    made = {"question": text, "choices": ["2", "3", "6"], "answer": answer, "explanation": "6 / 3"}
    return made | ({"code": {"language": "python", "source": code, "output": "2"}} if code else {})


@pytest.mark.parametrize("kind", FORMS)
def test_the_form_in_the_prompt_is_the_form_that_is_read(kind):
    form = FORMS[kind].partition("\n\n")[0].replace("python|r|sql", "python").replace('["…", "…", "…"]', '["a", "b"]')
    assert len(read_sheet(form, kind).items) == 1
    jsonschema.validate(json.loads(form), schema(kind, 1))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(json.loads(form), schema(kind, 2))


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("no json", "not of the form"),
        (quiz({"question": "x"}), "missing required field"),
        (quiz(question() | {"html": "<b>"}), "unknown field"),
        (quiz(question(answer=3)), "count the choices from 0 to 2"),
        (quiz(question() | {"choices": ["a", "a"]}), "all different"),
        (quiz(question(text=" ")), "question is empty"),
        (quiz(question(), question()), "There are 2 items; 1 were asked for"),
        (quiz(), "There are 0 items"),
    ],
)
def test_what_is_not_of_the_form_is_refused_with_the_reason(reply, said):
    with pytest.raises(Unusable, match=said):
        read_sheet(reply, "quiz", 1 if "2 items" in said else None)


FENCED = "What prints?\n\n```python\nprint({1: {2}})\n```"


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize(
    "wrap",
    ["{}", "```json\n{}\n```", "```\n{}```", "Here:\n\n```json\n{}\n```\n\nAnd `so`, ```x```.", "``` json \n{}\n  ```"],
)
def test_code_in_a_question_ends_no_reply(wrap, indent):
    for text in (FENCED, FENCED[:-3] + "}```", "Is ``` a fence?", "```\n", "a }```"):
        written = json.dumps({"title": "T", "items": [question(text=text)]}, indent=indent)
        assert read_sheet(wrap.replace("{}", written), "quiz").items[0].question == text


@pytest.mark.parametrize(
    ("language", "source", "output"),
    [
        ("python", "1 + 1", "2"),
        ("python", "import statistics\nprint(statistics.mean([1, 2, 3]))", "2"),
        ("sql", "SELECT avg(x) FROM (VALUES (1), (2), (3)) AS t(x)", "2.0"),
    ],
)
def test_code_that_gives_its_answer_proves_it(programs, language, source, output):
    assert disproved(Code(language, source, output)) == ""
    assert "and not 'other'" in disproved(Code(language, source, "other"))


@pytest.mark.parametrize(
    "source",
    [
        "import os",
        "from subprocess import run",
        "open('/etc/passwd').read()",
        "__import__('os')",
        "().__class__",
        "import pandas as pd\npd.read_csv('/etc/passwd')",
        "import pandas as pd\npd.io.common.os.system('id')",
        "import numpy as np\nnp.save('x', [1])",
        "eval('1')",
        "x = (",
    ],
)
def test_python_that_does_more_than_compute_is_not_run(source):
    assert disproved(Code("python", source, "")).startswith(("it imports", "it calls", "it does not parse"))


@pytest.mark.slow
def test_sql_that_does_more_than_read_is_not_run():
    assert "schema" in disproved(Code("sql", "DROP TABLE t", ""))
    assert "read_csv" in disproved(Code("sql", "SELECT * FROM read_csv('/etc/passwd')", ""))


@pytest.mark.usefixtures("real_r")
@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("mean(c(1, 2, 3))", ""),
        ("x <- 1:3; x[x > 1][1]", ""),
        ("system('id')", "it calls system"),
        ("sapply('id', 'system')", "it calls system"),
        ("sapply('id', paste0('sys', 'tem'))", "may only compute"),
        ("stop('no')", "it failed"),
    ],
)
def test_r_proves_and_is_bounded_too(source, said):
    found = disproved(Code("r", source, "[1] 2"))
    assert said in found
    assert bool(said) == bool(found)


def test_a_quiz_is_asked_for_checked_and_shown(programs, ip, gateway, capsys):
    ip.user_ns["sales"] = pd.DataFrame({"region": ["N", "S"] * 5})
    gateway.replies = [quiz(question(code="sum([1, 2, 3]) / 3 == 2 and 2"))]
    made = ip.run("%%ask --as quiz --count 1 --output made\nmeans of sales")
    system, *_, user = [message["content"] for message in gateway.requests[0]["messages"]]
    assert "exactly 1 items" in system
    assert '"choices"' in system
    assert gateway.requests[0]["response_format"]["json_schema"] == {"name": "quiz", "schema": schema("quiz", 1)}
    assert user.endswith("Question: quiz about: means of sales")
    assert "region str" in user
    out = capsys.readouterr().out
    assert "1. What is the mean of 1, 2 and 3?\n   - a) 2" in out
    assert "### Answers\n\n1. a) 2: 6 / 3" in out
    assert "1 answer checked by running code" in out
    assert ip.user_ns["made"] is made
    assert made.as_dict()["items"][0]["answer"] == 0
    assert made.sources == ("frame sales",)
    assert "\n\nfrom `sales`" in out


def test_what_cannot_be_used_is_corrected_once(programs, ip, gateway):
    gateway.replies = ["sorry", quiz(question())]
    assert len(ip.run("%%ask --as quiz\nmeans").items) == 1
    assert "not of the form" in gateway.sent
    gateway.replies = ["sorry", "sorry again"]
    with pytest.raises(RsqlError, match="It says: sorry again"):
        ip.run("%%ask --as quiz\nmeans")


def test_a_question_whose_code_gives_something_else_is_not_shown(programs, ip, gateway):
    wrong = question(code="3", text="Wrong?")
    gateway.replies = [quiz(wrong, question()), quiz(wrong, question())]
    made = ip.run("%%ask --as quiz --count 2\nmeans")
    assert "it prints '3' and not '2'" in gateway.sent
    assert [item.question for item in made.items] == ["What is the mean of 1, 2 and 3?"]
    assert "1 left out: the code did not give the stated answer" in str(made)
    assert "1 of the 2 asked for" in str(made)


def test_without_a_topic_it_is_about_the_notebook(ip, gateway):
    ip.run("total = 1 + 1")
    gateway.replies = ['{"title": "It", "items": [{"heading": "Sum", "text": "It adds."}]}']
    assert "**Sum**\nIt adds." in str(ip.run("%ask --as summary"))
    assert "total = 1 + 1" in gateway.sent


def test_nothing_is_sent_by_a_preview_or_for_an_odd_count(ip, gateway, capsys):
    ip.run("%%ask --as exam --show-context\nmeans")
    assert "exam about: means" in capsys.readouterr().out
    with pytest.raises(BadInput, match="--count is 1 to 30"):
        ip.run("%%ask --as exam --count 99\nmeans")
    assert gateway.requests == []


def test_flashcards_flip_and_count_what_is_known():
    cards = Cards(Sheet("flashcards", "T", (Card("<front>", "back"), Card("two", "zwei"))), StudyProgress())
    assert cards.face.value == "<p>&lt;front&gt;</p>"
    cards.flip.click()
    assert cards.face.value == "<p>back</p>"
    cards.know.click()
    assert cards.face.value == "<p>two</p>"
    assert cards.where.value == "2 of 2, 1 known; the last one again tomorrow"


def test_words_of_a_set_are_markdown_whose_links_leave_the_notebook_open():
    front = "See [R](https://www.r-project.org), `mean(x)` and $\\bar x$, not <b>this</b>"
    face = Cards(Sheet("flashcards", "T", (Card(front, "back"),)), StudyProgress()).face.value
    assert "<code>mean(x)</code>" in face
    assert "$\\bar x$" in face
    assert "&lt;b&gt;" in face
    [link] = re.findall("<a [^>]*>", face)
    assert 'target="_blank"' in link
    assert 'rel="noopener' in link


def test_a_quiz_is_scored():
    asked = (Choice("1+1?", ["2", "3"], 0, "sum"), Choice("2+2?", ["2", "4"], 1, "sum"))
    made = Quiz(Sheet("quiz", "T", asked), StudyProgress())
    made.choices[0].value = 0
    made.choices[1].value = 0
    made.check.click()
    assert made.score.value == "1 of 2 right"
    assert made.verdicts[1].value == "<p>✗ b) 4: sum</p>"


def test_an_exam_has_solutions_to_open_and_a_summary_is_only_read():
    made = widget_of(Sheet("exam", "T", (Exercise("Add.", 2, "Use +.", Code("python", "1 + 1", "2")),)))
    assert made.children[3].selected_index is None
    assert widget_of(Sheet("summary", "T", (Point("a", "b"),))) is None


def test_markdown_keeps_questions_and_answers_apart():
    text = as_markdown(Sheet("exam", "T", (Exercise("Add.", 2, "Use +.", Code("python", "1 + 1", "2")),)))
    assert text.index("1. Add. (2 points)") < text.index("### Answers") < text.index("```python\n   1 + 1")
