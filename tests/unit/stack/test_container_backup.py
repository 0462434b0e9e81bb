"""The recipe of docs/containers.md for backup and restore: what it calls is there, and told what it needs."""

import re
import shlex

import psycopg2
import pytest
import yaml

from core.lib import secret_files
from stack import compose_setup, databases, outside, throwaway
from stack.config import REPO

TEXT = (REPO / "docs" / "containers.md").read_text()
SECTION = TEXT.partition("\n## Backup and restore\n")[2].partition("\n## ")[0]
BACKUP, RESTORE = re.findall(r"^```sh\n(.*?)^```$", SECTION, re.M | re.S)
OWNER_AND_TABLES = """
SELECT pg_get_userbyid(datdba), (SELECT count(*) FROM pg_tables WHERE schemaname = 'public')
FROM pg_database WHERE datname = current_database()
"""
SETUP = yaml.safe_load((REPO / "docker-compose.yml").read_text())["services"]["setup"]


@pytest.mark.parametrize(("script", "command"), [(BACKUP, "backup"), (RESTORE, "restore")])
def test_the_recipe_calls_what_there_is(script, command, monkeypatch):
    called = []
    monkeypatch.setitem(outside.COMMANDS, command, lambda path: called.append(str(path)))
    (line,) = (shlex.split(line) for line in script.splitlines() if "stack.outside" in line)
    service = line.index("setup")
    assert line[:4] == ["docker", "compose", "run", "--rm"]
    assert line[service + 1 : service + 4] == ["python", "-m", "stack.outside"]
    assert outside.main(line[service + 4 :]) == 0
    mounted = line[line.index("-v") + 1].split(":")[1]
    assert called == [f"{mounted}/monday.zip"]


def test_setup_is_told_what_a_backup_goes_by():
    told = SETUP["environment"]
    assert {*outside.DATABASES.values(), *outside.MINE, outside.ARTIFACTS} <= told.keys()
    assert {"CONSOLE_REDIS_URL", "CONSOLE_KAFKA_BOOTSTRAP", "CONSOLE_KAFKA_CONFIG"} <= told.keys()
    assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "MLFLOW_S3_ENDPOINT_URL"} <= told.keys()
    assert "output:/var/lib/atalaya/output" in SETUP["volumes"]
    assert "CONSOLE_OUTPUT_DIR=/var/lib/atalaya/output" in (REPO / "Dockerfile").read_text()
    mlflow = yaml.safe_load((REPO / "docker-compose.yml").read_text())["services"]["mlflow"]["environment"]
    assert told[outside.ARTIFACTS] == mlflow["MLFLOW_ARTIFACTS_DESTINATION"]
    assert set(outside.MINE) <= set(secret_files.SETTINGS)


def test_databases_are_made_for_a_restore_and_nothing_in_them(monkeypatch):
    with throwaway.server(databases=()) as url:
        monkeypatch.setattr(compose_setup, "admin_url", lambda _environ: url.format(database="postgres"))
        said = {f"ATALAYA_SECRET_DATABASE_{name.upper()}": "a-password" for name in databases.NAMES}
        assert compose_setup.main(said, is_whole=False) == 0
        for name in databases.NAMES:
            connection = psycopg2.connect(url.format(database=name))
            with connection.cursor() as cursor:
                cursor.execute(OWNER_AND_TABLES)
                assert cursor.fetchone() == (name, 0)
            connection.close()
