import configparser
import json
import shlex
import socket
import stat

import pytest

from stack import account, catalogue, config, demonstration, ports, report, spark_cluster, supervisor
from stack.errors import StackError
from stack.health import Standing


def site(folder, **more: str) -> config.Config:
    made = config.from_environment({"CONSOLE_VAR_DIR": str(folder), **more}, dotenv=folder / ".env")
    made.run_dir.mkdir(parents=True)
    return made


def test_file_survives_spaces_and_percent_signs_in_paths(tmp_path):
    made = site(tmp_path / "100 % mine", CONSOLE_VENV_DIR=str(tmp_path / "my venv"))
    supervisor.write_file(made, catalogue.PARTS.values())
    parser = configparser.ConfigParser()
    parser.read(made.run_dir / "supervisord.conf")
    command = shlex.split(parser["program:web"]["command"])
    assert command == [str(tmp_path / "my venv/console/bin/python"), "-m", "stack.run", "web"]
    assert parser["supervisord"]["logfile"] == str(tmp_path / "100 % mine" / "logs" / "supervisord.log")


def test_postgres_is_stopped_without_waiting_for_its_clients(tmp_path):
    made = site(tmp_path)
    supervisor.write_file(made, catalogue.PARTS.values())
    assert "[program:postgres]" in (text := (made.run_dir / "supervisord.conf").read_text())
    assert "stopsignal=INT" in text.split("[program:postgres]")[1].split("[program:")[0]


def test_socket_goes_elsewhere_when_its_path_is_too_long(tmp_path):
    short, long = site(tmp_path / "s"), site(tmp_path / ("long" * 30))
    assert supervisor.socket_path(short) == short.run_dir / "supervisor.sock"
    elsewhere = supervisor.socket_path(long)
    assert len(str(elsewhere)) < supervisor.SOCKET_PATH_LIMIT
    assert stat.S_IMODE(elsewhere.parent.stat().st_mode) == 0o700
    elsewhere.parent.rmdir()


def test_supervisor_that_is_not_there_has_no_states(tmp_path):
    made = site(tmp_path)
    assert not supervisor.is_running(made)
    assert supervisor.states(made) == {}
    assert supervisor.pid(made) is None


def test_taken_ports_are_all_named(tmp_path):
    made = site(tmp_path, CONSOLE_PORT_BASE="18200")
    with socket.create_server(("127.0.0.1", 18200)), socket.create_server(("127.0.0.1", 18213)):
        with pytest.raises(StackError, match=r"port 18200 \(web\)[^\n]*\n  port 18213 \(kafka-controller\)"):
            ports.require_free(made, catalogue.PARTS.values())
        ports.require_free(made, catalogue.find("postgres", "redis"))


def test_unknown_part_is_answered_with_the_known_ones(tmp_path):
    made = site(tmp_path)
    with pytest.raises(StackError, match=r"no part spark.*postgres, redis, kafka"):
        catalogue.chosen("web,spark", made)
    assert [part.name for part in catalogue.chosen("web,redis", made)] == ["redis", "web"]


def test_a_spark_cluster_is_there_where_it_is_asked_for(tmp_path):
    assert "spark-master" not in {part.name for part in catalogue.chosen(None, site(tmp_path / "without"))}
    made = site(tmp_path / "with", SPARK_CLUSTER="1")
    names = [part.name for part in catalogue.chosen(None, made)]
    assert names[-2:] == ["spark-master", "spark-worker"]
    known = spark_cluster.console_settings(made)
    target = json.loads(known["CONSOLE_SPARK_TARGETS"])["cluster"]
    assert target["master"] == f"spark://127.0.0.1:{made.port_base + 18}"
    spark_cluster.prepare(made)
    written = made.var_dir / "spark" / "spark.properties"
    assert written.stat().st_mode & 0o777 == 0o600
    assert known["CONSOLE_SPARK_AUTH_SECRET"] in written.read_text()
    assert spark_cluster.console_settings(site(tmp_path / "none")) == {}


def test_status_table_has_a_line_for_each_part():
    standings = [
        Standing("web", "healthy", "", 4711, 8000, 120 << 20, 3725.0),
        Standing("beat", "stopped", "not started", None, None, 0, 0.0),
    ]
    assert report.table(standings).splitlines() == [
        "part  health   pid   port  memory   uptime",
        "web   healthy  4711  8000  120 MiB  1h 02m",
        "beat  stopped                               not started",
    ]


def test_account_passes_folders_that_are_open_to_others(tmp_path, monkeypatch):
    nobody = account.pwd.struct_passwd(("nobody", "x", 65534, 65534, "", "/", ""))
    tmp_path.chmod(0o711)
    assert account._may_enter(tmp_path.stat(), nobody)
    tmp_path.chmod(0o700)
    assert not account._may_enter(tmp_path.stat(), nobody)
    assert account.can_reach(tmp_path / "data", None)


def test_an_errand_is_started_once_and_its_end_is_no_fault(tmp_path):
    made = site(tmp_path)
    supervisor.write_file(made, catalogue.PROGRAMS.values())
    parser = configparser.ConfigParser()
    parser.read(made.run_dir / "supervisord.conf")
    program = parser["program:demonstration"]
    assert (program["autostart"], program["autorestart"], program["startsecs"]) == ("false", "false", "0")
    assert parser["program:web"]["autorestart"] == "true"
    assert "demonstration" not in catalogue.PARTS


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (supervisor.State(True, 7, 1.0, "pid 7"), ("running", "running; 2 of 7  gate     …")),
        (supervisor.State(False, 0, 1.0, "exited"), ("done", "done")),
        (supervisor.State(False, 0, 1.0, "exited", 1), ("failed", "failed; 2 of 7  gate     …")),
    ],
)
def test_status_says_how_the_demonstration_is(tmp_path, monkeypatch, state, expected):
    made = site(tmp_path)
    made.logs_dir.mkdir()
    (made.logs_dir / "demonstration.log").write_text("1 of 7  train    …\n2 of 7  gate     …\n")
    monkeypatch.setattr(supervisor, "states", lambda _config: {"demonstration": state})
    about = demonstration.standing(made)
    assert (about.state, about.words) == expected


def test_a_demonstration_that_was_not_started_is_not_mentioned(tmp_path, monkeypatch):
    never = {"demonstration": supervisor.State(False, 0, 0.0, "Not started")}
    monkeypatch.setattr(supervisor, "states", lambda _config: never)
    assert demonstration.standing(site(tmp_path)) is None


@pytest.mark.parametrize(("said", "expected"), [("0", False), ("1", True)])
def test_demo_0_leaves_the_demonstration_out(tmp_path, said, expected):
    assert site(tmp_path, DEMO=said).has_demonstration is expected
