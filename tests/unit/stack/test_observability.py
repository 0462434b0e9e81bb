"""Prometheus and Alertmanager of the stack: their files, where they listen, and a start of both."""

import json
import socket
import stat
import subprocess

import pytest
import yaml

from stack import airflow, base, catalogue, config, observability, panels, up
from stack.errors import StackError
from tests.observing import needs_programs, programs, running  # noqa: F401 - a fixture


def made(folder, **environ: str) -> config.Config:
    given = {"CONSOLE_VAR_DIR": str(folder / "a 'stack'"), "OBSERVE": "1", **environ}
    return config.from_environment(given, dotenv=folder / ".env")


@pytest.fixture
def found(monkeypatch):
    """Both programs, and no exporter, whether or not this machine has them."""
    has = {name for names in observability.NAMES.values() for name in names}
    monkeypatch.setattr(
        observability.shutil, "which", lambda name: f"/usr/bin/{name}" if name in has else None
    )
    return has


def read(site: config.Config, name: str) -> dict:
    path = site.var_dir / name / f"{name}.yml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return yaml.safe_load(path.read_text())


def test_nobody_has_them_who_does_not_ask(tmp_path):
    without = made(tmp_path, OBSERVE="0")
    assert catalogue.parts_of(without) == list(catalogue.PARTS.values())
    assert observability.console_settings(without) == {}
    observability.prepare(without)
    assert not without.var_dir.exists()


def test_who_asks_has_two_parts_more_on_ports_of_their_own(tmp_path, found):
    site = made(tmp_path)
    assert [part.name for part in catalogue.parts_of(site)][-2:] == ["prometheus", "alertmanager"]
    assert len(set(config.OFFSETS.values())) == len(config.OFFSETS)
    assert observability.console_settings(site) == {"CONSOLE_PROMETHEUS_URL": "http://127.0.0.1:8040"}


def test_a_machine_without_the_programs_is_told_how_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StackError, match=r"none on the PATH.*apt-get install .*prometheus-alertmanager"):
        observability.prepare(made(tmp_path))


