"""REST: the shapes, the statuses, the faults at their fields."""

from datetime import datetime

import pytest
from django.utils import timezone

from models_registry import ledger
from models_registry.models import ChampionPeriod, ModelVersion
from models_registry.states import GateState, VersionState
from tests.registry import make_champion, make_gate, make_request, make_run, make_user, make_version

pytestmark = pytest.mark.django_db

BACKEND = "django.contrib.auth.backends.ModelBackend"
API = "/api/v1"


@pytest.fixture
def call(client):
    """Calls as somebody: call(user, "get", path, body)."""

    def do(user, method, path, body=None):
        client.force_login(user, backend=BACKEND)
        data = {"data": body, "content_type": "application/json"} if body is not None else {}
        return getattr(client, method)(f"{API}{path}", **data)

    return do


@pytest.fixture
def passed(scientist):
    version = make_version(2, state=VersionState.PASSED)
    make_gate(version, scientist)
    return version


def test_models_with_their_champion(call, scientist, approver):
    make_champion(1, approver)
    answer = call(scientist, "get", "/models").json()
    assert answer["next"] is None
    assert answer["results"][0] == {
        "name": "titanic",
        "description": "",
        "policy": "person",
        "champion": "1",
        "not_served": None,
        "newest_version": "1",
        "alias_version": 1,
    }
    assert call(scientist, "get", "/models/titanic").json()["champion"] == "1"


def test_a_version_with_its_gate(call, scientist, passed):
    answer = call(scientist, "get", "/models/titanic/versions/2").json()
    assert (answer["version"], answer["state"]) == ("2", "passed")
    gate = answer["gate"]
    assert (gate["state"], gate["is_conclusive"], len(gate["checks"])) == ("passed", True, 2)
    assert gate["checks"][1]["interval"] == [-0.005, 0.04]
    assert [
        row["version"] for row in call(scientist, "get", "/models/titanic/versions").json()["results"]
    ] == ["2"]


def test_a_version_that_nobody_judged_has_no_gate(call, scientist):
    make_version(1)
    assert call(scientist, "get", "/models/titanic/versions/1").json()["gate"] is None


def test_the_gate_is_accepted_and_a_second_is_not_now(call, scientist):
    make_version(1)
    first = call(scientist, "post", "/models/titanic/versions/1/gate", {})
    assert (first.status_code, first.json()["state"]) == (202, "requested")
    second = call(scientist, "post", "/models/titanic/versions/1/gate", {})
    assert second.status_code == 409
    assert second.headers["Content-Type"] == "application/problem+json"


def test_the_gate_needs_no_body(client, scientist):
    make_version(1)
    client.force_login(scientist, backend=BACKEND)
    answer = client.generic("POST", f"{API}/models/titanic/versions/1/gate", content_type="")
    assert answer.status_code == 202, answer.content


def test_promotion_from_request_to_ledger(call, scientist, approver, passed):
    asked = call(scientist, "post", "/models/titanic/versions/2/promotions", {"reason": "Better."})
    assert (asked.status_code, asked.json()["state"]) == (202, "requested")
    id_ = asked.json()["id"]
    approved = call(approver, "post", f"/promotions/{id_}/approve", {"reason": "Fine."})
    assert (approved.status_code, approved.json()["decided_by"]) == (200, "bert")
    ledger = call(scientist, "get", "/models/titanic/history").json()["results"]
    assert [(line["version"], line["decided_by"], line["until"]) for line in ledger] == [("2", "bert", None)]
    assert (ledger[0]["requested_by"], ledger[0]["request"]) == ("ana", id_)
    for name in ("served_sha256", "reference_sha256", "holdout_sha256", "spec_sha256"):
        assert ledger[0][name] == asked.json()[name] == approved.json()[name]
    assert ledger[0]["served_sha256"] == f"{2:064x}"
    spec = call(scientist, "get", "/models/titanic/spec")
    assert spec.json()["primary_metric"] == "accuracy"
    assert spec.content.decode() == ModelVersion.objects.get().spec_json


def test_a_champion_without_a_request_names_nobody_who_asked(call, scientist, approver):
    make_champion(1, approver)
    line = call(scientist, "get", "/models/titanic/history").json()["results"][0]
    assert (line["request"], line["requested_by"]) == (None, None)


def test_a_predictor_reads_what_the_champion_takes(call, approver):
    make_champion(2, approver)
    make_version(1)
    predictor, viewer, nobody = make_user("p", "predictor"), make_user("v", "viewer"), make_user("n")
    for user in (predictor, viewer):
        assert call(user, "get", "/models/titanic/spec").json()["primary_metric"] == "accuracy"
    assert call(viewer, "get", "/models/titanic/spec?version=1").status_code == 200
    refused = call(predictor, "get", "/models/titanic/spec?version=1")
    assert refused.status_code == 403
    assert "“see”" in refused.json()["detail"]
    assert call(nobody, "get", "/models/titanic/spec").status_code == 403


