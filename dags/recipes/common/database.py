"""The database of the use cases, as pipelines meet it: plain SQL, each write of a step in one transaction.

The tables are made by `usecases/migrations`.
"""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg2
from psycopg2.extensions import connection as Connection

CONNECT_TIMEOUT_S = 10
STATEMENT_TIMEOUT_S = 300


class DatabaseMissing(Exception):
    """The environment does not say where the database of the use cases is."""


@contextmanager
def transaction() -> Iterator[Connection]:
    """A connection of its own; all or nothing of what the block writes is kept. Raises psycopg2.Error."""
    with closing(_connect()) as connection, connection:
        yield connection


def _connect() -> Connection:
    url = os.environ.get("ATALAYA_USECASES_URL")
    if not url:
        raise DatabaseMissing(
            "The environment of Airflow's tasks lacks ATALAYA_USECASES_URL; `make up` sets it."
        )
    options = f"-c statement_timeout={STATEMENT_TIMEOUT_S * 1000}"
    return psycopg2.connect(
        url, connect_timeout=CONNECT_TIMEOUT_S, application_name="atalaya pipelines", options=options
    )
