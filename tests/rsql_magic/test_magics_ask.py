"""%ask and %%ask, typed."""

from __future__ import annotations

import json
import re
import time

import duckdb
import httpx
import pandas as pd
import pytest

from rsql_magic.display.screens import TerminalScreen
from rsql_magic.errors import (
    BadInput,
    CodeFailed,
    GatewayError,
    GatewayUnreachable,
    LimitReached,
    RsqlError,
    UnknownName,
)


def test_an_answer_is_streamed_and_returned(ip, gateway, capsys):
    gateway.replies = ["Two regions in sales."]
    ip.user_ns["sales"] = pd.DataFrame({"region": ["N", "S"] * 5, "amount": range(10)})

    answer = ip.run("%%ask\nWhat is in sales?")

    assert str(answer) == "Two regions in sales."
    assert "Two regions in sales." in capsys.readouterr().out
    assert '<data kind="frame" name="sales"' in gateway.sent
    assert gateway.sent.endswith("Question: What is in sales?")
    assert answer.sources == ("frame sales",)
    assert answer.request_id == "req-1"
    assert answer.usage.total_tokens == 120
    assert gateway.requests[0]["headers"]["x-rsql-task"] == "ask"
    assert gateway.requests[0]["headers"]["authorization"] == "Bearer token"


@pytest.mark.parametrize(
    "text",
    [
        'it\'s a "test" {y} {{ col }} $HOME %d \\n `x`',
        "what (is",
        '"""',
        "-- what does -5 mean?",
        "naïve 日本語 🎉",
    ],
)
@pytest.mark.parametrize("form", ["%ask -- {}", "%%ask\n{}", "%ask --no-context -- {}"])
def test_the_text_survives_letter_by_letter(ip, gateway, text, form):
    gateway.replies = ["yes"]
    ip.user_ns["y"] = "no"
    ip.run(form.replace("{}", text))
    assert gateway.sent.endswith(f"Question: {text}")


@pytest.mark.parametrize("line", ["-o class", "--output 1st", "lambda <<", "-o a-b"])
@pytest.mark.parametrize("magic", ["ask", "sql_ai"])
def test_a_name_that_no_variable_can_have_is_refused_before_anything_is_asked(ip, gateway, magic, line):
    with pytest.raises(BadInput, match="not a name for a variable"):
        ip.run(f"%%{magic} {line}\nWhat is a join?")
    assert gateway.requests == []


def test_the_answer_is_kept_under_a_name(ip, gateway):
    gateway.replies = ["one", "two"]
    ip.run("%%ask -o first\nwhat?")
    ip.run("%ask second << what?")
    assert [str(ip.user_ns[name]) for name in ("first", "second")] == ["one", "two"]


def test_what_is_kept_holds_code_sql_usage_and_context(ip, gateway):
    ip.user_ns["sales"] = pd.DataFrame({"region": ["N"] * 5})
    gateway.replies = ["Either:\n```python\nlen(sales)\n```\nor\n```sql\nSELECT count(*) FROM sales\n```"]
    ip.run("%%ask -o kept\nhow many rows has sales?")
    kept = ip.user_ns["kept"]
    assert kept.text.startswith("Either:")
    assert (kept.code, kept.sql) == ("len(sales)", "SELECT count(*) FROM sales")
    assert (kept.usage.model, kept.usage.prompt_tokens, kept.usage.completion_tokens) == ("llama", 100, 20)
    assert kept.request_id == "req-1"
    assert kept.context
    assert kept.context in gateway.sent


def test_the_model_is_asked_to_answer_in_the_language_of_the_question(ip, gateway):
    gateway.replies = ["Zwei.", "Two."]
    ip.run("%%ask\nWie viele Regionen gibt es?")
    ip.run("%%ask --no-context\nhow many?")
    for request in gateway.requests:
        (system,) = [message["content"] for message in request["messages"] if message["role"] == "system"]
        assert "answer in the language of the question" in system


