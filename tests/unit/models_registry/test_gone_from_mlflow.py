"""Versions and models that were deleted in MLflow, and others that got their numbers there."""

import pytest
from django.db.models import F
from django.utils import timezone

from core.alerts.models import Alert
from core.alerts.states import State
from core.lib.errors import Conflict, NotFound, Unauthorized
from core.lib.models import SetAside
from models_registry import absence, actions, champions, intact, ledger, returning, sync, tasks, verdicts
from models_registry.models import ChampionPeriod, MlflowRun, ModelVersion, PromotionRequest, RegisteredModel
from models_registry.states import GateState, Policy, RequestState, VersionState
from tests.registry import make_champion, make_gate, make_model, make_request, make_version

pytestmark = pytest.mark.django_db
REAL_CHECK = intact.check  # which the other tests here do without


@pytest.fixture
def run_id(mlflow):
    return mlflow.create_run(mlflow.create_experiment("titanic"), "training", {"git_sha": "old"})


@pytest.fixture
def candidate(mlflow, run_id):
    mlflow.register("titanic", run_id)
    sync.sync_runs()
    sync.sync_versions()
    return ModelVersion.objects.get()


@pytest.fixture
def crowned(candidate, approver):
    """v1 is champion, here and in MLflow."""
    candidate.state, candidate.served_sha256 = VersionState.PASSED, "a" * 64
    candidate.save()
    ledger.crown(candidate, by=approver, reason="Better.", kind=ChampionPeriod.Kind.PROMOTION)
    tasks.deliver_alias(str(ChampionPeriod.objects.get().pk))
    return candidate


def make_anew(mlflow):
    """The model is deleted and registered again, from another run."""
    mlflow.delete_model("titanic")
    other = mlflow.create_run("1", "another", {"git_sha": "new"})
    mlflow.register("titanic", other)
    return other


class TestAnother:
    """A version that only bears the number of one that the console knows."""

    @pytest.mark.parametrize("poll", [sync.sync_versions, sync.walk_everything])
    def test_where_nothing_was_decided_it_is_a_fresh_candidate(self, candidate, mlflow, poll):
        ModelVersion.objects.update(spec_json='{"title": "old"}', metrics={"accuracy": 0.9})
        other = make_anew(mlflow)
        poll()
        row = ModelVersion.objects.get()
        assert (row.run_id, row.git_sha, row.spec, row.metrics) == (other, "new", {}, {})
        assert (row.state, row.gone_at) == (VersionState.CANDIDATE, None)

    @pytest.mark.parametrize("poll", [sync.sync_versions, sync.walk_everything])
    def test_what_was_decided_stays_with_the_old_one(self, candidate, mlflow, scientist, poll):
        ModelVersion.objects.update(state=VersionState.PASSED)
        make_gate(candidate, scientist)
        make_anew(mlflow)
        poll()
        row = ModelVersion.objects.get()
        assert (row.run_id, row.git_sha, row.state) == (candidate.run_id, "old", VersionState.PASSED)
        assert row.gone_at is not None
        aside = SetAside.objects.get()
        assert (aside.key, aside.about) == ("titanic v1", "titanic")
        assert "Register the new one again until its number is above 1" in aside.reason

    def test_a_champion_stays_what_it_is_and_an_alert_says_so(self, crowned, mlflow):
        make_anew(mlflow)
        sync.walk_everything()
        assert champions.champion("titanic").run_id == crowned.run_id
        alert = Alert.objects.get(rule="champion-gone")
        assert (alert.subject, alert.state) == ("titanic", State.OPEN)
        assert alert.facts[0]["value"] == "v1"

    def test_its_number_above_those_known_makes_it_a_version(self, crowned, mlflow):
        other = make_anew(mlflow)
        mlflow.register("titanic", other)
        sync.sync_versions()
        row = ModelVersion.objects.get(version=2)
        assert (row.run_id, row.state) == (other, VersionState.CANDIDATE)

    def test_the_same_run_registered_anew_is_another_version_too(self, candidate, mlflow, run_id, scientist):
        make_gate(candidate, scientist)
        mlflow.delete_model("titanic")
        mlflow.register("titanic", run_id)
        sync.sync_versions()
        assert ModelVersion.objects.get().gone_at is not None

    def test_it_is_not_approved_before_a_poll_saw_it(self, candidate, mlflow):
        make_anew(mlflow)
        with pytest.raises(Conflict, match="its number was given again"):
            REAL_CHECK(mlflow, candidate, {}, serve_as="onnx")