def test_promotion_before_the_gate_is_not_now(call, scientist):
    version = make_version(1, missing_artefacts=["serving/spec.json"], state=VersionState.FAILED)
    make_gate(version, scientist, GateState.FAILED, reason="titanic v1 lacks serving/spec.json.")
    answer = call(scientist, "post", "/models/titanic/versions/1/promotions", {"reason": "Please."})
    assert answer.status_code == 409
    assert answer.json()["detail"] == "titanic v1 did not pass its gate: titanic v1 lacks serving/spec.json."


def test_approval_by_the_requester_is_refused_in_words(call, passed):
    both = make_user("eva", "scientist", "approver")
    request = make_request(passed, both)
    answer = call(both, "post", f"/promotions/{request.pk}/approve", {})
    assert answer.status_code == 403
    assert "You asked for this promotion, so somebody else has to decide" in answer.json()["detail"]
    assert not ChampionPeriod.objects.exists()


@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_a_scientist_does_not_decide(call, scientist, passed, verb):
    request = make_request(passed, make_user("eva", "scientist"))
    assert call(scientist, "post", f"/promotions/{request.pk}/{verb}", {"reason": "x"}).status_code == 403


def test_a_misspelt_field_is_refused_at_the_field(call, scientist, passed):
    answer = call(scientist, "post", "/models/titanic/versions/2/promotions", {"raeson": "Better."})
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"field": "raeson", "message": "There is no such field."}]


@pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": 5 * "x" * 2000}])
def test_a_reason_is_needed_and_has_a_limit(call, scientist, passed, body):
    answer = call(scientist, "post", "/models/titanic/versions/2/promotions", body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "reason"


def test_reject_withdraw_and_rollback(call, scientist, approver, passed):
    request = make_request(passed, scientist)
    rejected = call(approver, "post", f"/promotions/{request.pk}/reject", {"reason": "No."}).json()
    assert (rejected["state"], rejected["decision_reason"]) == ("rejected", "No.")
    again = make_request(passed, scientist)
    assert call(scientist, "post", f"/promotions/{again.pk}/withdraw", {}).json()["state"] == "withdrawn"
    assert call(approver, "post", "/models/titanic/rollback", {"reason": "x"}).status_code == 409
    waiting = call(scientist, "get", "/promotions?state=requested").json()["results"]
    assert waiting == []
    assert len(call(scientist, "get", "/promotions").json()["results"]) == 2
    assert call(scientist, "get", f"/promotions/{again.pk}").json()["model"] == "titanic"


def test_override_and_policy_are_for_admins(call, scientist, admin):
    make_version(1, state=VersionState.FAILED, served_sha256="a" * 64)
    path = "/models/titanic/versions/1/override"
    assert call(scientist, "post", path, {"reason": "x"}).status_code == 403
    assert call(admin, "post", path, {"reason": "x"}).json()["is_overridden"] is True
    assert call(scientist, "patch", "/models/titanic", {"policy": "automatic"}).status_code == 403
    assert call(admin, "patch", "/models/titanic", {"policy": "automatic"}).json()["policy"] == "automatic"
    assert call(admin, "patch", "/models/titanic", {"policy": "nobody"}).status_code == 422


@pytest.mark.parametrize(
    "path",
    [
        "/models/x",
        "/models/x/versions",
        "/models/x/versions/1",
        "/models/x/history",
        "/models/x/spec",
        "/promotions/9",
        "/mlflow-runs/x",
        "/mlflow-runs/x/metrics/y",
        "/mlflow-runs/x/artifacts",
        "/experiments/x/runs",
    ],
)
def test_what_is_not_there_is_a_404_problem(call, scientist, path):
    answer = call(scientist, "get", path)
    assert (answer.status_code, answer.json()["status"]) == (404, 404)


def test_the_ledger_at_a_moment(call, scientist, approver):
    make_champion(1, approver)
    path = "/models/titanic/history?at="
    assert call(scientist, "get", f"{path}2020-01-01T00:00:00Z").json()["results"] == []
    wrong = call(scientist, "get", f"{path}yesterday")
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "at")


# --- runs


@pytest.fixture
def runs():
    for number, accuracy in enumerate([0.7, 0.9, 0.8]):
        metrics = {"accuracy": accuracy, "f1.macro": accuracy} if number else {"accuracy": accuracy}
        make_run(
            f"{number}" * 32,
            name=f"run {number}",
            metrics=metrics,
            params={"depth": str(10 * number)},
            tags={"data_source": "file" if number else "synthetic"},
        )