@pytest.mark.parametrize("cost", [None, 0.0123])
def test_money_is_shown_only_when_the_gateway_has_prices(ip, gateway, cost):
    lines = list(gateway.stream("Two."))
    last = json.loads(lines[-2].removeprefix("data: "))
    last["rsql"] |= {} if cost is None else {"cost_usd": cost}
    gateway.replies = [[*lines[:-2], f"data: {json.dumps(last)}", lines[-1]]]
    footer = ip.run("%%ask\nhow many?").shown().footer
    assert ("$0.0123" in footer) is (cost is not None)
    assert ("$" in footer) is (cost is not None)


def test_a_line_magic_can_be_assigned(ip, gateway):
    gateway.replies = ["one"]
    ip.run("x = %ask what?")
    assert ip.user_ns["x"].text.strip() == "one"


def test_an_assigned_answer_is_shown_whole_by_the_next_cell(ip, gateway, capsys):
    gateway.replies = ["one"]
    ip.run("x = %ask what?")
    capsys.readouterr()
    ip.run("x")
    assert capsys.readouterr().out.startswith("Out[2]: \none\n\nllama")


def test_show_context_sends_nothing(ip, gateway, capsys):
    ip.user_ns["sales"] = pd.DataFrame({"region": ["N"] * 5})
    assert ip.run("%ask --show-context What is in sales?") is None
    out = capsys.readouterr().out
    assert "Question: What is in sales?" in out
    assert "region" in out
    assert out.endswith("tokens. Nothing was sent.\n")
    assert gateway.calls == ["stats"]  # the policy, to which nothing is told
    assert gateway.requests == []


@pytest.mark.parametrize("magic", ["%ask --show-context How is sales?", "%ask --show-context -- {{sales}}?"])
def test_show_context_without_a_gateway_shows_the_own_level_and_says_so(ip, assistant, gateway, capsys, magic):
    def down(path, **_):
        raise GatewayUnreachable("No gateway answers.")

    assistant.locator.gateway.get = down
    ip.user_ns["sales"] = pd.DataFrame({"amount": range(10)})
    ip.run(magic)
    out = capsys.readouterr().out
    assert "0..9" in out.replace(" ", "")
    assert out.endswith("Nothing was sent.\nNo gateway answers. Its policy may let less leave.\n")
    ip.run("%rsql context sales")
    assert "No gateway answers. Its policy may let less leave." in capsys.readouterr().out
    with pytest.raises(GatewayUnreachable):
        ip.run("%ask -- {{sales}}?")
    assert gateway.requests == []


@pytest.mark.parametrize("asked", ["%rsql context sales", "%ask --show-context -- {{sales}}?", "%ask -- {{sales}}?"])
def test_the_first_word_of_a_session_knows_the_floor(ip, gateway, capsys, asked):
    gateway.paths["stats"] = {"privacy_floor": "names"}
    gateway.replies = ["Well."]
    ip.user_ns["sales"] = pd.DataFrame({"amount": range(10), "region": ["N"] * 10})
    ip.run(asked)
    assert "0..9" not in (capsys.readouterr().out + str(gateway.requests)).replace(" ", "")
    assert gateway.calls[0] == "stats"


def test_a_gateway_that_cannot_tell_its_policy_is_told_nothing(ip, assistant, gateway):
    def broken(path, **_):
        raise GatewayError("The ledger is lost.", status=500)

    assistant.locator.gateway.get = broken
    ip.user_ns["sales"] = pd.DataFrame({"amount": range(10)})
    with pytest.raises(GatewayError, match="The ledger is lost"):
        ip.run("%ask What is in sales?")
    assert gateway.requests == []


def test_show_context_of_a_new_conversation_forgets_nothing(ip, gateway, capsys):
    gateway.replies = ["The average."]
    ip.run("%ask --no-context what is a mean?")
    ip.run("%ask --new --show-context what is a median?")
    assert "what is a mean?" not in capsys.readouterr().out
    ip.run("%ask --show-context and what is a median?")
    assert "what is a mean?" in capsys.readouterr().out


