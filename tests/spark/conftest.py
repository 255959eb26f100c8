"""A real Spark: a cluster of two worker processes on this machine, whose driver is a Spark Connect server as well."""

from __future__ import annotations

import os
import socket
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path

import pytest

PACKAGES = Path(__file__).parents[2] / "build" / "spark"
SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "OFF",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.session.timeZone": "Europe/Vienna",
    "spark.plugins": "org.apache.spark.sql.connect.SparkConnectPlugin",
    "spark.connect.grpc.binding.address": "127.0.0.1",
}


@contextmanager
def quietly():
    """Spark 4.3 warns of pandas 3 where it is imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextmanager
def driver(folder, port, master="local-cluster[2,1,1024]"):
    """A classic session; its driver serves Spark Connect at a port."""
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    sys.path[:0] = [str(PACKAGES)] * (str(PACKAGES) not in sys.path)
    with quietly():
        from pyspark.sql import SparkSession

        builder = SparkSession.builder.master(master).config("spark.sql.warehouse.dir", str(folder))
        for name, value in {**SETTINGS, "spark.connect.grpc.binding.port": str(port)}.items():
            builder = builder.config(name, value)
        session = builder.getOrCreate()
    try:
        yield session
    finally:
        session.stop()


@pytest.fixture(scope="session")
def classic(tmp_path_factory):
    """A session whose driver runs beside this process."""
    with driver(tmp_path_factory.mktemp("warehouse"), free_port()) as session:
        yield session


@pytest.fixture(scope="session")
def address(classic):
    """Where the same driver serves Spark Connect."""
    return f"sc://127.0.0.1:{classic.conf.get('spark.connect.grpc.binding.port')}"


@pytest.fixture(scope="session")
def connect(address):
    """A session of Spark Connect on the same cluster, with temporary views of its own."""
    with quietly():
        from pyspark.sql.connect.session import SparkSession

        session = SparkSession.builder.remote(address).create()
    yield session
    session.stop()
