"""An approval means these bytes: it is for the files that were judged, and MLflow must still hold them."""

import importlib
from datetime import timedelta

import pytest
from django.apps import apps
from django.utils import timezone

from core.audit.models import AuditEntry
from core.lib.errors import Conflict, Unavailable
from models_registry import actions, artefacts, gating, intact, tasks
from models_registry.digest import bytes_sha256
from models_registry.models import HASHES, ChampionPeriod, ModelVersion, PromotionRequest
from models_registry.states import GateState, RequestState, ServeAs, VersionState
from tests.registry import make_champion, make_gate, make_request, make_version

pytestmark = pytest.mark.django_db

ONNX, REFERENCE, HOLDOUT, SPEC = b"onnx", b"reference", b"hold-out", b'{"primary_metric": "accuracy"}'


@pytest.fixture(autouse=True)
def _files_are_intact():
    """The real check: these versions have files."""


@pytest.fixture
def store(mlflow):
    """A version's files in MLflow; the columns that say which."""
    experiment = mlflow.create_experiment("titanic")

    def put(onnx=ONNX):
        run_id = mlflow.create_run(experiment, "training")
        number = mlflow.register("titanic", run_id)
        root = mlflow.run_root(run_id)
        mlflow.write_file(root, artefacts.compiled_path(bytes_sha256(onnx)), onnx)
        mlflow.write_file(root, artefacts.REFERENCE, REFERENCE)
        mlflow.write_file(root, "evaluation/holdout.parquet", HOLDOUT)
        mlflow.write_file(root, "serving/spec.json", SPEC)
        mlflow.write_file(root, "model/model.pkl", b"original")
        return {
            "run_id": run_id,
            "registered_at": mlflow.version("titanic", number).created_at,
            "served_sha256": bytes_sha256(onnx),
            "reference_sha256": bytes_sha256(REFERENCE),
            "holdout_sha256": bytes_sha256(HOLDOUT),
            "spec_json": SPEC.decode(),
        }

    return put


@pytest.fixture
def passed(store, scientist):
    version = make_version(1, state=VersionState.PASSED, **store())
    make_gate(version, scientist)
    return version


@pytest.fixture
def request_open(passed, scientist):
    return actions.request_promotion("titanic", 1, reason="Better.", by=scientist)


def replace(mlflow, name, content=b"another"):
    path = next(path for path in mlflow.files if name in path)
    mlflow.files[path] = content


def judge_again(version, by, monkeypatch, **hashes):
    """A gate that finds these files."""
    found = {**version.last_verdict.hashes, **hashes}
    serving = {"serve_as": "onnx", "spec_json": version.spec_json}
    outcome = gating.Outcome(has_passed=True, is_conclusive=True, serving=serving, hashes=found)
    monkeypatch.setattr(gating, "judge", lambda *_arguments: outcome)
    gate = actions.ask_gate("titanic", version.version, by=by)
    tasks.run_gate(str(gate.pk))
    gate.refresh_from_db()
    return gate


def test_a_request_names_the_files_that_its_gate_judged(request_open, passed):
    assert request_open.hashes == passed.last_verdict.hashes
    assert all(request_open.hashes.values())
    assert AuditEntry.objects.get(action="promotion.request").after["served_sha256"] == bytes_sha256(ONNX)


def test_an_approval_is_for_these_files_and_the_ledger_says_which(request_open, approver):
    actions.approve(request_open.pk, by=approver)
    period = ChampionPeriod.objects.get()
    assert period.hashes == request_open.hashes
    assert AuditEntry.objects.get(action="model.promotion").after["served_sha256"] == bytes_sha256(ONNX)


@pytest.mark.parametrize("changed", HASHES)
def test_a_gate_on_other_files_withdraws_the_request(
    request_open, passed, scientist, approver, monkeypatch, changed
):
    judge_again(passed, scientist, monkeypatch, **{changed: "f" * 64})
    request_open.refresh_from_db()
    assert request_open.state == RequestState.WITHDRAWN
    assert "found other files than this request is for" in request_open.decision_reason
    assert "ffffffffffff" in request_open.decision_reason
    with pytest.raises(Conflict, match=r"is withdrawn already\. The gate ran again and found other files"):
        actions.approve(request_open.pk, by=approver)
    assert AuditEntry.objects.get(action="promotion.withdraw").actor_name == "system"


def test_a_gate_on_the_same_files_leaves_the_request(request_open, passed, scientist, approver, monkeypatch):
    judge_again(passed, scientist, monkeypatch)
    assert actions.approve(request_open.pk, by=approver).state == RequestState.APPROVED


def test_a_gate_that_finds_files_missing_withdraws_the_request(request_open, passed, scientist, monkeypatch):
    outcome = gating.Outcome(has_passed=False, reason="It lacks its spec.", missing=["serving/spec.json"])
    monkeypatch.setattr(gating, "judge", lambda *_arguments: outcome)
    gate = actions.ask_gate("titanic", 1, by=scientist)
    tasks.run_gate(str(gate.pk))
    request_open.refresh_from_db()
    passed.refresh_from_db()
    assert request_open.state == RequestState.WITHDRAWN
    assert (passed.state, passed.served_sha256) == (VersionState.FAILED, "")