def test_code_that_does_not_parse_goes_back_once(ip, gateway):
    gateway.replies = ["```python\nx = (\n```", "```python\nx = 1\n```"]
    answer = ip.run("%%ask\nassign")
    assert answer.code == "x = 1"
    assert "'(' was never closed" in gateway.sent
    assert answer.problems == ()
    assert answer.usage.requests == 2


def test_code_that_still_does_not_parse_is_shown_with_what_is_wrong(ip, gateway):
    gateway.replies = ["```python\nx = (\n```"] * 2
    answer = ip.run("%%ask\nassign")
    assert answer.problems == ("The python block 1 does not parse: '(' was never closed (line 1).",)
    assert "⚠ The python block 1" in answer.shown().markdown


def test_a_terminal_shows_below_the_words_what_they_cite_and_what_is_wrong(ip, gateway, capsys):
    ip.user_ns["sales"] = pd.DataFrame({"region": ["N"] * 5})
    gateway.replies = ["Sum sales:\n```python\nx = (\n```"] * 2
    ip.run("%%ask\ntotal of sales?;")
    assert capsys.readouterr().out == ""
    gateway.replies = ["Sum sales:\n```python\nx = (\n```"] * 2
    ip.run("%%ask\ntotal of sales?")
    below = capsys.readouterr().out.rsplit("Sum sales:", 1)[1]
    assert below.count("x = (") == 1
    assert "from `sales`\n\n⚠ The python block 1 does not parse" in below


def test_a_block_of_r_may_begin_with_the_magic_of_r(programs, ip, gateway):
    gateway.replies = ["```r\n%%R -i df\nmean(df$v)\n```"]
    assert ip.run("%%ask\nmean of v").code == "mean(df$v)"


def test_sql_blocks_are_parsed_too(ip, gateway):
    gateway.replies = ["```sql\nSELECT FROM WHERE (\n```", "```sql\nSELECT 1\n```"]
    assert ip.run("%%ask\nquery").sql == "SELECT 1"


def test_run_runs_the_one_block(ip, gateway):
    gateway.replies = ["Here:\n```python\nresult = 6 * 7\n```"]
    ip.run("%%ask --run\ncompute")
    assert ip.user_ns["result"] == 42


def test_run_needs_one_block(ip, gateway):
    gateway.replies = ["no code here"]
    with pytest.raises(BadInput, match="holds no code"):
        ip.run("%%ask --run\ncompute")


@pytest.mark.slow
def test_run_says_that_the_code_raised(ip, gateway):
    gateway.replies = ["```python\n1 / 0\n```"]
    with pytest.raises(CodeFailed, match="ZeroDivisionError"):
        ip.run("%%ask --run\ncompute")


@pytest.mark.slow
def test_no_question_explains_the_last_error(ip, gateway):
    ip.run_cell("import pandas as pd\nweather = pd.DataFrame({'temp': [1, 2]})\nweather['wind']")
    gateway.replies = ["There is no key wind."]
    ip.run("%ask")
    assert "KeyError: 'wind'" in gateway.sent
    assert "Explain the last error: what happened, why, and how to fix it.\n\nThis cell failed:\n```\n" in gateway.sent
    assert gateway.sent.endswith("weather['wind']\n```")


@pytest.mark.parametrize(
    ("failing", "sent"),
    [
        ("who = 'Emmy Noether'\n1 / 0", "who = '…'\n1 / 0"),
        ("%%time\n{}['who']", "%%time\n{}['…']"),
        ("def f():\n    return 1 / 0\nf()", "def f():\n    return 1 / 0\nf()"),
        ("(", "("),
    ],
)
@pytest.mark.parametrize("level", ["stats", "sample"])
def test_fix_asks_for_the_cell_that_failed_whatever_was_run_since(ip, gateway, failing, sent, level):
    ip.run_cell("x = 'before'", store_history=True)
    ip.run_cell(failing, store_history=True)
    ip.run_cell("y = 'since'", store_history=True)
    gateway.replies = ["```python\n1\n```"]
    ip.run(f"%ask --privacy {level} fix")
    data, _, asked = gateway.sent.partition("\nQuestion: ")
    assert f"one block of code.\n\nThis cell failed:\n```\n{sent if level == 'stats' else failing}\n```" in asked
    assert re.findall('name="(In.*?)"', data) == ["In[1]", "In[3]"], "it is told once"


