"""Columns and files that are not there are found in code, and nothing else is."""

from __future__ import annotations

import re

import pandas as pd
import polars as pl
import pytest

from rsql_magic.answers.code_checks import bare_code, unknown_in_python
from rsql_magic.answers.files_read import read_unseen, use_loaded
from rsql_magic.context import python_frames
from rsql_magic.gateway import Block

FRAMES = {"sales": ["region", "amount", "unit price", "day"], "stores": ["id", "city"]}
ATTRIBUTES = python_frames({"sales": pd.DataFrame()}).attributes


def names(*codes):
    return [found.column for each in unknown_in_python(codes, FRAMES, ATTRIBUTES) for found in each]


@pytest.mark.parametrize(
    "code",
    [
        "sales['regoin']",
        "sales[['region', 'regoin']].mean()",
        "sales.loc[sales['amount'] > 3, 'regoin']",
        "sales[sales['regoin'] == 'N']",
        "sales.groupby('regoin')['amount'].mean()",
        "sales.groupby('region')['regoin'].mean()",
        "sales.groupby(['region', 'regoin'], as_index=False).agg(total=('amount', 'sum'))",
        "sales.groupby('region').agg(total=('regoin', 'sum'))",
        "sales.groupby('region').agg({'regoin': 'sum'})",
        "sales.head().sort_values(by='regoin', ascending=False)",
        "sales.dropna(subset=['regoin'])",
        "sales.drop(columns=['regoin'])",
        "sales.pivot_table(index='regoin', columns='day', values='amount')",
        "sales.query('regoin == \"N\" and amount > @limit')",
        "sales.plot(x='day', y='regoin')",
        "sales.plot.bar(x='day', y='regoin')",
        "top = sales.nlargest(3, 'regoin')",
        "few = sales[['amount', 'day']]\nfew['regoin']",
        "import seaborn as sns\nsns.barplot(data=sales, x='regoin', y='amount')",
        "import plotly.express as px\npx.bar(sales, x='regoin', y='amount')",
        "smf.ols('amount ~ C(regoin) + np.log(amount)', data=sales).fit()",
        "sales.filter(pl.col('regoin') == 'N')",
        "sales.group_by('region').agg(pl.len()); sales.select('regoin')",
        "sales.with_columns((pl.col('regoin') * 2).alias('double'))",
        "for n in range(3):\n    print(sales['regoin'])",
        "def f():\n    return sales['regoin']",
        "if True:\n    x = sales['regoin']\nelse:\n    pass",
        "sales.regoin",
        "sales.regoin.value_counts()",
        "sales[sales.regoin == 'N'].amount.mean()",
        "sales.groupby('region').regoin.mean()",
        "top = sales.nlargest(3, 'amount')\ntop.regoin",
        "print(f'{sales.regoin.nunique()} regions')",
        "import hvplot.pandas\nsales.regoin.hvplot.bar()",
    ],
)
def test_a_column_that_is_not_there_is_found(code):
    assert names(code) == ["regoin"]


