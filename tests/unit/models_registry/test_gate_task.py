"""The gate from the wish to the verdict, with the judging itself replaced; `test_gating.py` has that."""

from datetime import timedelta

import pytest
from django.utils import timezone

from core.lib.errors import Conflict, NotFound, Unavailable
from models_registry import actions, gating, tasks, verdicts
from models_registry.models import ChampionPeriod, GateRun, PromotionRequest
from models_registry.states import GateState, Policy, RequestState, VersionState
from tests.registry import CHECKS, make_champion, make_gate, make_model, make_request, make_version

pytestmark = pytest.mark.django_db

SERVING = {"serve_as": "onnx", "size_bytes": 5}
HASHES = {
    "served_sha256": "c" * 64,
    "reference_sha256": "d" * 64,
    "holdout_sha256": "e" * 64,
    "spec_sha256": "f" * 64,
}
PASSED = gating.Outcome(
    has_passed=True,
    is_conclusive=True,
    checks=CHECKS,
    isolation="namespace",
    seconds=3.5,
    serving=SERVING,
    hashes=HASHES,
)


@pytest.fixture
def judged(monkeypatch, mlflow):
    """Makes the gate come to an outcome, or raise one."""

    def come_to(outcome):
        def judge(_mlflow, _version, _champion, job_dir):
            assert job_dir.is_dir()
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        monkeypatch.setattr(gating, "judge", judge)

    return come_to


@pytest.fixture
def gate(scientist):
    make_version(1)
    return actions.ask_gate("titanic", 1, by=scientist)


def test_a_pass_is_written_with_everything_serving_needs(gate, judged):
    judged(PASSED)
    tasks.run_gate(str(gate.pk))
    gate.refresh_from_db()
    version = gate.version
    version.refresh_from_db()
    assert (gate.state, gate.seconds, gate.isolation, gate.next_attempt_at) == (
        "passed",
        3.5,
        "namespace",
        None,
    )
    assert gate.checks == CHECKS
    assert (version.state, version.is_conclusive, version.served_sha256) == ("passed", True, "c" * 64)


def test_missing_files_fail_and_are_named(gate, judged):
    judged(
        gating.Outcome(has_passed=False, reason="It lacks serving/spec.json.", missing=["serving/spec.json"])
    )
    tasks.run_gate(str(gate.pk))
    gate.refresh_from_db()
    gate.version.refresh_from_db()
    assert (gate.state, gate.reason) == ("failed", "It lacks serving/spec.json.")
    assert (gate.version.state, gate.version.missing_artefacts) == ("failed", ["serving/spec.json"])


@pytest.mark.parametrize("error", [gating.GateError("It was stopped."), NotFound("It was stopped.")])
def test_no_verdict_is_an_error_that_can_be_asked_again(gate, judged, scientist, error):
    judged(error)
    tasks.run_gate(str(gate.pk))
    gate.refresh_from_db()
    gate.version.refresh_from_db()
    assert (gate.state, gate.reason) == ("error", "It was stopped.")
    assert gate.version.state == VersionState.CANDIDATE
    assert actions.ask_gate("titanic", 1, by=scientist).state == GateState.REQUESTED


def test_mlflow_away_is_tried_again(gate, judged):
    judged(Unavailable("MLflow is not answering."))
    tasks.run_gate(str(gate.pk))
    gate.refresh_from_db()
    assert (gate.state, gate.delivery_error) == ("requested", "MLflow is not answering.")
    assert gate.next_attempt_at > timezone.now()
    judged(PASSED)
    GateRun.objects.update(next_attempt_at=timezone.now())
    tasks.run_gate(str(gate.pk))
    gate.refresh_from_db()
    assert (gate.state, gate.delivery_attempts) == ("passed", 2)


def test_a_message_that_comes_twice_judges_once(gate, judged):
    judged(PASSED)
    tasks.run_gate(str(gate.pk))
    judged(AssertionError("judged twice"))
    tasks.run_gate(str(gate.pk))