def inserted(ip):
    return [text] if (text := getattr(ip, "rl_next_input", "")) else []


def test_fix_puts_the_corrected_cell_below_and_shows_what_changed(ip, gateway, capsys):
    ip.run_cell("total = 0\nfor n in [1, 0]:\n    total += 1 / n\nlabel = 'of two'", store_history=True)
    ip.run_cell("after = 'another cell'", store_history=True)
    gateway.replies = [
        "It divides by zero.\n\n```python\ntotal = 0\nfor n in [1, 2]:\n    total += 1 / n\nlabel = '…'\n```"
    ]
    ip.run("%ask fix")
    assert "of two" not in gateway.sent  # not sent, and put back
    assert inserted(ip) == ["total = 0\nfor n in [1, 2]:\n    total += 1 / n\nlabel = 'of two'"]
    out = capsys.readouterr().out
    assert "-for n in [1, 0]:" in out
    assert "+for n in [1, 2]:" in out
    assert "label" not in out.partition("@@")[2].replace(" label = 'of two'", "")
    assert "Run, this cell" not in out


def test_fix_says_what_the_corrected_cell_would_do_beyond_computing(ip, gateway, capsys):
    ip.run_cell("1 / 0", store_history=True)
    gateway.replies = ["```python\nimport os\nos.remove('flights.csv')\n```"]
    ip.run("%ask fix")
    assert "writes or deletes files: os.remove" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("cell", "proposed", "whole"),
    [
        ("f('Emmy', 1)['Ada']", "f('…', 2)['…']", "f('Emmy', 2)['Ada']"),
        ("    f('Emmy')  # of Ada", "    f('…', 2)  # …", "    f('Emmy', 2)  # of Ada"),
        ("f('Emmy')\ng('Ada')", "g('…')\nf('…')", "g('Ada')\nf('Emmy')"),
        ("f('Emmy', 'Ada')", "f('…')", "f('…')"),  # which of them?
        ("f('Emmy')", "load('…', into=table)", "load('…', into=table)"),
        ("f(r'a\\d+')", "f('…', 1)", "f('a\\d+', 1)"),
    ],
)
def test_texts_that_were_not_sent_are_put_back_into_lines_that_are_alike(cell, proposed, whole):
    from rsql_magic.notebook.fixing import with_texts
    from rsql_magic.redaction import without_data

    assert with_texts(proposed, cell, without_data(cell, frozenset())) == whole


def test_fix_says_where_a_text_that_was_not_sent_is_missing(ip, gateway, capsys):
    ip.run_cell("open('/home/x/flights.csv')", store_history=True)
    gateway.replies = ["```python\nopen('…', encoding='utf-8')\n```"]
    ip.run("%ask fix")
    assert inserted(ip) == ["open('…', encoding='utf-8')"]
    assert "was not sent" in capsys.readouterr().out


def test_fix_without_a_change_puts_nothing_below(ip, gateway, capsys):
    ip.run_cell("1 / 0", store_history=True)
    gateway.replies = ["Nothing can be done."]
    ip.run("%ask fix")
    assert inserted(ip) == []
    assert "No change was proposed" in capsys.readouterr().out


@pytest.mark.parametrize("cell", ["(", "%%time\n1 / 0", "!true\n{}['x']", "def f():\n    return 1 / 0\nf()"])
def test_fix_knows_the_cell_that_failed(ip, gateway, cell):
    ip.run_cell(cell, store_history=True)
    ip.run_cell("other = 1", store_history=True)
    gateway.replies = ["```python\nmended = 1\n```"]
    ip.run("%ask fix")
    (text,) = inserted(ip)
    assert text == ("%%time\nmended = 1" if "%%" in cell else "mended = 1")


