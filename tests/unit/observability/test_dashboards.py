"""Grafana's dashboards: what is committed is what is written, and every panel asks for what there is."""

import json
from itertools import combinations

import pytest
import yaml

from stack import dashboards, panels
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
