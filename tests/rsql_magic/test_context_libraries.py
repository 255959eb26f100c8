"""The libraries themselves: what is lazy stays so, and models say what they are and were fitted to."""

from __future__ import annotations

import threading

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from imported_later import Later

from rsql_magic.context import describe, gather

dask, dd, gpd = map(Later, ("dask", "dask.dataframe", "geopandas"))
sm, smf = map(Later, ("statsmodels.api", "statsmodels.formula.api"))
compose, ensemble, linear_model, model_selection, pipeline, preprocessing, text_features = (
    Later(f"sklearn.{part}")
    for part in (
        *("compose", "ensemble", "linear_model", "model_selection", "pipeline", "preprocessing"),
        "feature_extraction.text",
    )
)
pytestmark = pytest.mark.slow

SALES = pd.DataFrame(
    {"region": list("NSEW") * 25, "amount": [n * 1.5 for n in range(100)], "units": range(100), "sold": [0, 1] * 50}
)
NUMBERS = SALES[["amount", "units"]]


def ran(*_):
    """What a description must never do."""
    raise AssertionError("the query was run")


def broken_dask():
    return dd.from_map(ran, [1, 2], meta=SALES.head(0))


def broken_polars():
    lazy = pl.LazyFrame(SALES)
    return lazy.map_batches(ran, schema=lazy.collect_schema())


LAZY = {
    "dask DataFrame, 4 columns (lazy: not collected)\n- region String\n- amount Float64": broken_dask,
    "dask Series, 1 column (lazy: not collected)\n- amount float64": lambda: broken_dask()["amount"],
    "dask Series, 1 column (lazy: not collected)\n- units int64": lambda: (
        broken_dask().groupby("region")[["units"]].sum()["units"]
    ),
    "polars LazyFrame, 4 columns (lazy: not collected)\n- region String": broken_polars,
    "polars LazyFrame, 2 columns (lazy: not collected)\n- region String\n- len UInt32": lambda: (
        broken_polars().group_by("region").agg(pl.len())
    ),
    "DuckDB relation, 2 columns (lazy: not collected)\n- region VARCHAR\n- n INTEGER": lambda: duckdb.sql(
        "SELECT error('the query was run')::VARCHAR AS region, 1 AS n"
    ),
}


@pytest.mark.parametrize(("text", "make"), LAZY.items())
@pytest.mark.parametrize("level", ["names", "stats", "sample"])
def test_what_is_lazy_is_not_collected(text, make, level):
    frame = make()
    assert describe(frame, "sales", level).startswith(f"sales: {text}")
    asked = gather("What is the mean amount by region of sales?", {"sales": frame}, level=level, r=False)
    assert "not read" not in asked.text


def test_the_lazy_ones_above_do_raise_when_they_are_run():
    with pytest.raises(AssertionError, match="was run"), dask.config.set(scheduler="synchronous"):
        broken_dask().compute()
    with pytest.raises((pl.exceptions.PolarsError, AssertionError), match="was run"):
        broken_polars().collect()
    with pytest.raises(duckdb.Error, match="was run"):
        duckdb.sql("SELECT error('the query was run')").fetchall()


def test_a_geographic_frame_is_read_like_any_other():
    places = gpd.GeoDataFrame(SALES, geometry=gpd.points_from_xy(range(100), [52.5] * 100), crs="EPSG:4326")
    assert describe(places, "places").splitlines() == [
        "places: geopandas GeoDataFrame, 100 rows × 5 columns",
        "- region str: values: 'N', 'S', 'E', 'W'",
        "- amount float64: 0..≈148",
        "- units int64: 0..99; unique",
        "- sold int64: 0..1; 2 distinct",
        "- geometry geometry",
    ]
    assert "52.5" not in describe(places.geometry, "where")
    assert "geopandas GeoSeries, 100 rows" in describe(places.geometry, "where")


@pytest.mark.parametrize("make", [pa.table, lambda frame: pa.table(frame).to_batches()[0]], ids=["table", "batch"])
def test_arrow_is_read_where_it_is(make):
    text = describe(make(SALES), "sales")
    assert ", 100 rows × 4 columns\n- region String: values: 'N', 'S', 'E', 'W'\n- amount Float64: 0..≈148" in text
    assert "unique" in text