def test_follow_ups_carry_the_conversation_without_old_context(ip, gateway):
    gateway.replies = ["first answer", "second answer", "third answer"]
    ip.user_ns["sales"] = pd.DataFrame({"region": ["N"] * 5})
    ip.run("%ask what is sales?")
    ip.run("%ask and now?")
    roles = [message["role"] for message in gateway.requests[1]["messages"]]
    assert roles == ["system", "user", "assistant", "user"]
    assert gateway.requests[1]["messages"][1]["content"] == "what is sales?"
    ip.run("%ask --new and now?")
    assert len(gateway.requests[2]["messages"]) == 2


def test_a_value_is_filled_in_once(ip, gateway):
    gateway.replies = ["yes"]
    ip.user_ns |= {"note": "print {{API_TOKEN}}", "API_TOKEN": "s3cret"}
    ip.run("%ask --no-context explain {{note}}")
    assert gateway.sent.endswith("Question: explain print {{API_TOKEN}}")


def test_json_and_text(ip, gateway, capsys):
    gateway.replies = ["**bold**", "**bold**"]
    ip.run("%%ask --format json\nwhat?")
    assert json.loads(capsys.readouterr().out.split("\nOut")[0])["text"].strip() == "**bold**"
    answer = ip.run("%%ask --format text\nwhat?")
    assert "text/markdown" not in answer.shown().bundle()


def test_a_semicolon_silences_the_cell(ip, gateway, capsys):
    gateway.replies = ["loud"]
    ip.run("%%ask -o kept\nwhat (is it;")
    assert capsys.readouterr().out == ""
    assert gateway.sent.endswith("Question: what (is it")
    assert str(ip.user_ns["kept"]) == "loud"


def test_secrets_are_replaced_and_counted(ip, gateway):
    gateway.replies = ["ok"]
    answer = ip.run("%%ask\nwhy is password = 'hunter2hunter2' refused for ada@example.org?")
    assert "hunter2" not in gateway.sent
    assert "ada@example.org" not in gateway.sent
    assert "2 values redacted" in answer.shown().footer
    gateway.replies = ["ok"]
    assert "redacted" not in ip.run("%ask and now?").shown().footer


@pytest.mark.parametrize(
    ("cell", "error", "words"),
    [
        ("%%ask\n   ", BadInput, "There is no question. Write it below %%ask."),
        ("%%ask --modle x\nhi", BadInput, "There is no option --modle. Did you mean --model?"),
        ("%%ask --privacy all\nhi", BadInput, "There is no --privacy 'all'. It is names, stats or sample."),
        ("%%ask --privacy stat\nhi", BadInput, "There is no --privacy 'stat'. Did you mean stats?"),
        ("%%ask --as quizz\nhi", BadInput, "There is no --as 'quizz'. Did you mean quiz?"),
        ("%%ask --timeout soon\nhi", BadInput, "--timeout takes a number, not 'soon'."),
        ("%%ask --model\nhi", BadInput, "--model needs a value."),
        ("%%ask --new=yes\nhi", BadInput, "--new takes no value."),
        ("%%ask --with salse\nhi", UnknownName, "salse"),
        ("%%ask\nwhat is {{salse}}?", UnknownName, "Did you mean {{sales}}?"),
        ("%%ask -o 2x\nhi", BadInput, "'2x' is not a name"),
        ("%%ask --count 3\nhi", BadInput, "--count is for study material."),
        ("%ask", BadInput, "There is no error of your code to explain."),
        ("%%ask", BadInput, "Write it below %%ask."),
        ("%%ask --lang r\n", BadInput, "Write it below %%ask."),
    ],
)
def test_bad_input_is_one_clear_line(ip, gateway, capsys, monkeypatch, cell, error, words):  # noqa: PLR0917
    monkeypatch.delattr("sys.last_value", raising=False)
    monkeypatch.delattr("sys.last_exc", raising=False)
    monkeypatch.setattr("rsql_magic.context.r.last_error", lambda: "")  # R remembers what another test did
    gateway.replies = ["never asked"]
    ip.user_ns["sales"] = pd.DataFrame({"region": ["N"] * 5})
    done = ip.run_cell(cell)
    assert isinstance(done.error_in_exec, error)
    assert words in str(done.error_in_exec)
    assert len(capsys.readouterr().out.strip().splitlines()) <= 2
    assert gateway.requests == []


