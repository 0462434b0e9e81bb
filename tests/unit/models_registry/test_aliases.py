"""An alias that was changed in MLflow raises one alert, which ends when the alias is right again."""

import pytest

from core.alerts.models import Alert
from core.alerts.states import State
from models_registry import aliases, mirror, sync, tasks
from models_registry.models import ChampionPeriod, RegisteredModel, VersionState
from tests.registry import make_champion

pytestmark = pytest.mark.django_db


@pytest.fixture
def period(mlflow, approver):
    """v1 is champion here and in MLflow, which has v2 too."""
    run_id = mlflow.create_run(mlflow.create_experiment("titanic"), "training")
    mlflow.register("titanic", run_id)
    mlflow.register("titanic", run_id)
    mlflow.set_champion("titanic", 1)
    period = make_champion(1, approver, run_id=run_id, registered_at=mlflow.version("titanic", 1).created_at)
    sync.sync_versions()
    return period


@pytest.fixture
def changed(period, mlflow):
    mlflow.set_champion("titanic", 2)
    sync.sync_versions()
    return Alert.objects.get()


def test_an_alias_that_is_right_raises_nothing(period):
    sync.walk_everything()
    assert not Alert.objects.exists()


def test_an_alias_changed_elsewhere_raises_an_alert(changed):
    assert (changed.rule, changed.subject, changed.state) == ("alias-changed", "titanic", State.OPEN)
    assert [fact["value"] for fact in changed.facts] == ["v2", "v1"]
    assert changed.url == "/models/titanic"


def test_the_alert_counts_on_each_walk_and_not_on_each_poll(changed):
    sync.sync_versions()
    sync.walk_everything()
    changed.refresh_from_db()
    assert changed.n_findings == 2


def test_the_alert_ends_when_the_alias_is_put_back(changed, mlflow):
    mlflow.set_champion("titanic", 1)
    sync.sync_versions()
    changed.refresh_from_db()
    assert changed.state == State.RESOLVED
    assert "again" in changed.steps.last().reason


def test_the_alert_ends_when_its_version_is_approved_and_delivered(changed, approver, mlflow):
    ChampionPeriod.objects.update(until=changed.first_found_at)
    RegisteredModel.objects.get().versions.filter(version=1).update(state=VersionState.RETIRED)
    version = RegisteredModel.objects.get().versions.get(version=2)
    version.state = VersionState.CHAMPION
    version.save()
    period = ChampionPeriod.objects.create(model=version.model, version=version, by=approver)
    tasks.deliver_alias(str(period.pk))
    changed.refresh_from_db()
    assert changed.state == State.RESOLVED


def test_an_alias_on_its_way_raises_nothing(period, mlflow, monkeypatch):
    ChampionPeriod.objects.update(next_attempt_at=period.since)
    mlflow.set_champion("titanic", 2)
    sync.sync_versions()
    assert not Alert.objects.exists()


def test_an_answer_from_before_a_promotion_raises_nothing(period, mlflow):
    """The poll asked MLflow, then v2 was approved and delivered, then the poll wrote what it had heard."""
    heard = mlflow.models()[0]
    mlflow.set_champion("titanic", 2)
    version = period.model.versions.get(version=2)
    ChampionPeriod.objects.update(version=version)
    mirror.save_model(heard)
    aliases.check(mlflow, {"titanic"})
    assert not Alert.objects.exists()
    assert RegisteredModel.objects.get().alias_version == 2


def test_a_champion_that_mlflow_lost_raises_one_alert_its_own(period, mlflow):
    """v1 was deleted there, and its alias with it: nobody can put that back."""
    mlflow.set_champion("titanic", 2)
    mlflow._versions = [version for version in mlflow._versions if version.version != 1]
    sync.walk_everything()
    sync.walk_everything()
    assert list(Alert.objects.values_list("rule", flat=True)) == ["champion-gone"]


def test_the_alert_ends_when_mlflow_loses_the_champion(changed, mlflow):
    mlflow._versions = [version for version in mlflow._versions if version.version != 1]
    sync.walk_everything()
    changed.refresh_from_db()
    assert changed.state == State.RESOLVED
    assert Alert.objects.get(rule="champion-gone").state == State.OPEN