def test_a_gate_without_a_verdict_changes_nothing(request_open, passed, scientist, approver, monkeypatch):
    monkeypatch.setattr(gating, "judge", lambda *_arguments: raise_(gating.GateError("It was stopped.")))
    gate = actions.ask_gate("titanic", 1, by=scientist)
    tasks.run_gate(str(gate.pk))
    assert actions.approve(request_open.pk, by=approver).state == RequestState.APPROVED


def raise_(error):
    raise error


@pytest.mark.parametrize(
    ("name", "path"),
    [
        (".onnx", "serving/compiled/"),
        ("reference.parquet", "serving/reference.parquet has SHA-256"),
        ("holdout.parquet", "evaluation/holdout.parquet has SHA-256"),
        ("spec.json", "serving/spec.json has SHA-256"),
    ],
)
def test_files_replaced_after_the_gate_are_not_approved(request_open, mlflow, approver, name, path):
    replace(mlflow, name)
    with pytest.raises(Conflict, match="are not those that the gate judged") as refused:
        actions.approve(request_open.pk, by=approver)
    assert path in refused.value.message
    request_open.refresh_from_db()
    assert request_open.is_open
    assert not ChampionPeriod.objects.exists()


def test_files_that_are_gone_are_not_approved(request_open, mlflow, approver):
    mlflow.files.clear()
    with pytest.raises(Conflict, match=r"serving/spec\.json: MLflow: .* not found"):
        actions.approve(request_open.pk, by=approver)


def test_an_original_that_the_runner_serves_is_looked_at_whole(passed, mlflow, scientist, approver, tmp_path):
    folder = tmp_path / "model"
    artefacts.fetch_model(mlflow, passed, folder)
    passed.serve_as, passed.served_sha256 = ServeAs.RUNNER, intact.folder_sha256(folder)
    passed.save()
    make_gate(passed, scientist)
    request = actions.request_promotion("titanic", 1, reason="Better.", by=scientist)
    mlflow.write_file(mlflow.model_root("titanic", 1), "more.py", b"import os")
    with pytest.raises(Conflict, match="model/ has SHA-256"):
        actions.approve(request.pk, by=approver)
    del mlflow.files[next(path for path in mlflow.files if path.endswith("more.py"))]
    assert actions.approve(request.pk, by=approver).state == RequestState.APPROVED


def test_an_approval_waits_for_mlflow(request_open, mlflow, approver):
    mlflow.is_away = True
    with pytest.raises(Unavailable):
        actions.approve(request_open.pk, by=approver)


def test_who_may_not_approve_is_told_before_any_file_is_read(request_open, mlflow, engineer, scientist):
    for user in (engineer, scientist):
        with pytest.raises(actions.policy.Denied):
            actions.approve(request_open.pk, by=user)
    assert "read_file" not in mlflow.calls


def test_a_request_that_changed_while_files_were_read_is_not_approved(request_open, approver, monkeypatch):
    check = intact.check

    def check_slowly(*arguments, **values):
        check(*arguments, **values)
        PromotionRequest.objects.update(reference_sha256="f" * 64)

    monkeypatch.setattr(intact, "check", check_slowly)
    with pytest.raises(Conflict, match="has changed meanwhile"):
        actions.approve(request_open.pk, by=approver)


def test_the_policy_promotes_no_files_that_were_replaced_while_it_judged(
    passed, mlflow, scientist, monkeypatch
):
    passed.model.policy = "automatic"
    passed.model.save()
    replace(mlflow, "reference.parquet")
    gate = judge_again(passed, scientist, monkeypatch)
    assert gate.state == GateState.ERROR
    assert "are not those that the gate judged" in gate.reason
    assert not ChampionPeriod.objects.exists()


def test_the_policy_promotes_what_was_judged_and_not_what_an_open_request_was_for(
    request_open, passed, mlflow, scientist, monkeypatch
):
    passed.model.policy = "automatic"
    passed.model.save()
    replace(mlflow, "reference.parquet")
    judge_again(passed, scientist, monkeypatch, reference_sha256=bytes_sha256(b"another"))
    request_open.refresh_from_db()
    assert request_open.state == RequestState.WITHDRAWN
    period = ChampionPeriod.objects.get()
    assert (period.is_by_policy, period.reference_sha256) == (True, bytes_sha256(b"another"))
    assert period.request.hashes == period.hashes


def test_an_override_is_for_the_files_that_failed(passed, scientist, approver, admin, mlflow):
    ModelVersion.objects.update(state=VersionState.FAILED)
    make_gate(passed, scientist, GateState.FAILED)
    actions.override_gate("titanic", 1, reason="The slice is one family.", by=admin)
    request = actions.request_promotion("titanic", 1, reason="Overridden.", by=scientist)
    replace(mlflow, ".onnx")
    with pytest.raises(Conflict, match="are not those that the gate judged"):
        actions.approve(request.pk, by=approver)