@pytest.mark.parametrize(
    "code",
    [
        "sales['new'] = 1\nsales['new'].sum()",
        "sales.loc[:, 'new'] = 1\nsales['new']",
        "sales = sales.assign(new=1)\nsales['new']",
        "sales.assign(new=lambda d: d['amount'] * 2, more=1).sort_values('new').head()['more']",
        "sales.with_columns((pl.col('amount') * 2).alias('new')).filter(pl.col('new') > 1).select('new', 'region')",
        "sales = sales.rename(columns={'amount': 'new'})\nsales['new']",
        "sales.rename(columns={'amount': 'new'}, inplace=True)\nsales['new']",
        "sales.columns = ['a', 'b', 'c', 'd']\nsales['a']",
        "sales.insert(0, 'new', 1)\nsales['new']",
        "m = sales.merge(stores, left_on='region', right_on='id')\nm['city']",
        "g = sales.groupby('region')['amount'].agg(['mean', 'std']).reset_index()\ng['mean']",
        "g = sales.groupby('region').agg(total=('amount', 'sum'))\ng['total'].plot()",
        "sales = pd.read_csv('x.csv')\nsales['anything']",
        "def f(sales):\n    return sales['anything']",
        "[sales['anything'] for sales in many]",
        "for sales in many:\n    sales['anything']",
        "other['anything']",
        "sales.select(pl.all(), pl.col('^a.*$'))",
        "sales.join(stores.select(pl.col('id', 'city')), left_on='region', right_on='id')",
        "sales.groupby('region').amount.mean().loc['N']",
        "sales.set_index('day').loc['2024']",
        "sales.query('index > 3')",
        "sales['region'].map({'N': 'north'})['x']",
        "sales.iloc[0]['region']",
        "sales[column]",
        "sales[1:3]['region']",
        "%timeit sales['region']",
        "sales['unit price']",
        "sales.melt(id_vars='region', value_vars=['amount'])['value']",
        "sales.value_counts('region')['N']",
        "sales.to_dict()['x']",
        "x = (",
        "total, rest = sales, 1\ntotal['x']",
        "sales.pivot(index='day', columns='region', values='amount')['N']",
        "pd.crosstab(sales['region'], sales['day'])['x']",
        "try:\n    sales['new'] = 1\nexcept KeyError:\n    pass\nsales['new']",
        "with open('f') as sales:\n    sales['x']",
        "del sales\nsales['x']",
        "sales.describe()['amount']['mean']",
        "sales.groupby('region').agg(total=('amount', 'sum')).sort_values('total')",
        "sales.region.str.upper(); sales.day.dt.year; sales.amount.plot.hist()",
        "sales.shape, sales.columns, sales.T, sales.index.name, sales.attrs, sales._mgr",
        "sales.iloc[0].name; sales[column(1)].str.lower()",
        "row = sales.iloc[0]\nrow.name",
        "sales.groupby('region').groups; sales.groupby('region').amount.mean()",
        "import hvplot.pandas\nsales.hvplot.bar(x='region')",
        "from ydata_profiling import ProfileReport\nsales.report",
        "sales.profile_report()",
        "sales.new = 1\nsales.new",
        "sales['new'] = 1\nsales.new",
        "[row.anything for row in sales.itertuples()]",
        "sales.apply(lambda row: row.region + row.name, axis=1)",
        "sales.agg(['mean']).anything",
        "setattr(sales, 'label', 'x')",
    ],
)
def test_nothing_else_is_claimed(code):
    assert names(code) == []


def test_an_attribute_that_is_no_column_is_named_unless_an_import_may_have_made_it():
    assert names("import pandas as pd\nsales.profit.mean()") == ["profit"]
    assert names("import janitor", "sales.profit.mean()") == []


def test_what_a_frame_of_the_session_answers_to_is_no_column():
    sales = pd.DataFrame({"region": ["N"]})
    sales.label = "of 2024"  # an attribute of this frame alone
    assert unknown_in_python(["sales.label"], {"sales": ["region"]}, python_frames({"sales": sales}).attributes) == [[]]


def test_what_one_block_makes_the_next_may_use():
    assert names("sales['new'] = 1", "sales['new']", "sales['old']") == ["old"]


def test_the_sentence_names_what_was_meant_or_what_there_is():
    (found,) = unknown_in_python(["sales['regoin']"], FRAMES)[0]
    assert str(found) == "sales has no column 'regoin'. Did you mean 'region'?"
    (found,) = unknown_in_python(["stores['xyz']"], FRAMES)[0]
    assert str(found) == "stores has no column 'xyz'. It has: 'city', 'id'."


