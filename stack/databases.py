"""The four databases of the stack, each with an owner and a password of its own; safe at every start."""

from collections.abc import Mapping

import psycopg2
from psycopg2 import sql

from stack.config import Config

NAMES = ("console", "airflow", "mlflow", "usecases")


def url(config: Config, name: str, *, scheme: str = "postgresql") -> str:
    """The address of one database as its owner; the secrets hold nothing that a URL would have to quote."""
    return (
        f"{scheme}://{name}:{config.secrets[f'database_{name}']}@127.0.0.1:{config.port('postgres')}/{name}"
    )


def connect(config: Config, *, timeout_s: int = 5) -> psycopg2.extensions.connection:
    """A connection as the superuser, who is needed for nothing but this and `make psql`."""
    return psycopg2.connect(
        host="127.0.0.1",
        port=config.port("postgres"),
        user="postgres",
        password=config.secrets["postgres"],
        dbname="postgres",
        connect_timeout=timeout_s,
    )


def ensure(config: Config) -> None:
    """Make the owners and databases that are missing, with the passwords of this stack."""
    connection = connect(config)
    try:
        ensure_in(connection, {name: config.secrets[f"database_{name}"] for name in NAMES})
    finally:
        connection.close()


def ensure_in(connection: psycopg2.extensions.connection, passwords: Mapping[str, str]) -> None:
    """Make the owners and databases that are missing; each database admits its owner alone.

    connection: of a superuser, or of an account with CREATEROLE and CREATEDB, which joins the owners' roles:
    PostgreSQL lets nobody else give databases away.
    passwords: by name of owner and database; owners that are there get them too.
    """
    connection.autocommit = True
    with connection.cursor() as cursor:
        for name, password in passwords.items():
            _ensure_owner(cursor, name, password)
            _ensure_database(cursor, name)


def _ensure_owner(cursor: psycopg2.extensions.cursor, name: str, password: str) -> None:
    cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name])
    verb = sql.SQL("ALTER" if cursor.fetchone() else "CREATE")
    statement = sql.SQL("{} ROLE {} LOGIN PASSWORD {}")  # a new one is no superuser
    cursor.execute(statement.format(verb, sql.Identifier(name), sql.Literal(password)))


def _ensure_database(cursor: psycopg2.extensions.cursor, name: str) -> None:
    cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
    if cursor.fetchone():
        return
    identifier = sql.Identifier(name)
    cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
    if cursor.fetchone() != (True,):
        cursor.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(identifier))
    cursor.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(identifier, identifier))
    cursor.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(identifier))
