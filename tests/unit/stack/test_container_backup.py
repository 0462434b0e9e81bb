"""The recipe of docs/containers.md for backup and restore: what it says to PostgreSQL, said to one."""

import os
import re
import subprocess

import psycopg2
import pytest

from stack import databases, postgres, throwaway
from stack.config import REPO

TEXT = (REPO / "docs" / "containers.md").read_text()
SECTION = TEXT.partition("\n## Backup and restore\n")[2].partition("\n## ")[0]
BACKUP, RESTORE = re.findall(r"^```sh\n(.*?)^```$", SECTION, re.M | re.S)
# What runs inside the container of PostgreSQL runs here; the rest of Docker does nothing.
DOCKER = """
docker() {
  [ "$2 ${3-} ${4-}" = "exec -T postgres" ] || return 0
  shift 4
  "$@"
}
"""


@pytest.fixture(scope="module")
def server():
    with throwaway.server(databases=()) as url:
        yield url


def run(server: str, script: str, folder) -> None:
    environ = {
        "PATH": f"{postgres.binaries()}:{os.environ['PATH']}",
        "PGHOST": server.rpartition("=")[2],
    }
    done = subprocess.run(
        ["sh", "-euc", DOCKER + script], cwd=folder, env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "ERROR" not in done.stderr  # notices only, of what was dropped


def ask(server: str, name: str, statement: str) -> list[tuple]:
    connection = psycopg2.connect(server.format(database=name))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(statement)
        found = cursor.fetchall() if cursor.description else []
    connection.close()
    return found


def test_what_was_backed_up_comes_back_to_its_owners_and_nothing_else_stays(server, tmp_path):
    owners = dict.fromkeys(databases.NAMES, "a password")
    connection = psycopg2.connect(server.format(database="postgres"))
    databases.ensure_in(connection, owners)
    connection.close()
    for name in owners:
        ask(server, name, f"SET ROLE {name}; CREATE TABLE kept AS SELECT '{name}' AS name")
    dead = "streaming_deadletter (dead_partition int, dead_offset bigint)"
    ask(
        server,
        "console",
        f"SET ROLE console; CREATE TABLE {dead}; INSERT INTO streaming_deadletter VALUES (0, 7)",
    )
    (tmp_path / ".env").write_text("")
    run(server, BACKUP, tmp_path)
    for name in owners:
        ask(server, name, f"SET ROLE {name}; DROP TABLE kept; CREATE TABLE later (id int)")
    run(server, RESTORE, tmp_path)
    for name in owners:
        assert ask(server, name, "SELECT name FROM kept") == [(name,)]
        found = ask(
            server, name, "SELECT tablename, tableowner FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        )
        assert ("kept", name) in found
        assert ("later", name) not in found
        ask(server, name, f"SET ROLE {name}; CREATE TABLE more (id int)")  # as a migration does
    assert ask(server, "console", "SELECT * FROM streaming_deadletter") == [(None, None)]
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "backups").iterdir()}
    assert set(modes.values()) == {0o600}


def test_every_database_is_in_the_recipe_in_the_order_of_make_backup():
    order = ["console", "usecases", "airflow", "mlflow"]
    assert set(order) == set(databases.NAMES)
    for script in (BACKUP, RESTORE):
        assert re.findall(r"for name in (.*); do", script) == [" ".join(order)]
