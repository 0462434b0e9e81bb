"""What runs in the images beside the product: health check, two programs in one container, setup."""

import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from django.conf import settings as django_settings
from psycopg2.extensions import parse_dsn

from core.lib import heartbeat
from stack import compose_setup, set_up_console
from stack.config import REPO
from stack.errors import StackError

IMAGE = REPO / "deploy" / "image"


def healthy(folder, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-IS", IMAGE / "healthy.py", *arguments],
        env={"CONSOLE_HEARTBEAT_DIR": str(folder)},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout.strip()


@pytest.fixture
def server():
    """Answers with the status that its path names."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(int(self.path[1:]))
            self.end_headers()

        def log_message(self, *_args):
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{made.server_port}"
        made.shutdown()
        thread.join()


def test_part_with_http_is_asked(server, tmp_path):
    assert healthy(tmp_path / "none", f"{server}/200") == (0, "healthy")
    assert healthy(tmp_path / "none", f"{server}/503") == (1, "HTTP Error 503: Service Unavailable")


def test_part_that_does_not_listen_is_not_healthy(tmp_path):
    status, said = healthy(tmp_path / "none", "http://127.0.0.1:9/livez")
    assert (status, "refused" in said) == (1, True)


def test_every_sign_of_life_must_be_fresh(tmp_path):
    assert healthy(tmp_path)[0] == 1
    for name in ("watch", "worker"):
        (tmp_path / name).touch()
    assert healthy(tmp_path) == (0, "healthy")
    old = time.time() - 60
    os.utime(tmp_path / "watch", (old, old))
    status, said = healthy(tmp_path)
    assert (status, "watch (for 6" in said, "worker" in said) == (1, True, False)


def test_part_leaves_a_sign_of_life_though_redis_is_away(settings, tmp_path):
    settings.CONSOLE_HEARTBEAT_DIR = tmp_path / "alive"
    heartbeat.try_beat("recorder")  # no Redis answers in unit tests
    assert [path.name for path in (tmp_path / "alive").iterdir()] == ["recorder"]
    assert healthy(tmp_path / "alive") == (0, "healthy")


def test_sign_of_life_that_cannot_be_written_stops_nothing(settings, tmp_path):
    (tmp_path / "file").touch()
    settings.CONSOLE_HEARTBEAT_DIR = tmp_path / "file" / "alive"
    heartbeat.try_beat("recorder")
    assert not (tmp_path / "file").is_dir()


def together(one: str, other: str) -> subprocess.Popen:
    script = [sys.executable, "-c"]
    return subprocess.Popen([sys.executable, IMAGE / "together.py", *script, one, "--", *script, other])


WAITS = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); signal.pause()"


@pytest.mark.parametrize(
    ("ends", "status"), [("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 9)", 137)]
)
def test_when_one_program_ends_so_do_both(ends: str, status: int):
    assert together("import time; time.sleep(0.5);" + ends, WAITS).wait(20) == status
    assert together(WAITS, "import time; time.sleep(0.5);" + ends).wait(20) == status


def test_both_are_told_to_end(tmp_path):
    def says(name: str) -> str:
        start = f"import pathlib; pathlib.Path({str(tmp_path / name)!r}).touch();"
        end = f"lambda *_: (pathlib.Path({str(tmp_path / name)!r}).unlink(), sys.exit(0))"
        return f"import signal, sys; signal.signal(signal.SIGTERM, {end}); {start} signal.pause()".replace(
            "import signal", "import pathlib, signal", 1
        )

    program = together(says("one"), says("other"))
    deadline = time.monotonic() + 20
    while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(list(tmp_path.iterdir())) == 2
    program.send_signal(signal.SIGTERM)
    assert program.wait(20) == 0
    assert list(tmp_path.iterdir()) == []


# --- the proxy


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("a.example.org,b.example.org", "a.example.org, b.example.org"),
        ("a.example.org, b.example.org", "a.example.org, b.example.org"),
        (" a.example.org ,b.example.org,", "a.example.org, b.example.org"),
        ("localhost", "localhost"),
        ("", "localhost"),
    ],
)
def test_caddy_is_told_several_names_as_its_file_wants_them(tmp_path, said, told):
    """A comma without a space is part of a name to it, and it ends at once."""
    caddy = tmp_path / "caddy"
    caddy.write_text('#!/bin/sh\nprintf %s "$ATALAYA_HOSTS"\n')
    caddy.chmod(0o755)
    done = subprocess.run(
        ["sh", REPO / "deploy/compose/caddy.sh"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "ATALAYA_HOSTS": said},
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == (told, "")


# --- setup

PASSWORDS = {f"ATALAYA_SECRET_DATABASE_{name}": "p" for name in ("CONSOLE", "USECASES", "AIRFLOW", "MLFLOW")}


def test_database_without_a_password_is_refused():
    assert set(compose_setup.passwords(PASSWORDS)) == {"console", "usecases", "airflow", "mlflow"}
    with pytest.raises(StackError, match=r"database airflow: run `make secrets`"):
        compose_setup.passwords(PASSWORDS | {"ATALAYA_SECRET_DATABASE_AIRFLOW": ""})


def test_password_that_breaks_an_address_is_refused_before_anything_is_asked(capsys):
    assert compose_setup.main(PASSWORDS | {"ATALAYA_SECRET_REDIS": "a@b"}) == 1
    assert "ATALAYA_SECRET_REDIS holds" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("redis.sh", {"REDIS_PASSWORD": "a b", "FEATURES_PASSWORD": "c"}),
        ("redis.sh", {"REDIS_PASSWORD": "a", "FEATURES_PASSWORD": "c>d"}),
        (
            "kafka.sh",
            {"KAFKA_USER": "u", "KAFKA_PASSWORD": 'a"b', "KAFKA_CLUSTER_ID": "i", "KAFKA_DATA": "/nowhere"},
        ),
    ],
)
def test_server_whose_password_would_break_its_file_says_which(script, told):
    """It starts before setup, which waits for it."""
    done = subprocess.run(
        ["sh", REPO / "deploy" / "compose" / script],
        env={"PATH": "/usr/bin:/bin", **told},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "ATALAYA_SECRET_" in done.stderr


def test_without_an_admin_no_database_is_made():
    address = {"ATALAYA_POSTGRES": "db:5432", "ATALAYA_SECRET_POSTGRES": "a/b@c"}
    assert compose_setup.admin_url(address) == ""
    told = compose_setup.admin_url(address | {"ATALAYA_POSTGRES_ADMIN": "root"})
    assert told == "postgresql://root:a%2Fb%40c@db:5432/postgres"


def test_the_admins_address_has_any_name_and_the_words_of_the_others():
    told = compose_setup.admin_url(
        {
            "ATALAYA_POSTGRES": "db.example.org:5432",
            "ATALAYA_POSTGRES_ADMIN": "ana@db",
            "ATALAYA_SECRET_POSTGRES": "p",
            "ATALAYA_POSTGRES_OPTIONS": "?sslmode=verify-full&sslrootcert=/etc/ca.pem",
        }
    )
    parts = parse_dsn(told)
    assert (parts["user"], parts["host"], parts["port"]) == ("ana@db", "db.example.org", "5432")
    assert (parts["sslmode"], parts["sslrootcert"]) == ("verify-full", "/etc/ca.pem")


def test_server_that_does_not_answer_is_named(monkeypatch, capsys):
    monkeypatch.setattr(compose_setup, "PATIENCE_S", 0.0)
    environ = {"CONSOLE_DATABASE_URL": "postgresql://console:hidden@127.0.0.1:3/console"}
    assert compose_setup.main(environ) == 1
    said = capsys.readouterr().err
    assert "PostgreSQL does not let setup in" in said
    assert "hidden" not in said


def test_two_setups_at_once_come_one_after_the_other(transactional_db, monkeypatch):
    inside: list[int] = []
    most: list[int] = []

    def run() -> tuple[str, bool]:
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.2)
        inside.pop()
        return "", True

    monkeypatch.setattr(set_up_console, "run", run)
    database = django_settings.DATABASES["default"]
    url = f"postgresql://{database['USER']}@/postgres?host={database['HOST']}&port={database['PORT']}"
    both = [threading.Thread(target=compose_setup.main, args=({"CONSOLE_DATABASE_URL": url},)) for _ in "ab"]
    for one in both:
        one.start()
    for one in both:
        one.join(20)
    assert most == [1, 1]


def test_databases_and_owners_are_made_once(transactional_db):
    """On the tests' own server; names that nothing else has."""
    database = django_settings.DATABASES["default"]
    url = f"postgresql://{database['USER']}@/postgres?host={database['HOST']}&port={database['PORT']}"
    names = ("setup_one", "setup_two")
    try:
        for password in ("first", "second"):
            compose_setup._ensure_databases(url, dict.fromkeys(names, password))
        connection = compose_setup._connected(url)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT datname, pg_get_userbyid(datdba) FROM pg_database WHERE datname = ANY(%s)",
                [list(names)],
            )
            assert sorted(cursor.fetchall()) == [(name, name) for name in names]
        connection.close()
    finally:
        connection = compose_setup._connected(url)
        connection.autocommit = True
        with connection.cursor() as cursor:
            for name in names:
                cursor.execute(f"DROP DATABASE IF EXISTS {name}")
                cursor.execute(f"DROP ROLE IF EXISTS {name}")
        connection.close()