@pytest.fixture
def gone(mlflow, scientist):
    """A version that passed, and that MLflow has no more."""
    version = make_version(1, state=VersionState.PASSED, gone_at=timezone.now())
    make_gate(version, scientist)
    return version


class TestGone:
    def test_it_can_be_neither_judged_nor_asked_for(self, gone, scientist):
        with pytest.raises(Conflict, match="MLflow has titanic v1 no more"):
            actions.request_promotion("titanic", 1, reason="Better.", by=scientist)
        with pytest.raises(Conflict, match="MLflow has titanic v1 no more"):
            actions.ask_gate("titanic", 1, by=scientist)

    def test_it_is_not_approved(self, gone, scientist, approver):
        request = make_request(gone, scientist)
        with pytest.raises(Conflict, match="MLflow has titanic v1 no more"):
            actions.approve(request.pk, by=approver)
        assert PromotionRequest.objects.get().state == RequestState.REQUESTED

    def test_it_is_not_approved_when_only_mlflow_knows_yet(self, gone, mlflow):
        with pytest.raises(Conflict, match="MLflow has titanic v1 no more"):
            REAL_CHECK(mlflow, gone, {}, serve_as="onnx")

    def test_a_rollback_passes_it_over(self, mlflow, approver):
        make_champion(1, approver)
        for number in (2, 3):
            version = make_version(number, state=VersionState.PASSED)
            ledger.crown(version, by=approver, reason="Better.", kind=ChampionPeriod.Kind.PROMOTION)
        ModelVersion.objects.filter(version=2).update(gone_at=timezone.now())
        assert actions.rollback("titanic", reason="Worse.", by=approver).version.version == 1

    def test_the_policy_does_not_promote_it(self, scientist):
        model = make_model(policy=Policy.AUTOMATIC)
        version = make_version(1, model=model, gone_at=timezone.now())
        gate = make_gate(version, scientist, GateState.RUNNING)
        outcome = verdicts.Outcome(has_passed=True, is_conclusive=True)
        assert verdicts.settle(gate, outcome) is None
        assert not ChampionPeriod.objects.exists()

    def test_its_alias_is_given_up_with_an_alert_and_written_once_it_is_back(self, crowned, mlflow):
        kept = list(mlflow._versions), dict(mlflow._models)
        ChampionPeriod.objects.update(next_attempt_at=timezone.now())
        mlflow.delete_model("titanic")
        period = ChampionPeriod.objects.get()
        tasks.deliver_alias(str(period.pk))
        period.refresh_from_db()
        assert period.next_attempt_at is None
        assert "not found" in period.delivery_error
        assert Alert.objects.get(rule="champion-gone").state == State.OPEN
        mlflow._versions, mlflow._models = kept
        sync.sync_versions()
        sync.walk_everything()
        period.refresh_from_db()
        assert period.next_attempt_at is not None
        assert Alert.objects.get(rule="champion-gone").state == State.RESOLVED

    @pytest.mark.parametrize("is_claimed", [True, False])
    def test_a_wish_of_meanwhile_is_not_given_up_with_it(self, crowned, mlflow, monkeypatch, is_claimed):
        """While MLflow answered the champion ended, or the walk asked for its alias again."""
        now = timezone.now()

        def fail(_model, _version):
            n_claims = F("delivery_attempts") + int(is_claimed)
            ChampionPeriod.objects.update(next_attempt_at=now, delivery_attempts=n_claims)
            raise NotFound("MLflow: not found", service="mlflow")

        ChampionPeriod.objects.update(next_attempt_at=now)
        monkeypatch.setattr(mlflow, "set_champion", fail)
        period = ChampionPeriod.objects.get()
        tasks.deliver_alias(str(period.pk))
        period.refresh_from_db()
        assert (period.next_attempt_at, period.delivery_error) == (now, "")
        assert period.version.gone_at is None
        assert not Alert.objects.exists()

    def test_a_model_that_was_deleted_or_renamed_and_has_a_champion_raises_an_alert(self, crowned, mlflow):
        mlflow.delete_model("titanic")
        sync.walk_everything()
        assert RegisteredModel.objects.get().gone_at is not None
        alert = Alert.objects.get(rule="champion-gone")
        assert alert.title == "MLflow no longer has the champion of titanic"
        assert alert.url == "/models/titanic"

    def test_the_way_back_needs_no_mlflow_that_lets_the_console_in(self, mlflow, approver, monkeypatch):
        former = make_champion(1, approver).version
        make = make_version(2, state=VersionState.PASSED)
        ledger.crown(make, by=approver, reason="Better.", kind=ChampionPeriod.Kind.PROMOTION)

        def refuse(*_args, **_values):
            raise Unauthorized("MLflow did not let the console in.", service="mlflow")

        monkeypatch.setattr(intact, "check", refuse)
        assert actions.rollback("titanic", reason="Worse.", by=approver).version == former
        assert returning.without_their_files([former]) == []