def _names(answer):
    assert answer.status_code == 200, answer.content
    return [row["name"] for row in answer.json()["results"]]


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ("", ["run 2", "run 1", "run 0"]),
        ("metrics.accuracy > 0.75", ["run 2", "run 1"]),
        ("metrics.accuracy >= 0.9", ["run 1"]),
        ("metrics.`f1.macro` < 0.85", ["run 2"]),
        ("params.depth = '10'", ["run 1"]),
        ("params.depth != '10'", ["run 2", "run 0"]),
        ("tags.data_source = 'file' and metrics.accuracy < 0.85", ["run 2"]),
        ("name like 'RUN'", ["run 2", "run 1", "run 0"]),
        ("status = 'FINISHED' AND name = 'run 0'", ["run 0"]),
        ("metrics.nothing > 0", []),
    ],
)
def test_runs_by_filter(call, scientist, runs, condition, names):
    path = f"/experiments/titanic/runs?filter={condition.replace('`', '%60')}"
    assert _names(call(scientist, "get", path)) == names


@pytest.mark.parametrize(
    "condition",
    [
        "accuracy",
        "metrics.accuracy > 'x'",
        "metrics.accuracy like 3",
        "password = 'x'",
        "name = 'a' or name = 'b'",
        "and",
    ],
)
def test_a_filter_that_cannot_be_read_is_refused_at_the_field(call, scientist, runs, condition):
    answer = call(scientist, "get", f"/experiments/titanic/runs?filter={condition}")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "filter")


@pytest.mark.parametrize("operator", [">", ">=", "<", "<=", "="])
def test_a_metric_that_is_no_number_is_neither_large_nor_small(call, scientist, operator):
    make_run("broken", name="broken", metrics={"accuracy": "NaN"})
    assert (
        _names(call(scientist, "get", f"/experiments/titanic/runs?filter=metrics.accuracy {operator} 0.8"))
        == []
    )


def test_runs_ordered_by_a_metric_page_by_page_with_those_that_lack_it_last(call, scientist, runs):
    path = "/experiments/titanic/runs?order=-metrics.f1.macro&limit=1"
    names = []
    while path:
        answer = call(scientist, "get", path)
        names += _names(answer)
        path = (answer.json()["next"] or "").partition(API)[2]
    assert names == ["run 1", "run 2", "run 0"]


def test_a_run_its_metric_and_its_files(call, scientist, mlflow):
    run_id = mlflow.create_run(mlflow.create_experiment("titanic"), "training")
    mlflow.log_metric(run_id, "train/loss", 0.5, 1)
    mlflow.write_file(mlflow.run_root(run_id), "serving/spec.json", b"{}")
    make_run(run_id, metrics={"train/loss": 0.5}, artifact_uri=mlflow.run_root(run_id))
    assert call(scientist, "get", f"/mlflow-runs/{run_id}").json()["metrics"] == {"train/loss": 0.5}
    points = call(scientist, "get", f"/mlflow-runs/{run_id}/metrics/train/loss").json()["results"]
    assert [(point["step"], point["value"]) for point in points] == [(1, 0.5)]
    files = call(scientist, "get", f"/mlflow-runs/{run_id}/artifacts?path=serving").json()["results"]
    assert files == [{"path": "serving/spec.json", "is_dir": False, "size_bytes": 2}]
    mlflow.is_away = True
    away = call(scientist, "get", f"/mlflow-runs/{run_id}/artifacts")
    assert (away.status_code, away.headers["Retry-After"]) == (503, "5")


def test_the_files_of_a_folder_come_page_by_page(call, scientist, mlflow):
    run_id = mlflow.create_run(mlflow.create_experiment("titanic"), "training")
    root = mlflow.run_root(run_id)
    for name in ("b", "ü", "a/x", "c/x", "d"):
        mlflow.write_file(root, f"many/{name}", b"{}")
    make_run(run_id, artifact_uri=root)
    path, pages = f"/mlflow-runs/{run_id}/artifacts?path=many&limit=2", []
    while path:
        answer = call(scientist, "get", path).json()
        pages.append([file["path"].removeprefix("many/") for file in answer["results"]])
        path = (answer["next"] or "").partition(API)[2]
        mlflow.files.pop(next((key for key in mlflow.files if key.endswith("many/c/x")), ""), None)
        mlflow.write_file(root, "many/0", b"{}")  # what comes and goes in between moves no other
    assert pages == [["a", "c"], ["0", "b"], ["d", "ü"]]
    first = call(scientist, "get", f"/mlflow-runs/{run_id}/artifacts?path=many&limit=1").json()["next"]
    other = first.partition(API)[2].replace("path=many", "path=")
    for wrong in (
        other,
        f"/mlflow-runs/{run_id}/artifacts?cursor=x",
        f"/mlflow-runs/{run_id}/artifacts?limit=0",
    ):
        assert call(scientist, "get", wrong).status_code == 422


