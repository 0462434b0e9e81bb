"""Prometheus' files: sound, every alert tested both ways and explained, only metrics that there are."""

import contextlib
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest
import yaml

from tests import observing
from tests.unit.observability.metrics import REPO, names_in, unknown

FOLDER = REPO / "deploy" / "observability"
RULES = sorted((FOLDER / "prometheus" / "rules").glob("*.yml"))
TESTS = sorted((FOLDER / "prometheus" / "tests").glob("*_test.yml"))


@cache
def rules() -> list[dict]:
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}


def run(program: str, *arguments: object) -> None:
    """Fails with the program's words."""
    observing.skip_or_fail()
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("missing", "are_needed", "ends"),
    [
        (["promtool"], False, pytest.skip.Exception),
        (["promtool"], True, pytest.fail.Exception),
        ([], True, None),
    ],
)
def test_rules_that_nobody_can_test_fail_where_they_must_be_tested(missing, are_needed, ends):
    with pytest.raises(ends) if ends else contextlib.nullcontext():
        observing.skip_or_fail(missing=missing, are_needed=are_needed)


def test_prometheus_takes_its_configuration_and_rules():
    run("promtool", "check", "config", FOLDER / "prometheus" / "prometheus.yml")
    run("promtool", "check", "config", REPO / "deploy" / "compose" / "prometheus.yml")
    run("promtool", "check", "rules", "--lint=all", "--lint-fatal", *RULES)


def test_alertmanager_takes_its_configuration():
    run("amtool", "check-config", FOLDER / "alertmanager" / "alertmanager.yml")


def test_each_alert_fires_when_it_should_and_not_else():
    run("promtool", "test", "rules", *TESTS)


@cache
def expectations() -> list[tuple[str, set[str]]]:
    """(name of the test, alerts that fire) of each look at which alerts fire."""
    found = []
    for test in (test for path in TESTS for test in yaml.safe_load(path.read_text())["tests"]):
        for look in test["promql_expr_test"]:
            assert look["expr"].startswith("count by (alertname) (ALERTS"), test["name"]
            labels = " ".join(sample["labels"] for sample in look["exp_samples"])
            found.append((test["name"], set(re.findall(r'alertname="(\w+)"', labels))))
    return found


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_is_tested_to_fire_and_to_keep_quiet_before(alert):
    own = [fired for name, fired in expectations() if re.match(rf"{alert}\b", name)]
    assert {alert} in own
    assert set() in own


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_says_how_grave_it_is_and_what_to_do(alert):
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert rule["annotations"].keys() == {"summary", "description", "runbook"}
    path, _hash, anchor = rule["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^### (.+)$", (REPO / path).read_text(), re.M)
    assert anchor in [heading.lower().replace(" ", "-") for heading in headings]


def test_each_runbook_is_of_an_alert():
    headings = re.findall(r"^### (.+)$", (REPO / "docs" / "runbooks.md").read_text(), re.M)
    assert {heading.title().replace(" ", "") for heading in headings} == set(ALERTS)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_rules_ask_for_metrics_that_there_are(rule):
    assert names_in(rule["expr"])
    assert unknown(rule["expr"]) == set()


def test_prometheus_reads_what_shares_a_folder_of_metrics_once():
    jobs = {
        job["job_name"]: job
        for job in yaml.safe_load((FOLDER / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    }
    assert list(jobs) == ["console", "serving", "airflow", "prometheus", "alertmanager"]
    (dropped,) = jobs["serving"]["metric_relabel_configs"]
    assert (dropped["regex"], dropped["action"]) == ("console_.*", "drop")
    assert "metric_relabel_configs" not in jobs["console"]


def test_no_file_holds_a_secret():
    texts = [path.read_text() for path in Path(FOLDER).rglob("*.yml")]
    assert not any(re.search(r"^\s*(password|credentials|bearer_token):", text, re.M) for text in texts)