def test_a_verdict_about_a_champion_leaves_what_is_served(passed, scientist, monkeypatch):
    gate = actions.ask_gate("titanic", 1, by=scientist)
    ModelVersion.objects.update(state=VersionState.CHAMPION)
    passed.model.policy = "automatic"
    passed.model.save()
    hashes = {"served_sha256": "f" * 64}
    outcome = gating.Outcome(
        has_passed=True, is_conclusive=True, serving={"serve_as": "runner"}, hashes=hashes
    )
    monkeypatch.setattr(intact, "check", lambda *_arguments, **_values: None)
    monkeypatch.setattr(gating, "judge", lambda *_arguments: outcome)
    tasks.run_gate(str(gate.pk))
    passed.refresh_from_db()
    assert (passed.served_sha256, passed.serve_as) == (bytes_sha256(ONNX), ServeAs.ONNX)


# --- the way back


@pytest.fixture
def two(store, approver):
    """v1 was champion, v2 is."""
    make_champion(1, approver, **store(b"first"))
    second = make_version(2, state=VersionState.PASSED, **store(b"second"))
    make_gate(second, approver, champion_version=1)
    return second


def test_a_rollback_brings_back_what_was_approved(two, approver):
    actions.ledger.crown(two, by=approver, reason="Better.", kind="promotion")
    period = actions.rollback("titanic", reason="Worse after all.", by=approver)
    assert period.hashes == ChampionPeriod.objects.order_by("pk")[0].hashes
    assert period.served_sha256 == bytes_sha256(b"first")


def test_a_rollback_to_files_that_are_others_is_refused(two, mlflow, approver):
    actions.ledger.crown(two, by=approver, reason="Better.", kind="promotion")
    replace(mlflow, ".onnx")  # the first version's
    with pytest.raises(Conflict, match="titanic v1 in MLflow are not those that the gate judged"):
        actions.rollback("titanic", reason="Now.", by=approver)
    assert ChampionPeriod.objects.get(until=None).version == two


def test_a_rollback_does_not_wait_for_mlflow(two, mlflow, approver):
    actions.ledger.crown(two, by=approver, reason="Better.", kind="promotion")
    mlflow.is_away = True
    assert actions.rollback("titanic", reason="Now.", by=approver).version.version == 1


def test_a_rollback_needs_no_hold_out(two, mlflow, approver):
    actions.ledger.crown(two, by=approver, reason="Better.", kind="promotion")
    replace(mlflow, "holdout.parquet")
    assert actions.rollback("titanic", reason="Now.", by=approver).version.version == 1


def test_after_a_demonstration_a_champion_without_its_files_is_passed_over(
    store, mlflow, scientist, approver
):
    make_champion(1, approver, **store(b"first"))
    for number, content in ((2, b"second"), (3, b"third")):
        version = make_version(number, state=VersionState.PASSED, is_demo=number == 3, **store(content))
        request = make_request(version, scientist)
        actions.ledger.crown(version, by=approver, reason="Better.", kind="promotion", request=request)
    path = artefacts.compiled_path(bytes_sha256(b"second"))
    replace(mlflow, path)
    period = actions.end_champion("titanic", reason="The demonstration is removed.", by=None)
    assert period.version.version == 1


def test_after_a_demonstration_the_champion_before_it_is_back_with_its_files(
    store, mlflow, scientist, approver
):
    make_champion(1, approver, **store(b"first"))
    version = make_version(2, state=VersionState.PASSED, is_demo=True, **store(b"second"))
    request = make_request(version, scientist)
    actions.ledger.crown(version, by=approver, reason="Better.", kind="promotion", request=request)
    period = actions.end_champion("titanic", reason="The demonstration is removed.", by=None)
    assert (period.version.version, period.served_sha256) == (1, bytes_sha256(b"first"))


# --- rows from before


def test_rows_from_before_learn_what_they_were_about(scientist, approver):
    migration = importlib.import_module("models_registry.migrations.0008_hashes_of_what_was_judged")
    make_champion(1, approver)
    judged_before = make_version(2, state=VersionState.PASSED)
    judged_after = make_version(3, state=VersionState.PASSED, model=judged_before.model)
    for version, minutes in ((judged_before, -1), (judged_after, 1)):
        ended_at = timezone.now() + timedelta(minutes=minutes)
        make_gate(version, scientist, ended_at=ended_at)
        make_request(version, scientist)
    known = list(ChampionPeriod.objects.values_list("pk", *HASHES))
    migration.remove_hashes(apps, None)
    assert not PromotionRequest.objects.exclude(served_sha256="").exists()
    migration.write_hashes(apps, None)
    assert list(ChampionPeriod.objects.values_list("pk", *HASHES)) == known
    kept, withdrawn = PromotionRequest.objects.order_by("pk")
    assert (kept.state, kept.hashes) == (RequestState.REQUESTED, judged_before.last_verdict.hashes)
    assert withdrawn.state == RequestState.WITHDRAWN
    assert "Ask for the promotion again" in withdrawn.decision_reason
