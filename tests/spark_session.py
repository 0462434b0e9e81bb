"""One small Spark for all tests of applications: `from tests.spark_session import *` in a conftest."""

import logging
import os
import sys
from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession

from jobs.spark_apps import running

__all__ = ["spark"]

# Rows are few: what Spark spends on planning and compiling for many is left out.
SMALL = {
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.memory": "512m",
    "spark.sql.shuffle.partitions": "1",
    **running.CONF,
}


@pytest.fixture(scope="session")
def spark(tmp_path_factory) -> Iterator[SparkSession]:
    """With a folder of its own for what it spills."""
    folder = tmp_path_factory.mktemp("spark")
    builder = SparkSession.builder.master("local[1]").config("spark.local.dir", str(folder / "local"))
    builder = builder.config("spark.sql.warehouse.dir", str(folder / "warehouse"))
    logging.getLogger("py4j").setLevel(logging.WARNING)  # it speaks when pytest has closed its ears already
    os.environ["PYSPARK_PYTHON"] = sys.executable  # workers run what the tests run
    session = builder.config(map=SMALL).getOrCreate()
    yield session
    session.stop()