def test_a_state_that_there_is_not_is_refused_in_the_list_of_promotions(call, scientist):
    answer = call(scientist, "get", "/promotions?state=gone")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "state"


@pytest.mark.parametrize("key", ["1", "0", "-1", "a.b", "train/loss"])
@pytest.mark.parametrize("kind", ["metrics", "params"])
def test_a_key_of_digits_is_a_key_like_any_other(call, scientist, kind, key):
    for number in (1, 2, 3):
        value = number / 2 if kind == "metrics" else str(number)
        make_run(f"{number}", name=f"run {number}", **{kind: {key: value}})
    make_run("none", name="none")
    path = "/experiments/titanic/runs"
    rising = call(scientist, "get", f"{path}?order={kind}.{key}")
    falling = call(scientist, "get", f"{path}?order=-{kind}.{key}")
    assert _names(rising) == ["run 1", "run 2", "run 3", "none"]
    assert _names(falling) == ["run 3", "run 2", "run 1", "none"]
    condition = "> 0.5" if kind == "metrics" else "!= '1'"
    found = call(scientist, "get", f"{path}?filter={kind}.`{key}` {condition}")
    assert set(_names(found)) == {"run 2", "run 3"}


@pytest.fixture
def depths(db):
    for depth in ("9", "10", "1e1", "deep", "100", " 2.5 ", "1" * 400, "1e999", "NaN", "\u20037"):
        make_run(f"run {depth[:10]}", name=depth[:10], params={"depth": depth})
    make_run("none", name="none")


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ("params.depth > 9", {"10", "1e1", "100"}),
        ("params.depth <= 9", {"9", " 2.5 "}),
        ("params.depth = 10", {"10", "1e1"}),
        ("params.depth = '10'", {"10"}),
        ("params.depth > 9 and params.depth < 100", {"10", "1e1"}),
        ("params.depth like 'd%'", {"deep"}),
        ("params.depth like '%e%'", {"1e1", "deep", "1e999"}),
        ("params.depth like 'E'", {"1e1", "deep", "1e999"}),
        ("params.depth like 1e1", {"1e1"}),
        ("name like '%.5%'", {" 2.5 "}),
        ("name like '9'", {"9", "1e999"}),
        ("name like '9%'", {"9"}),
    ],
)
def test_a_bare_number_is_compared_as_one_and_a_pattern_as_mlflow_does(
    call, scientist, depths, condition, names
):
    found = call(scientist, "get", f"/experiments/titanic/runs?filter={condition.replace('%', '%25')}")
    assert set(_names(found)) == names


def test_parameters_that_are_numbers_are_ordered_as_numbers_before_words(call, scientist, depths):
    path = "/experiments/titanic/runs?order=params.depth&limit=2"
    names = []
    while path:
        answer = call(scientist, "get", path)
        names += _names(answer)
        path = (answer.json()["next"] or "").partition(API)[2]
    assert names[:5] == [" 2.5 ", "9", "10", "1e1", "100"]
    assert (set(names[5:10]), names[10]) == ({"deep", "1" * 10, "1e999", "NaN", "\u20037"}, "none")


def test_the_ledger_goes_on_page_by_page(call, scientist, approver):
    make_champion(1, approver)
    for number in (2, 3):
        version = make_version(number, state=VersionState.PASSED)
        ledger.crown(version, by=approver, reason="Better.", kind="promotion")
    first = call(scientist, "get", "/models/titanic/history?limit=2").json()
    assert [line["version"] for line in first["results"]] == ["3", "2"]
    then = call(scientist, "get", first["next"].partition(API)[2]).json()
    assert ([line["version"] for line in then["results"]], then["next"]) == (["1"], None)


def test_what_mlflow_has_no_more_says_since_when(call, scientist):
    now = timezone.now()
    make_version(1, gone_at=now)
    make_run("a", gone_at=now)
    for path in ("/models/titanic/versions/1", "/mlflow-runs/a"):
        assert datetime.fromisoformat(call(scientist, "get", path).json()["gone_at"]) == now


def test_a_long_history_says_that_it_is_a_sample(call, scientist, mlflow):
    run_id = mlflow.create_run(mlflow.create_experiment("titanic"), "training")
    mlflow.log_steps(run_id, "loss", 5000)
    make_run(run_id, metrics={"loss": 0.5})
    found = call(scientist, "get", f"/mlflow-runs/{run_id}/metrics/loss").json()
    assert (found["is_sample"], len(found["results"]), found["results"][-1]["step"]) == (True, 2000, 4999)
