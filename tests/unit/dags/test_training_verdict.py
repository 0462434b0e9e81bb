"""A training pipeline's last step: the gate's verdict becomes a decision, whatever it says, once a run."""

import json
from typing import Any

import httpx
import pytest

from dags.recipes.common import console, tracking
from dags.recipes.common.console import ConsoleRefused
from dags.recipes.common.run_folder import DagRun
from dags.recipes.titanic.training import TRAINING
from usecases.models import Decision

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "usecases"])

BETTER = {
    "name": "baseline",
    "verdict": "passed",
    "sentence": "It beats the majority.",
    "value": 0.2,
    "threshold": 0.0,
}
UNSURE = {
    "name": "champion",
    "verdict": "inconclusive",
    "sentence": "Nobody can tell.",
    "value": 0.0,
    "threshold": -0.01,
}
WORSE = {
    "name": "champion",
    "verdict": "failed",
    "sentence": "It is worse than v2.",
    "value": -0.1,
    "threshold": -0.01,
}
SLOW = {
    "name": "latency",
    "verdict": "failed",
    "sentence": "One row takes 80 ms.",
    "value": 80.0,
    "threshold": 50.0,
}
METRICS = {"candidate": {"accuracy": 0.8}, "baseline": {"accuracy": 0.6}}


class FakeConsole:
    """Answers the gate of one version as it was told to; counts how often it was asked for."""

    def __init__(self, **gate: Any) -> None:
        self.gate = {"state": "passed", "is_conclusive": True, "checks": [BETTER], "metrics": METRICS, **gate}
        self.keys: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["Authorization"] == "Bearer secret"
        assert request.url.path.startswith("/api/v1/models/titanic/versions/3")
        if request.method == "GET":
            return httpx.Response(200, json={"version": "3", "gate": self.gate})
        self.keys.append(request.headers["Idempotency-Key"])
        return httpx.Response(202 if len(self.keys) == 1 else 409, json={"detail": "It was judged before."})


@pytest.fixture
def judged(usecases_database, monkeypatch, tmp_path):
    """Runs the step against a console that answers so; `run_id` is that of the pipeline's run."""
    tokens = tmp_path / "tokens.json"
    tokens.write_text(json.dumps({"titanic_training": "secret"}))
    monkeypatch.setenv("ATALAYA_TOKENS", str(tokens))
    monkeypatch.setenv("ATALAYA_URL", "http://console")
    monkeypatch.setenv("ATALAYA_WORK_DIR", str(tmp_path / "runs"))
    monkeypatch.setattr(tracking, "importance", lambda name, version: {2: {"Sex": 0.4}}.get(version, {}))
    client = httpx.Client

    def judge(fake: FakeConsole, run_id: str = "manual__1") -> dict[str, Any]:
        monkeypatch.setattr(
            console.httpx, "Client", lambda **options: client(**options, transport=httpx.MockTransport(fake))
        )
        run = DagRun("titanic_training", run_id, {})
        run.folder.write_json("shap.json", {"Sex": 0.3, "Fare": 0.1})
        return TRAINING.gate(run, {"version": "3"})

    return judge


def test_a_pass_is_a_decision_with_its_grounds_and_figures(judged):
    reason = "It passed every check of the gate. It beats the majority."
    assert judged(FakeConsole()) == {"version": "3", "state": "passed", "reason": reason}
    row = Decision.objects.get()
    assert (row.usecase, row.kind, row.is_yes, row.reason) == (
        "titanic", "promote", True, reason,
    )  # fmt: skip
    assert (row.model, row.version, row.champion_version) == ("titanic", 3, None)
    assert (row.dag_id, row.dag_run_id) == ("titanic_training", "manual__1")
    assert row.criteria == [
        {
            "name": "baseline", "passed": True, "sentence": "It beats the majority.", "value": 0.2,
            "threshold": 0.0,
        }
    ]  # fmt: skip
    assert row.metrics == METRICS
    assert row.shap == {"candidate": {"Sex": 0.3, "Fare": 0.1}}


def test_a_failure_is_a_decision_too_and_says_every_check_that_failed(judged):
    fake = FakeConsole(state="failed", checks=[BETTER, WORSE, SLOW], champion_version=2)
    assert judged(fake)["state"] == "failed"
    row = Decision.objects.get()
    assert (row.is_yes, row.reason) == (False, "It is worse than v2. One row takes 80 ms.")
    assert [(one["name"], one["passed"]) for one in row.criteria] == [
        ("baseline", True), ("champion", False), ("latency", False),
    ]  # fmt: skip
    assert row.champion_version == 2
    assert row.shap["champion"] == {"Sex": 0.4}


def test_a_pass_that_is_not_sure_is_left_to_a_person(judged):
    judged(FakeConsole(is_conclusive=False, checks=[BETTER, UNSURE], champion_version=1))
    row = Decision.objects.get()
    assert row.is_yes
    undecided = "It passed, but is not surely better than the champion: a person decides."
    assert row.reason.startswith(undecided)
    assert [one["passed"] for one in row.criteria] == [True, None]
    assert "champion" not in row.shap  # that version carries no SHAP values


def test_a_retry_asks_with_the_same_key_and_keeps_one_decision(judged):
    fake = FakeConsole()
    judged(fake)
    fake.gate |= {"state": "failed", "checks": [WORSE], "is_conclusive": None}
    judged(fake)
    assert fake.keys == ["manual__1:gate:3"] * 2
    assert Decision.objects.get().reason == "It is worse than v2."
    judged(fake, "manual__2")
    assert Decision.objects.count() == 2


def test_a_gate_that_could_not_judge_is_no_decision(judged):
    with pytest.raises(ConsoleRefused, match="could not judge: no spec"):
        judged(FakeConsole(state="error", reason="no spec.json"))
    assert not Decision.objects.exists()