def test_a_worker_that_dies_is_followed_by_another(gate, judged):
    judged(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        tasks.run_gate(str(gate.pk))
    gate.refresh_from_db()
    assert gate.state == GateState.RUNNING
    judged(AssertionError("its lease has not ended"))
    tasks.run_gate(str(gate.pk))
    judged(PASSED)
    GateRun.objects.update(next_attempt_at=timezone.now())
    tasks.run_gate(str(gate.pk))
    gate.refresh_from_db()
    assert (gate.state, gate.crashes) == ("passed", 1)


def test_a_verdict_that_comes_too_late_is_dropped(gate, judged):
    judged(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        tasks.run_gate(str(gate.pk))
    slow = GateRun.objects.get(pk=gate.pk)
    judged(PASSED)
    GateRun.objects.update(next_attempt_at=timezone.now())
    tasks.run_gate(str(gate.pk))
    verdicts.settle(slow, gating.Outcome(has_passed=False, reason="From before."))
    gate.refresh_from_db()
    assert gate.state == GateState.PASSED


def test_a_verdict_may_quote_what_no_row_can_hold(gate, judged):
    quoted, sign = "a\x00b \ud800", "a\N{REPLACEMENT CHARACTER}b ?"
    checks = [{"name": "slices", "verdict": "failed", "sentence": quoted, "numbers": {quoted: [quoted]}}]
    judged(gating.Outcome(has_passed=False, reason=quoted, checks=checks))
    tasks.run_gate(str(gate.pk))
    gate.refresh_from_db()
    assert (gate.state, gate.reason) == (GateState.FAILED, sign)
    assert gate.checks == [
        {"name": "slices", "verdict": "failed", "sentence": sign, "numbers": {sign: [sign]}}
    ]


def test_why_there_is_no_verdict_may_quote_what_no_row_can_hold(gate, judged):
    judged(gating.GateError("Nothing could be scored: \x00"))
    tasks.run_gate(str(gate.pk))
    gate.refresh_from_db()
    assert gate.state == GateState.ERROR
    assert gate.reason == "Nothing could be scored: \N{REPLACEMENT CHARACTER}"


def test_mlflow_away_from_an_attempt_that_counts_no_more_changes_nothing(gate, judged):
    judged(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        tasks.run_gate(str(gate.pk))
    slow = GateRun.objects.get(pk=gate.pk)
    judged(PASSED)
    GateRun.objects.update(next_attempt_at=timezone.now())
    tasks.run_gate(str(gate.pk))
    tasks._try_later(slow, "MLflow is not answering.")
    gate.refresh_from_db()
    assert (gate.state, gate.next_attempt_at, gate.delivery_error) == (GateState.PASSED, None, "")


def test_three_dead_workers_end_the_gate(gate, judged):
    judged(KeyboardInterrupt())
    for _attempt in range(3):
        with pytest.raises(KeyboardInterrupt):
            tasks.run_gate(str(gate.pk))
        GateRun.objects.update(next_attempt_at=timezone.now())
    tasks.run_gate(str(gate.pk))
    gate.refresh_from_db()
    assert gate.state == GateState.ERROR
    assert "died three times" in gate.reason


def test_a_second_gate_waits_for_the_first(gate, scientist):
    with pytest.raises(Conflict, match="at work"):
        actions.ask_gate("titanic", 1, by=scientist)


@pytest.mark.parametrize("state", [VersionState.CHAMPION, VersionState.RETIRED])
def test_the_gate_of_a_champion_is_settled(scientist, state):
    make_version(1, state=state)
    with pytest.raises(Conflict, match="is settled"):
        actions.ask_gate("titanic", 1, by=scientist)


def test_a_version_that_mlflow_just_got_is_looked_up(mlflow, scientist):
    run_id = mlflow.create_run(mlflow.create_experiment("titanic"), "training", {"git_sha": "abc"})
    number = mlflow.register("titanic", run_id)
    gate = actions.ask_gate("titanic", number, by=scientist)
    assert gate.version.git_sha == "abc"
    with pytest.raises(NotFound):
        actions.ask_gate("titanic", 9, by=scientist)


# --- the automatic policy


@pytest.fixture
def automatic(scientist):
    make_version(2, model=make_model(policy=Policy.AUTOMATIC))
    return actions.ask_gate("titanic", 2, by=scientist)


def test_a_conclusive_pass_promotes_by_policy_and_the_ledger_says_so(
    automatic, judged, sent, django_capture_on_commit_callbacks
):
    judged(PASSED)
    with django_capture_on_commit_callbacks(execute=True):
        tasks.run_gate(str(automatic.pk))
    period = ChampionPeriod.objects.get()
    assert (period.version.version, period.is_by_policy, period.by) == (2, True, None)
    assert (period.request.state, period.request.is_by_policy) == (RequestState.APPROVED, True)
    assert sent.to("deliver_alias") == [str(period.pk)]


def test_an_inconclusive_pass_waits_for_a_person(automatic, judged):
    judged(gating.Outcome(has_passed=True, is_conclusive=False, checks=CHECKS, serving=SERVING))
    tasks.run_gate(str(automatic.pk))
    assert not ChampionPeriod.objects.exists()


def test_a_pass_against_a_former_champion_waits_for_a_person(automatic, judged, approver):
    make_champion(3, approver)
    judged(PASSED)  # champion_version=None: judged when there was none
    tasks.run_gate(str(automatic.pk))
    assert ChampionPeriod.objects.get(until=None).version.version == 3


def test_a_request_that_waits_is_approved_by_the_policy(automatic, judged, scientist):
    request = make_request(automatic.version, scientist, **HASHES)
    judged(PASSED)
    tasks.run_gate(str(automatic.pk))
    request.refresh_from_db()
    assert (request.state, request.is_by_policy) == (RequestState.APPROVED, True)
    assert PromotionRequest.objects.count() == 1


def test_under_the_default_policy_nothing_is_promoted_by_itself(gate, judged):
    judged(PASSED)
    tasks.run_gate(str(gate.pk))
    assert not ChampionPeriod.objects.exists()


# --- the alias


@pytest.fixture
def period(mlflow, scientist, approver):
    run_id = mlflow.create_run(mlflow.create_experiment("titanic"), "training")
    mlflow.register("titanic", run_id)
    version = make_version(1, state=VersionState.PASSED, run_id=run_id)
    make_gate(version, scientist)
    actions.approve(make_request(version, scientist).pk, by=approver)
    return ChampionPeriod.objects.get()


def test_the_alias_is_written_and_the_request_is_delivered(period, mlflow):
    tasks.deliver_alias(str(period.pk))
    period.refresh_from_db()
    assert mlflow.models()[0].champion == 1
    assert period.next_attempt_at is None
    assert period.request.delivered_at is not None
    assert period.model.alias_version == 1


def test_the_alias_comes_later_when_mlflow_was_away(period, mlflow):
    mlflow.is_away = True
    tasks.deliver_alias(str(period.pk))
    period.refresh_from_db()
    assert period.delivery_error.startswith("MLflow is not answering")
    assert period.request.delivered_at is None
    mlflow.is_away = False
    ChampionPeriod.objects.update(next_attempt_at=timezone.now() - timedelta(seconds=1))
    tasks.deliver_alias(str(period.pk))
    period.refresh_from_db()
    assert (mlflow.models()[0].champion, period.delivery_error) == (1, "")


def test_the_alias_of_a_former_champion_is_written_no_more(period, mlflow):
    ChampionPeriod.objects.update(until=timezone.now())
    tasks.deliver_alias(str(period.pk))
    period.refresh_from_db()
    assert "set_champion" not in mlflow.calls
    assert period.next_attempt_at is None


def test_old_requests_expire(scientist):
    version = make_version(1, state=VersionState.PASSED)
    late = make_request(version, scientist, expires_at=timezone.now())
    fresh = make_request(make_version(2, state=VersionState.PASSED), scientist)
    assert tasks.expire_requests() == 1
    late.refresh_from_db()
    fresh.refresh_from_db()
    assert (late.state, fresh.state) == (RequestState.EXPIRED, RequestState.REQUESTED)
