"""The stack's databases on a PostgreSQL that others manage: its administrator is no superuser."""

from collections.abc import Iterator

import psycopg2
import pytest
from psycopg2 import errors

from stack import databases, throwaway

PASSWORDS = {name: f"of {name}" for name in databases.NAMES}
FOUND = """
SELECT datname, pg_get_userbyid(datdba), has_database_privilege('console', oid, 'CONNECT')
FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres'
"""


@pytest.fixture
def server() -> Iterator[str]:
    with throwaway.server(databases=()) as url:
        yield url


def connected(
    url: str, *, database: str = "postgres", user: str = "postgres"
) -> psycopg2.extensions.connection:
    connection = psycopg2.connect(url.format(database=database).replace("postgres@", f"{user}@"))
    connection.autocommit = True
    return connection


def test_an_administrator_without_all_rights_makes_the_databases_and_changes_passwords(server: str):
    with connected(server).cursor() as cursor:
        cursor.execute("CREATE ROLE managed LOGIN CREATEROLE CREATEDB")
    for _start in range(2):
        databases.ensure_in(connected(server, user="managed"), PASSWORDS)
    with connected(server).cursor() as cursor:
        cursor.execute(FOUND)
        assert set(cursor.fetchall()) == {(name, name, name == "console") for name in databases.NAMES}
        cursor.execute("SELECT bool_or(rolsuper) FROM pg_roles WHERE rolname = ANY(%s)", [list(PASSWORDS)])
        assert cursor.fetchone() == (False,)
    with connected(server, database="usecases", user="usecases").cursor() as cursor:
        cursor.execute("CREATE TABLE mine ()")


def test_the_superuser_becomes_no_member_of_the_owners(server: str):
    databases.ensure_in(connected(server), PASSWORDS)
    with connected(server).cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_auth_members WHERE roleid = 'console'::regrole")
        assert cursor.fetchone() == (0,)


def test_an_administrator_who_may_make_no_roles_is_refused_in_postgresqls_words(server: str):
    with connected(server).cursor() as cursor:
        cursor.execute("CREATE ROLE nobody LOGIN CREATEDB")
    with pytest.raises(errors.InsufficientPrivilege, match="permission denied to create role"):
        databases.ensure_in(connected(server, user="nobody"), PASSWORDS)