class TestFiles:
    """Files that code reads from memory of other programs, where the frames are loaded."""

    @pytest.mark.parametrize(
        "code",
        [
            "sales = pd.read_csv('sales.csv')\nsales.amount.sum()",
            'pl.scan_parquet("sales.parquet").collect()',
            "sales <- read.csv('sales.csv')",
            'sales <- readr::read_csv( "sales.csv" )',
            "x = data.table::fread('sales.csv')",
        ],
    )
    def test_one_that_does_not_exist_is_told(self, code, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        [found] = read_unseen([Block("python", code)], "How much was sold?")
        assert re.fullmatch(r"The python block 1 reads 'sales\.\w+', and there is no such file: .*", found)

    @pytest.mark.parametrize(
        ("code", "question"),
        [
            ("pd.read_csv('there.csv')", "?"),
            ("pd.read_csv('sales.csv')", "Read sales.csv"),
            ("sales.to_csv('new.csv')\npd.read_csv('new.csv')", "?"),
            ("# pd.read_csv('sales.csv')", "?"),
            ("pd.read_csv('../data/sales.csv')", "?"),
            ("pd.read_csv('https://data.example/sales.csv')", "?"),
            ("pd.read_csv(path)", "?"),
            ("pd.read_sql('orders', con)", "?"),
            ("pd.read_csv('sales.csv')", None),
        ],
    )
    def test_nothing_is_claimed_of_others(self, code, question, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "there.csv").write_text("x")
        assert read_unseen([Block("python", code)], question) == []

    @pytest.mark.parametrize(
        ("code", "instead"),
        [
            ("sales = pd.read_csv('sales.csv')\nsales.sum()", "sales.sum()"),
            (
                "import x\n# Load the data\nsales = read_csv(\"data.csv\", sep=',')\nsales.sum()",
                "import x\nsales.sum()",
            ),
            ("df = pl.scan_parquet('sales.parquet').collect()\ndf.sum()", "df = sales\ndf.sum()"),
            ("sales <- readr::read_csv('sales.csv')\nsum(sales$x)", "sum(sales$x)"),
            ("sales = pd.read_csv('sales.csv')  # Assuming it is in 'sales.csv'\nsales.sum()", "sales.sum()"),
            ("pl.read_csv('sales.csv').filter(x).sum()", "sales.filter(x).sum()"),
            ("sales = pd.read_csv('sales.csv').dropna()\nsales.sum()", "sales = sales.dropna()\nsales.sum()"),
        ],
    )
    def test_rules_put_it_right(self, code, instead, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        text, [changed] = use_loaded(f"So:\n```python\n{code}\n```", ["sales"], "How much was sold?")
        assert text == f"So:\n```python\n{instead}\n```"
        assert changed.startswith("`sales` is loaded and was not read from")

    @pytest.mark.parametrize(
        "code",
        [
            "sales = pd.read_csv('there.csv')\nsales.sum()",
            "sales.to_csv('new.csv')\nsales = pd.read_csv('new.csv')\nsales.sum()",
            "costs = pd.read_csv('costs.csv')\nsales.sum()",
            "sales = pd.read_csv(find('sales.csv'))\nsales.sum()",
            "sales = pd.read_csv('named.csv')\nsales.sum()",
        ],
    )
    def test_rules_leave_others_alone(self, code, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "there.csv").write_text("x")
        text = f"```python\n{code}\n```"
        assert use_loaded(text, ["sales"], "How much was sold?" if "named" not in code else "Read named.csv") == (
            text,
            [],
        )

    @pytest.mark.parametrize("question", ["How do I read a CSV file?", "Load it again", "Wie lese ich eine Datei ein?"])
    def test_a_question_about_files_may_read_some(self, question):
        text = "```python\nsales = pd.read_csv('sales.csv')\nsales\n```"
        assert use_loaded(text, ["sales"], question) == (text, [])
        assert read_unseen([Block("python", text)], question) == []

    @pytest.mark.parametrize("name", ["s" * 5000, "🙂" * 200, "a\0b", "*", "CON"])
    def test_names_that_no_file_can_have(self, name):
        text = f"```python\nsales = pd.read_csv('{name}.csv')\nsales\n```"
        assert use_loaded(text, ["sales"], "?")[0] == "```python\nsales\n```"
        assert len(read_unseen([Block("python", text)], "?")) == 1

    def test_words_are_left_alone(self):
        text = "Use `pd.read_csv('sales.csv')`:\n\n```python\nsales.sum()\n```"
        assert use_loaded(text, ["sales"], "How much was sold?") == (text, [])

    def test_a_notebook_puts_it_right(self, ip, gateway, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        ip.user_ns["sales"] = pd.DataFrame({"amount": [1, 2]})
        gateway.replies = ["```python\nsales = pd.read_csv('sales.csv')\nsales.amount.sum()\n```"]
        answer = ip.run("%%ask\nWhat is the total amount of sales?")
        assert answer.code == "sales.amount.sum()"
        assert "`sales` is loaded and was not read from 'sales.csv' (left out by rules)" in answer.notes

    def test_a_notebook_asks_for_a_correction(self, ip, gateway, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        ip.user_ns["sales"] = pd.DataFrame({"amount": [1, 2]})
        read = "```python\nimport pandas as pd\npd.read_csv('costs.csv').amount.sum()\n```"
        gateway.replies = [read, "```python\nsales.amount.sum()\n```"]
        answer = ip.run("%%ask\nWhat is the total amount of sales?")
        assert answer.code == "sales.amount.sum()"
        assert "reads 'costs.csv', and there is no such file" in gateway.sent


class TestMethods:
    """Methods that frames do not have: polars' words and pandas' are alike."""

    @pytest.mark.parametrize(
        ("code", "said"),
        [
            ("rides.groupby('plan').len()", "rides has no method 'groupby'. Did you mean 'group_by'?"),
            ("rides.filter(pl.col('km') > 1).withcolumns(x=1)", "rides has no method 'withcolumns'."),
        ],
    )
    def test_one_that_does_not_exist_is_told(self, code, said):
        rides = pl.DataFrame({"plan": ["a"], "km": [1.0]})
        frames = python_frames({"rides": rides})
        [[found]] = unknown_in_python([code], frames.columns, frames.attributes, frozenset(), frames.polars)
        assert str(found).startswith(said)

    @pytest.mark.parametrize(
        "code",
        [
            "rides.group_by('plan').len()",
            "rides['km'].n_unique()",
            "import janitor\nrides.clean_names()",
            "rides.clean_names()",
            "rides.to_pandas().groupby('plan').size()",
        ],
    )
    def test_nothing_is_claimed_of_others(self, code):
        frames = python_frames({"rides": pl.DataFrame({"plan": ["a"], "km": [1.0]})})
        assert unknown_in_python([code], frames.columns, frames.attributes, frozenset(), frames.polars) == [[]]


def test_polars_words_are_put_right_by_rules(ip, gateway):
    ip.user_ns["rides"] = pl.DataFrame({"plan": ["a"], "km": [1.0]})
    gateway.replies = ["```python\nrides.filter(rides.km > 0).groupby('plan').len()\n```"]
    answer = ip.run("%%ask\nHow many rides are there of each plan?")
    assert answer.code == "rides.filter(rides[\"km\"] > 0).group_by('plan').len()"
    assert {'rides.km → rides["km"]', "groupby → group_by"} <= set(answer.notes)
    assert len(gateway.requests) == 1


class TestBareCode:
    """An answer that is code without a block around it."""

    @pytest.mark.parametrize(
        ("text", "language"),
        [
            ("sales.amount.sum()", "python"),
            ("total = sales['amount'].sum()\ntotal", "python"),
            ("sum(stations$zone == 1)", "r"),
            ("n <- nrow(rides)\n# the number\nn", "r"),
            ("rides %>% count(plan)", "r"),
            ("Forty rows.", ""),
            ("Forty", ""),
            ("42", ""),
            ("The mean (5.1) is of the amount", ""),
            ("Use sum(stations$zone) for the number of them.", ""),
            ("Here: `sum(x)`", ""),
            ("Use mean(x)", ""),
            ("See help(lm)", ""),
            ("使用sum(x)计算总和", ""),
            ("Nimm mean(x) und sd(x)", ""),
            ('paste(rides$plan, "has no value in it")', "r"),
            ("rides |>\n  subset(km > 2) |>\n  nrow()", "r"),
            ("for (i in 1:3) print(i)", "r"),
            ("", ""),
            ("```r\nsum(x)\n```", ""),
        ],
    )
    def test_language(self, text, language):
        assert bare_code(text) == language

    def test_a_notebook_shows_a_block(self, ip, gateway):
        ip.user_ns["sales"] = pd.DataFrame({"amount": [1, 2]})
        gateway.replies = ["sales.amount.sum()"]
        answer = ip.run("%%ask\nWhat is the total amount of sales?")
        assert answer.code == "sales.amount.sum()"
        assert answer.text == "```python\nsales.amount.sum()\n```"