class TestPaging:
    """MLflow pages by offset: what is deleted while the console walks makes it skip others."""

    @pytest.fixture
    def skipped(self, candidate, mlflow, monkeypatch):
        """Lists that leave out what is there."""
        monkeypatch.setattr(mlflow, "runs", lambda *_args, **_values: iter([]))
        monkeypatch.setattr(mlflow, "versions", lambda *_args, **_values: iter([]))
        monkeypatch.setattr(mlflow, "models", list)
        return candidate

    def there(self):
        return [
            rows.objects.filter(gone_at=None).count() for rows in (MlflowRun, ModelVersion, RegisteredModel)
        ]

    def test_what_a_walk_skipped_is_not_gone(self, skipped):
        sync.walk_everything()
        assert self.there() == [1, 1, 1]

    def test_what_mlflow_lacks_is(self, skipped, mlflow):
        mlflow.delete_run(skipped.run_id)
        mlflow.delete_model("titanic")
        sync.walk_everything()
        assert self.there() == [0, 0, 0]

    def test_a_walk_asks_for_so_many_and_the_next_for_the_rest(self, skipped, mlflow, monkeypatch):
        for number in range(2):
            make = mlflow.create_run("1", f"more {number}")
            MlflowRun.objects.create(run_id=make, experiment_id="1")
        mlflow._runs.clear()
        monkeypatch.setattr(absence, "MOST_ASKED", 2)
        sync.walk_everything()
        assert self.there()[0] == 1
        sync.walk_everything()
        assert self.there()[0] == 0

    def test_it_ends_in_time(self, skipped, mlflow, monkeypatch):
        mlflow._runs.clear()
        monkeypatch.setattr(absence, "WITHIN_S", -1.0)
        sync.walk_everything()
        assert self.there() == [1, 1, 1]

    def test_one_that_mlflow_fails_at_keeps_no_other_from_being_marked(self, skipped, mlflow, monkeypatch):
        MlflowRun.objects.create(run_id="0" * 32, experiment_id="1")
        MlflowRun.objects.create(run_id="z" * 32, experiment_id="1")
        ask = mlflow.run

        def fail(run_id):
            if run_id == "0" * 32:
                raise Unauthorized("No.", service="mlflow")
            return ask(run_id)

        monkeypatch.setattr(mlflow, "run", fail)
        sync.walk_everything()
        assert set(MlflowRun.objects.exclude(gone_at=None).values_list("pk", flat=True)) == {"z" * 32}