@pytest.mark.slow
def test_two_megabytes_are_refused_with_their_size(ip, gateway):
    with pytest.raises(BadInput, match=r"2,000,000 characters; at most 100,000"):
        ip.run("%%ask\n" + "x" * 2_000_000)
    assert gateway.requests == []


def test_the_gateways_refusal_is_one_line(ip, gateway, capsys):
    error = {
        "message": "Your limit of 10 requests a minute is used up.",
        "code": "rate_limit_exceeded",
        "retry_after": 8,
    }
    gateway.replies = [httpx.Response(429, json={"error": error}, headers={"retry-after": "8"})]
    done = ip.run_cell("%%ask\nhi")
    assert isinstance(done.error_in_exec, LimitReached)
    assert done.error_in_exec.retry_after == 8
    assert capsys.readouterr().out == (
        "LimitReached: Your limit of 10 requests a minute is used up. Try again in 8 s. "
        "%rsql usage shows your limits.\n"
    )


def test_help_is_printed_and_generated(ip, gateway, capsys):
    assert ip.run("%%ask --help\n ") is None
    assert "--show-context" in capsys.readouterr().out
    assert "--show-context" in ip.find_cell_magic("ask").__doc__


def test_the_settings_are_config(ip, gateway, capsys):
    ip.run("%config Rsql.model = 'llama'")
    ip.run("%config Rsql.aliases = {'fast': 'qwen'}")
    gateway.replies = ["a", "b"]
    ip.run("%ask one")
    ip.run("%ask --model fast two")
    assert [request["model"] for request in gateway.requests] == ["llama", "qwen"]
    ip.run("%config Rsql")
    assert "Rsql.privacy" in capsys.readouterr().out


@pytest.mark.slow
def test_a_frame_of_ten_thousand_columns_is_told_in_few_words(ip, gateway):
    gateway.replies = ["wide"]
    ip.user_ns["wide"] = pd.DataFrame([[0] * 10_000], columns=[f"c{i}" for i in range(10_000)])
    ip.run("%%ask\nWhat is in wide?")
    assert "10,000 columns" in gateway.sent
    assert len(gateway.sent) < 5000


def test_without_r_everything_else_works_and_that_is_said_once(ip, gateway, monkeypatch):
    from rsql_magic.context import r

    monkeypatch.setattr(r, "r_problem", lambda: "R is not installed. Install it.")
    monkeypatch.setattr(r, "r_running", lambda: False)
    gateway.replies = ["```r\nx <- 1\n```"]
    assert ip.run("%%ask --lang r\nassign").code == "x <- 1"
    gateway.replies = ["```r\nx <- 1\n```"]
    with pytest.raises(RsqlError, match="R is not installed"):
        ip.run("%%ask --lang r --run\nassign")


def test_an_answer_that_ran_out_of_tokens_says_so(ip, gateway):
    gateway.replies = [list(gateway.stream("half an", finish="length"))]
    assert "ended at the longest answer" in ip.run("%ask hello").shown().footer


def test_a_failed_query_is_explained_with_its_sql(ip, gateway):
    ip.user_ns["sales"] = pd.DataFrame({"region": ["N"] * 5})
    gateway.replies = ["```sql\nSELECT nope FROM sales\n```", "There is no column nope."]
    ip.run_cell("%%sql_ai --retries 0\nwhat of sales?")
    ip.run("%ask")
    assert "SELECT nope FROM sales" in gateway.sent
    assert 'kind="error"' in gateway.sent


def test_the_last_error_is_filled_in_without_data(ip, gateway):
    ip.run_cell("counts = {}\ncounts['Grete Hermann']")
    gateway.replies = ["so"]
    ip.run("%%ask --no-context\nWhat is this: {{Err}}?")
    assert "KeyError: '…'" in gateway.sent
    assert "Grete" not in str(gateway.requests)