def test_arrows_notes_are_said():
    fields = [pa.field("kg", pa.float64(), metadata={"description": "Body weight", "unit": "kg"})]
    assert "[kg]; Body weight" in describe(pa.table({"kg": [1.0] * 9}, schema=pa.schema(fields)), "t")


MODELS = {
    "sklearn LinearRegression, not fitted; parameters copy_X=True": lambda: linear_model.LinearRegression(),  # noqa: PLW0108 - it would be imported
    "sklearn RandomForestClassifier, fitted; parameters": lambda: ensemble.RandomForestClassifier(n_estimators=2).fit(
        NUMBERS, SALES.sold
    ),
    "sklearn Pipeline, fitted; of StandardScaler, LogisticRegression; parameters verbose=False; features a": (
        lambda: pipeline.make_pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression()).fit(
            NUMBERS, SALES.sold
        )
    ),
    "sklearn Pipeline, not fitted; of StandardScaler, LogisticRegression": lambda: pipeline.make_pipeline(
        preprocessing.StandardScaler(), linear_model.LogisticRegression()
    ),
    "sklearn GridSearchCV, not fitted; of LogisticRegression": lambda: model_selection.GridSearchCV(
        linear_model.LogisticRegression(), {"C": [1]}
    ),
    "sklearn ColumnTransformer, fitted; of OneHotEncoder, StandardScaler": lambda: compose.make_column_transformer(
        (preprocessing.OneHotEncoder(), ["region"]), (preprocessing.StandardScaler(), ["amount"])
    ).fit(SALES),
    "statsmodels OLS, not fitted; formula amount ~ units": lambda: smf.ols("amount ~ units", SALES),
    "statsmodels OLS, not fitted": lambda: sm.OLS(SALES.sold, NUMBERS),
    "statsmodels RegressionResultsWrapper of OLS, fitted; coefficients units": lambda: sm.OLS(
        SALES.sold, NUMBERS[["units"]]
    ).fit(),
    "statsmodels GLMResultsWrapper of GLM, fitted; formula sold ~ units; coefficients Intercept, units": lambda: (
        smf.glm("sold ~ units", SALES, family=sm.families.Binomial()).fit()
    ),
    "statsmodels RegressionResultsWrapper of OLS, fitted; formula amount ~ C(region); coefficients Intercept, C(": (
        lambda: smf.ols("amount ~ C(region)", SALES).fit()
    ),
}


@pytest.mark.parametrize(("text", "make"), MODELS.items())
def test_a_model_says_what_it_is(text, make):
    assert describe(make(), "m").startswith(f"m: {text}")


def test_what_a_model_was_fitted_to_may_be_values():
    people = [f"{first}{second} Person" for first in "ABCDEFGHIJ" for second in "klmnopqrst"]
    visits = pd.DataFrame({"patient": people, "diagnosis": ["flu"] * 97 + ["kuru"] * 3, "weight": range(100)})
    spread = pd.get_dummies(visits[["patient", "diagnosis"]])
    held = {
        "model": linear_model.LinearRegression().fit(spread, visits.weight),
        "result": sm.OLS(visits.weight, spread[["diagnosis_flu", "diagnosis_kuru"]].astype(float)).fit(),
        "words": text_features.CountVectorizer().fit(visits.patient),
        "encoder": preprocessing.OneHotEncoder().fit(visits[["patient"]]),
    }
    for session in (held, {**held, "spread": spread}, {**held, "visits": visits}):
        text = gather("", session, budget=20_000, r=False).text
        assert "kuru" not in text
        assert "Person" not in text
    assert "features patient_* (100 columns)" in describe(held["model"], "model", namespace=held)


def test_a_model_is_read_away_from_the_main_thread():
    texts = []
    thread = threading.Thread(
        target=lambda: texts.append(gather("", {"m": linear_model.LinearRegression()}, r=False).text)
    )
    thread.start()
    thread.join()
    assert "not fitted" in texts[0]
