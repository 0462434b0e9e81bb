"""Grafana's dashboards: what is committed is what is written, and every panel asks for what there is."""

import json
import re
import subprocess
from itertools import combinations

import pytest
import yaml

from console import gauges
from core.lib import metrics
from stack import dashboards, panels
from tests import observing
from tests.unit.observability.metrics import OF_OTHERS, REPO, names_in, series, unknown

GRAFANA = REPO / "deploy" / "observability" / "grafana"
BOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((GRAFANA / "dashboards").glob("*.json"))}
PANELS = [(uid, panel) for uid, board in BOARDS.items() for panel in board["panels"]]
QUIET = panels.quiet()
each_panel = pytest.mark.parametrize(
    ("uid", "panel"), PANELS, ids=[f"{uid}: {panel['title']}" for uid, panel in PANELS]
)


def expressions() -> list[str]:
    return [target["expr"] for _uid, panel in PANELS for target in panel["targets"]]


def test_the_committed_files_are_those_that_are_written():
    committed = {path.name: path.read_text() for path in (GRAFANA / "dashboards").glob("*.json")}
    assert committed == dashboards.files(), "run `make dashboards`"


@pytest.mark.parametrize("uid", BOARDS)
def test_a_dashboard_has_its_name_a_choice_of_the_source_and_panels_of_their_own(uid):
    board = BOARDS[uid]
    assert (board["uid"], board["title"].startswith("Atalaya: ")) == (uid, True)
    assert [choice["name"] for choice in board["templating"]["list"]] == ["datasource"]
    for field in ("id", "title"):
        values = [panel[field] for panel in board["panels"]]
        assert len(values) == len(set(values)), field


@pytest.mark.parametrize("uid", BOARDS)
def test_no_panels_overlap_or_leave_the_grid(uid):
    places = [panel["gridPos"] for panel in BOARDS[uid]["panels"]]
    for place in places:
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24
    for one, other in combinations(places, 2):
        is_beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        is_above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert is_beside or is_above, (one, other)


@each_panel
def test_a_panel_has_title_unit_legends_and_the_chosen_source(uid, panel):
    assert panel["title"].strip()
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["targets"]
    for target in (panel, *panel["targets"]):
        assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    letters = [target["refId"] for target in panel["targets"]]
    assert len(letters) == len(set(letters))
    assert all(target["legendFormat"] for target in panel["targets"])


@each_panel
def test_a_panel_asks_for_metrics_that_there_are(uid, panel):
    for target in panel["targets"]:
        assert names_in(target["expr"])
        assert unknown(target["expr"]) == set()


# What is of all is told alike by every web process: taken once, by the largest or the smallest.
OF_ALL = {one.name for one in (*gauges.ASKED, *metrics.ASKED)}


@each_panel
def test_a_panel_shows_the_same_however_many_web_processes_tell_it(uid, panel):
    for target in panel["targets"]:
        expression = target["expr"]
        for name in names_in(expression) & OF_ALL:
            taken_once = re.findall(rf"\b(?:max|min)(?: by \(\w+\) )?\({name}\b", expression)
            assert len(taken_once) == len(re.findall(rf"\b{name}\b", expression)), expression


def test_two_web_processes_are_not_counted_twice(tmp_path):
    """Alerts, parts and jobs as Prometheus itself counts them, from two that say the same."""
    observing.skip_or_fail()
    told = {
        'console_alert_unresolved_count{severity="critical", instance="%s"}': 1,
        'console_alert_unresolved_count{severity="warning", instance="%s"}': 2,
        'console_part_healthy{part="kafka", instance="%s"}': 0,
        'console_part_healthy{part="redis", instance="%s"}': 1,
        'console_job_open_jobs{state="starting", instance="%s"}': 2,
        'console_job_open_jobs{state="running", instance="%s"}': 1,
        'console_job_open_jobs{state="queued", instance="%s"}': 5,
        'console_promotion_wait_requests{instance="%s"}': 4,
    }
    numbers = {
        "Unresolved alerts": 3,
        "Parts that are not well": 1,
        "Jobs that run": 3,
        "Jobs that wait": 5,
        "Promotions to decide": 4,
    }
    asked = {panel["title"]: panel["targets"][0]["expr"] for _uid, panel in PANELS}
    test = {
        "interval": "1m",
        "input_series": [
            {"series": series % instance, "values": f"{value}x5"}
            for series, value in told.items()
            for instance in ("web-1", "web-2")
        ],
        "promql_expr_test": [
            {"expr": asked[title], "eval_time": "3m", "exp_samples": [{"labels": "{}", "value": number}]}
            for title, number in numbers.items()
        ],
    }
    path = tmp_path / "two_test.yml"
    path.write_text(yaml.safe_dump({"evaluation_interval": "1m", "tests": [test]}))
    done = subprocess.run(["promtool", "test", "rules", path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_metric_is_drawn_or_alarms():
    rules = [
        rule
        for path in (REPO / "deploy" / "observability" / "prometheus" / "rules").glob("*.yml")
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    ]
    recorded = {rule["record"]: rule["expr"] for rule in rules if "record" in rule}
    drawn = set().union(
        *map(names_in, [*expressions(), *(rule["expr"] for rule in rules if "alert" in rule)])
    )
    used = drawn.union(*(names_in(expression) for name, expression in recorded.items() if name in drawn))
    families = {name.removesuffix(end) for name in used for end in ("_bucket", "_sum", "_count")} | used
    unused = {name for name in series() - OF_OTHERS if name.removesuffix("_sum") not in families}
    assert {name for name in unused if not name.endswith(("_bucket", "_count"))} == set()


def test_what_may_be_quiet_is_a_panel_and_has_a_reason():
    titles = {uid: {panel["title"] for panel in board["panels"]} for uid, board in BOARDS.items()}
    for uid, quiet in QUIET.items():
        assert quiet.keys() <= titles[uid]
        assert all(len(reason) > 10 for reason in quiet.values())


def test_grafana_is_given_the_source_and_the_folder():
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())[
        "datasources"
    ]
    assert (source["type"], source["url"]) == ("prometheus", "${PROMETHEUS_URL}")
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/atalaya.yml").read_text())["providers"]
    assert (provider["type"], provider["allowUiUpdates"]) == ("file", False)


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ('sum by (le, job) (rate(a_total{b="c"}[5m])) > 1e3', {"a_total"}),
        ("a:b:c / on (x) group_left (y) (d > 0) or vector(0)", {"a:b:c", "d"}),
        ('count by (alertname) (ALERTS{alertstate="firing"})', {"ALERTS"}),
        ("histogram_quantile(0.95, sum by (le) (rate(x_bucket[5m])))", {"x_bucket"}),
        ("up == 0 unless on (job) absent(y offset 5m)", {"up", "y"}),
    ],
)
def test_names_in_an_expression_are_found(expression, names):
    assert names_in(expression) == names