@pytest.mark.slow
def test_a_question_that_is_far_too_long_is_refused_before_it_is_read(ip):
    started = time.thread_time()
    with pytest.raises(BadInput, match="12,000,000 characters"):
        ip.run_cell_magic("ask", "", "x" * 12_000_000)
    assert time.thread_time() - started < 1


def test_a_column_that_is_not_there_is_named_corrected_and_never_run(ip, gateway):
    ip.user_ns["sales"] = pd.DataFrame({"region": ["N", "S"] * 5, "amount": range(10)})
    gateway.replies = ["```python\nsales['regoin']\n```", "```python\nsales['region']\n```"]
    answer = ip.run("%%ask\nregions?")
    assert answer.code == "sales['region']"
    assert not answer.problems
    assert "sales has no column 'regoin'. Did you mean 'region'?" in gateway.sent
    gateway.replies = ["```python\nran = sales['regoin']\n```"] * 2
    with pytest.raises(CodeFailed, match="no column 'regoin'"):
        ip.run("%%ask --run\nregions?")
    assert "ran" not in ip.user_ns


@pytest.mark.slow
def test_an_answer_cites_what_it_names_of_what_was_told(ip, gateway, capsys):
    few = pd.DataFrame({"region": ["N"] * 5})
    ip.user_ns |= {"sales": few, "costs": few, "name": "Ada", "limit": 3, "con": duckdb.connect()}
    ip.user_ns["con"].execute("CREATE TABLE stores AS SELECT 1 AS id")
    gateway.replies = ["The name of a region in sales.\n```python\nsales.head(limit)\n```\nSee presales, not `cost`."]
    answer = ip.run("%%ask\nwhat is in sales and costs?")
    assert set(answer.sources) == {"frame sales", "object limit"}
    assert "frame costs" in answer.context.replace('kind="', "").replace('" name="', " ")
    for form in ("markdown", "text", "json"):
        gateway.replies = ["Only N in sales."]
        shown = ip.run(f"%%ask --format {form}\nwhat is in sales?").shown()
        where = shown.bundle()["application/json"]["sources"] if form == "json" else shown.markdown or shown.plain
        assert where == ["frame sales"] if form == "json" else where.endswith("\n\nfrom `sales`")
    gateway.replies = ["Hello."]
    assert "from" not in ip.run("%%ask\nhello").shown().plain


def test_an_answer_cites_the_help_page_it_uses(real_r, ip, gateway):
    from rsql_magic.context import r

    r.run_r("1")
    gateway.replies = ["Fit it:\n```r\nlm(mpg ~ cyl, mtcars)\n```"]
    answer = ip.run("%%ask\nhow does stats::lm work?")
    assert answer.sources == ("help stats::lm",)
    assert answer.shown().markdown.endswith("from `?stats::lm`")


def test_a_column_of_r_that_is_not_there_is_named(real_r, ip, gateway):
    from rsql_magic.context import r

    r.run_r("sales <- data.frame(region = 'N', amount = 1)")
    gateway.replies = ["```r\nsales |> subset(regoin == 'N')\n```"] * 2
    answer = ip.run("%%ask --lang r\nregions?")
    r.run_r("rm(sales)")
    assert answer.problems == ("The r block 1 is wrong: sales has no column 'regoin'. Did you mean 'region'?",)


def test_an_operator_of_r_that_no_attached_package_has_is_named(real_r, ip, gateway):
    from rsql_magic.context import r

    r.run_r("sales <- data.frame(region = 'N', amount = 1); `%mine%` <- function(a, b) a")
    gateway.replies = ["```r\nsales %>% head()\n```", "```r\nhead(sales)\n```"]
    assert ip.run("%%ask --lang r\nregions?").code == "head(sales)"
    assert "there is no %>%, as no package that has it is attached. Write it in base R." in gateway.sent
    own = "`%plus%` <- function(a, b) a + b\n1 %plus% 2 %mine% 3 %in% 4"
    assert r.unknown_operators([own, "library(nothing)\nx %>% y"]) == []
    r.run_r("rm(sales, `%mine%`)")