def test_the_addresses_are_those_of_this_stack(tmp_path, found):
    site = made(tmp_path, CONSOLE_PORT_BASE="9000", CONSOLE_BIND="0.0.0.0")
    observability.prepare(site)
    prometheus = read(site, "prometheus")
    fixed = [job for job in prometheus["scrape_configs"] if "static_configs" in job]
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in fixed}
    files = json.loads((site.var_dir / "prometheus" / "airflow.json").read_text())
    assert files == [{"targets": []}]
    assert targets == {
        "console": ["127.0.0.1:9000"],
        "serving": ["127.0.0.1:9001"],
        "prometheus": ["127.0.0.1:9040"],
        "alertmanager": ["127.0.0.1:9041"],
    }
    told = prometheus["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]
    assert told == ["127.0.0.1:9041"]
    (webhook,) = read(site, "alertmanager")["receivers"][0]["webhook_configs"]
    assert webhook["url"] == "http://127.0.0.1:9000/api/v1/alerts/prometheus"
    token = webhook["http_config"]["authorization"]["credentials_file"]
    assert token == str(site.var_dir / "alertmanager" / "console_token")


def test_airflow_sends_its_metrics_where_there_is_an_exporter(tmp_path, found):
    without = made(tmp_path / "a")
    assert not any("STATSD" in name for name in airflow.environment(without))
    assert [part.name for part in catalogue.optional(without)] == ["prometheus", "alertmanager"]
    found.add("statsd_exporter")
    site = made(tmp_path / "b")
    observability.prepare(site)
    assert [part.name for part in catalogue.optional(site)][-1] == "airflow-metrics"
    (target,) = json.loads((site.var_dir / "prometheus" / "airflow.json").read_text())
    assert target == {"targets": ["127.0.0.1:8043"]}
    assert "--statsd.listen-udp=127.0.0.1:8042" in observability.EXPORTER.program(site).argv
    told = airflow.environment(site)
    assert (told["AIRFLOW__METRICS__STATSD_HOST"], told["AIRFLOW__METRICS__STATSD_PORT"]) == (
        "127.0.0.1",
        "8042",
    )
    assert catalogue.optional(made(tmp_path / "c", OBSERVE="0")) == []


def test_whoever_runs_airflow_has_it_send_the_same():
    """Embedded, in containers and by the chart of its own; only addresses differ."""
    compose = yaml.safe_load((config.REPO / "docker-compose.yml").read_text())["x-airflow"]["environment"]
    chart = yaml.safe_load((config.REPO / "deploy/helm/values/airflow.yaml").read_text())["config"]["metrics"]
    assert chart["metrics_allow_list"] == airflow.METRICS
    for name, value in chart.items():
        assert compose[f"AIRFLOW__METRICS__{name.upper()}"] == value


def test_a_file_that_no_longer_names_a_target_is_told(tmp_path, found, monkeypatch):
    monkeypatch.setattr(observability, "FOLDER", tmp_path)
    (tmp_path / "prometheus").mkdir()
    (tmp_path / "prometheus" / "prometheus.yml").write_text("rule_files: [rules/*.yml]")
    with pytest.raises(StackError, match="does not say"):
        observability.prepare(made(tmp_path))


def test_both_listen_on_this_machine_alone_and_keep_within_bounds(tmp_path, found):
    site = made(tmp_path, CONSOLE_BIND="0.0.0.0")
    for part in observability.PARTS:
        program = part.program(site)
        assert f"--web.listen-address=127.0.0.1:{site.port(part.name)}" in program.argv
        assert program.environment["GOMEMLIMIT"]
    prometheus, alertmanager = (part.program(site).argv for part in observability.PARTS)
    assert "--storage.tsdb.retention.size=512MB" in prometheus
    assert "--cluster.listen-address=" in alertmanager


def test_a_running_stack_without_them_is_told_apart(tmp_path):
    made(tmp_path, OBSERVE="0").save()
    with pytest.raises(StackError, match=r"without Prometheus \(OBSERVE\)"):
        up._require_same_stack(made(tmp_path))


@needs_programs
def test_their_own_checkers_take_the_files(tmp_path):
    site = made(tmp_path)
    observability.prepare(site)
    token = observability.token_file(site)
    token.write_text("ata_something")
    files = [str(site.var_dir / name / f"{name}.yml") for name in ("prometheus", "alertmanager")]
    for command in (["promtool", "check", "config", files[0]], ["amtool", "check-config", files[1]]):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "2 rule files found" in done.stdout or command[0] == "amtool"


@needs_programs
@pytest.mark.parametrize("part", observability.PARTS, ids=lambda part: part.name)
def test_it_starts_and_says_that_it_is_ready(part, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        base_port = probe.getsockname()[1] - config.OFFSETS[part.name]
    site = made(tmp_path, CONSOLE_PORT_BASE=str(base_port))
    observability.prepare(site)
    with running(part, site):
        text = base.ask(f"http://127.0.0.1:{site.port(part.name)}/metrics").decode()
    assert f"{part.name}_build_info" in text


def test_panels_without_an_answer_are_named_unless_a_reason_is_known(tmp_path, monkeypatch, capsys):
    site = made(tmp_path)
    site.save()
    monkeypatch.setattr(panels.config, "from_environment", lambda: site)
    monkeypatch.setattr(
        panels, "queries", lambda: [("a", "One", "x"), ("a", "Two", "y"), ("b", "Three", "z")]
    )
    values = {"x": ["1"], "y": ["NaN"], "z": []}

    def ask(address: str) -> bytes:
        query = address.partition("query=")[2]
        found = [{"value": [0, value]} for value in values[query]]
        return json.dumps({"status": "success", "data": {"result": found}}).encode()

    monkeypatch.setattr(panels.base, "ask", ask)
    monkeypatch.setattr(panels, "quiet", lambda: {"a": {"Two": "Nothing was measured yet."}})
    assert panels.main() == 1
    told = capsys.readouterr().out
    assert "a / Two: Nothing was measured yet." in told
    assert "b / Three: NOTHING" in told
    assert "One" not in told
    values["z"] = ["0"]
    assert panels.main() == 0


@pytest.mark.parametrize("answer", [b'{"status": "error"}', OSError("refused")])
def test_panels_of_a_prometheus_that_does_not_answer_are_no_traceback(tmp_path, monkeypatch, capsys, answer):
    site = made(tmp_path)
    site.save()
    monkeypatch.setattr(panels.config, "from_environment", lambda: site)

    def ask(_address: str) -> bytes:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(panels.base, "ask", ask)
    assert panels.main() == 1
    assert "Prometheus does not answer" in capsys.readouterr().err
