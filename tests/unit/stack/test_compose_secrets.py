"""`make secrets`: fills .env for docker-compose.yml, once."""

import base64
import re
import stat
import subprocess
import sys

import pytest

from stack import compose_secrets
from stack.config import REPO, read_env_file
from stack.errors import StackError

NAMES = set(compose_secrets.wanted())


def test_every_secret_is_made_for_its_owner_alone(tmp_path):
    path = tmp_path / ".env"
    made = compose_secrets.ensure(path)
    values = read_env_file(path)
    assert set(made) == set(values) == NAMES
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(set(values.values())) == len(values)
    assert min(len(value) for name, value in values.items() if not name.endswith("KAFKA_CLUSTER_ID")) >= 44
    assert len(base64.urlsafe_b64decode(values["ATALAYA_SECRET_AIRFLOW_FERNET"])) == 32


def test_second_time_changes_nothing(tmp_path):
    path = tmp_path / ".env"
    compose_secrets.ensure(path)
    before = path.read_bytes()
    assert compose_secrets.ensure(path) == []
    assert path.read_bytes() == before


def test_only_what_is_missing_is_filled_in(tmp_path):
    path = tmp_path / ".env"
    path.write_text(
        "# mine\nCONSOLE_DATA_DIR=/data\nATALAYA_SECRET_REDIS=kept\n\nexport ATALAYA_SECRET_KAFKA=kept too\n"
        "ATALAYA_SECRET_SPARK=\nATALAYA_SECRET_MLFLOW=''\n#ATALAYA_SECRET_S3=a comment"
    )
    path.chmod(0o644)
    made = compose_secrets.ensure(path)
    lines = path.read_text().splitlines()
    assert set(made) == NAMES - {"ATALAYA_SECRET_REDIS", "ATALAYA_SECRET_KAFKA"}
    assert lines[:5] == [
        "# mine",
        "CONSOLE_DATA_DIR=/data",
        "ATALAYA_SECRET_REDIS=kept",
        "",
        "export ATALAYA_SECRET_KAFKA=kept too",
    ]
    assert [line.partition("=")[0] for line in lines[5:8]] == [
        "ATALAYA_SECRET_SPARK",
        "ATALAYA_SECRET_MLFLOW",
        "#ATALAYA_SECRET_S3",
    ]
    assert all(len(line.partition("=")[2]) >= 64 for line in lines[5:7])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_stays_one(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    path = tmp_path / ".env"
    path.symlink_to(tmp_path / "elsewhere" / "env")
    compose_secrets.ensure(path)
    assert path.is_symlink()
    assert set(read_env_file(tmp_path / "elsewhere" / "env")) == NAMES


def test_name_that_stands_there_twice_is_refused(tmp_path):
    (tmp_path / ".env").write_text("ATALAYA_SECRET_S3=a\n\nATALAYA_SECRET_S3=b\n")
    with pytest.raises(StackError, match="ATALAYA_SECRET_S3 stands there twice, in lines 1 and 3"):
        compose_secrets.ensure(tmp_path / ".env")


def test_folder_in_its_place_is_named_without_a_traceback(tmp_path, capsys):
    (tmp_path / ".env").mkdir()
    assert compose_secrets.main(tmp_path / ".env") == 1
    assert f"{tmp_path}/.env: " in capsys.readouterr().err


def test_two_at_once_agree(tmp_path):
    code = "import sys, pathlib, stack.compose_secrets as it; it.ensure(pathlib.Path(sys.argv[1]))"
    argv = [sys.executable, "-c", code, str(tmp_path / ".env")]
    both = [subprocess.Popen(argv, cwd=REPO) for _ in range(2)]
    assert [one.wait(30) for one in both] == [0, 0]
    assert len((tmp_path / ".env").read_text().splitlines()) == len(NAMES) + 1
    assert compose_secrets.ensure(tmp_path / ".env") == []


def test_nothing_that_it_says_is_a_secret(tmp_path, capsys):
    assert compose_secrets.main(tmp_path / ".env") == 0
    said = capsys.readouterr()
    values = read_env_file(tmp_path / ".env").values()
    assert not any(value in said.out + said.err for value in values)


@pytest.mark.parametrize("odd", ["a@b", "a%40b", "a/b", "a#b", 'a"b', "a\\b", "a$b", "a b", "año"])
@pytest.mark.parametrize(
    "name", ["REDIS", "FEATURES", "DATABASE_CONSOLE", "DATABASE_AIRFLOW", "AIRFLOW_ADMIN"]
)
def test_a_password_that_breaks_what_it_goes_into_is_refused_by_name(tmp_path, capsys, name, odd):
    text = f"ATALAYA_SECRET_{name}='{odd}'\nATALAYA_SECRET_S3=all right # a comment\n"
    (tmp_path / ".env").write_text(text)
    assert compose_secrets.main(tmp_path / ".env") == 1
    said = capsys.readouterr().err
    assert f"ATALAYA_SECRET_{name} holds" in said
    assert odd not in said
    assert (tmp_path / ".env").read_text() == text


def test_redis_takes_the_signs_that_are_fine_here():
    """Such as those at the end of base64: it starts before anybody could say what is wrong."""
    assert compose_secrets.fault({"ATALAYA_SECRET_REDIS": "aB3+x=="}) == ""
    refused = re.search(r"\*\[!(.+)\]\*\)", (REPO / "deploy/compose/redis.sh").read_text())
    assert f"[{refused[1]}]*" == compose_secrets.PLAIN.pattern


def test_a_password_of_kafka_may_hold_what_json_takes():
    """Those of hosted services are long texts with all sorts of signs."""
    name = "ATALAYA_SECRET_KAFKA"
    assert compose_secrets.fault({name: "Endpoint=sb://a.example/;Key=a+b/c="}) == ""
    for odd in ('a"b', "a\\b"):
        assert name in compose_secrets.fault({name: odd})


@pytest.mark.parametrize(
    ("outside", "name"),
    [
        ({"ATALAYA_BUNDLED_REDIS": "0"}, "ATALAYA_SECRET_REDIS"),
        ({"ATALAYA_POSTGRES_ADMIN": ""}, "ATALAYA_SECRET_DATABASE_CONSOLE"),
    ],
)
def test_a_password_that_somebody_else_made_may_be_written_as_addresses_have_it(tmp_path, outside, name):
    given = {**outside, name: "p%40ss+a/b=".replace("/", "%2F")}
    assert compose_secrets.fault(given) == ""
    assert name in compose_secrets.fault({**given, name: "p@ss"})
    assert "%40 stands for @" in compose_secrets.fault({**given, name: "p%4"})
    assert name in compose_secrets.fault({name: "p%40ss"}), "where we set it ourselves, it would be another"
    (tmp_path / ".env").write_text("".join(f"{key}={value}\n" for key, value in given.items()))
    assert compose_secrets.main(tmp_path / ".env") == 0


def test_whatever_is_made_is_fine():
    assert compose_secrets.fault(compose_secrets.wanted()) == ""
    assert compose_secrets.fault({}) == ""


def test_what_is_quoted_or_has_a_comment_is_read_as_compose_does(tmp_path):
    lines = [
        "ATALAYA_SECRET_REDIS=abc # mine",
        'ATALAYA_SECRET_FEATURES="d.e_f"',
        "ATALAYA_SECRET_SPARK='g-h~'",
    ]
    (tmp_path / ".env").write_text("\n".join(lines))
    compose_secrets.ensure(tmp_path / ".env")
    assert (tmp_path / ".env").read_text().splitlines()[:3] == lines