def test_named_threads_are_conversations_of_their_own(ip, gateway, capsys):
    gateway.replies = ["one", "two", "three", "four"]
    ip.run("%ask first?")
    ip.run("%rsql thread homework")
    ip.run("%ask second?")
    assert "first?" not in str(gateway.requests[-1]["messages"])
    ip.run("%%ask --thread main\nthird?")
    assert [m["content"] for m in gateway.requests[-1]["messages"]][1:3] == ["first?", "one "]
    ip.run("%ask fourth?")
    assert "second?" in str(gateway.requests[-1]["messages"])
    capsys.readouterr()
    ip.run("%rsql thread")
    assert capsys.readouterr().out == "  main: 2 turns\n* homework: 2 turns\n"
    ip.run("%rsql reset")
    ip.run("%rsql thread main")
    assert "* main: 2 turns" in capsys.readouterr().out


def test_a_conversation_is_saved_where_the_user_asks(ip, gateway, tmp_path):
    gateway.replies = ["one"]
    ip.run("%ask who is ada@example.org?")
    for _ in range(2):  # the same file may be written again
        ip.run(f"%rsql history --save {tmp_path}/talk.md")
    saved = (tmp_path / "talk.md").read_text(encoding="utf-8")
    assert saved == "# Conversation\n\n## ask: who is &#91;email&#93;?\n\none\n"
    (tmp_path / "other.md").write_text("mine", encoding="utf-8")
    with pytest.raises(BadInput, match="is no saved conversation"):
        ip.run(f"%rsql history --save {tmp_path}/other.md")
    with pytest.raises(BadInput, match="cannot be written"):
        ip.run(f"%rsql history --save {tmp_path}/no/such.md")


@pytest.mark.parametrize("cell", ["%%ask --nosuch\nhi", "%%nosuch\nhi", "%sql_ai", "%rsql nosuch"])
def test_what_a_magic_says_of_its_own_line_is_no_error_to_explain(ip, gateway, cell):
    ip.run_cell(cell)
    with pytest.raises(BadInput, match="no error of your code"):
        ip.run("%ask")
    assert gateway.requests == []


def test_a_question_that_no_query_answers_is_no_error_to_explain(ip, gateway):
    ip.user_ns["sales"] = pd.DataFrame({"region": ["N"] * 5})
    gateway.replies = ["I did not understand this."]
    ip.run_cell("%%sql_ai\nwhat of it?")
    with pytest.raises(BadInput, match="no error of your code"):
        ip.run("%ask")


def test_code_that_run_ran_is_what_the_error_is_about(ip, gateway):
    gateway.replies = ["```python\n1/0\n```", "It divides by zero."]
    ip.run_cell("%%ask --run\nhow?")
    ip.run("%ask")
    assert "ZeroDivisionError" in gateway.sent


def test_run_asks_where_code_does_more_than_compute(ip, gateway, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    gateway.replies = ["```python\nwith open('a.txt', 'w') as file:\n    print('b', file=file)\n```"] * 2
    with pytest.raises(BadInput, match="writes or deletes files"):
        ip.run("%%ask --run\nwrite it")
    assert [*tmp_path.iterdir()] == []
    ip.run("%%ask --run --agree\nwrite it")
    assert (tmp_path / "a.txt").read_text() == "b\n"


def test_what_code_shows_that_ran_cannot_act(ip, gateway, monkeypatch):
    shown = []
    monkeypatch.setattr(TerminalScreen, "also", lambda _, bundle: shown.append(bundle))
    gateway.replies = ["```python\nfrom IPython.display import HTML\nHTML('<b>a</b><script>evil()</script>')\n```"]
    ip.run_cell("%%ask --run --agree\nshow it")  # as a cell, within which the code runs
    assert "<b>a</b>" in shown[0]["text/html"]
    assert "evil()" not in str(shown)
