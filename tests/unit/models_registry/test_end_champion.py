"""A champion that ends with nobody after it, or gives way to the one before a demonstration."""

import pytest
from django.urls import reverse

from core.access.policy import Denied
from core.audit.models import AuditEntry
from core.lib.errors import Conflict, InvalidRequest
from models_registry import actions, ledger, queries, tasks
from models_registry.models import ChampionPeriod, ModelVersion, RegisteredModel
from models_registry.states import VersionState
from tests.registry import make_champion, make_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def alias(mlflow, approver):
    """v1 is champion here and in MLflow."""
    run = mlflow.create_run(mlflow.create_experiment("titanic"), "first")
    mlflow.register("titanic", run)
    mlflow.set_champion("titanic", 1)
    return make_champion(1, approver)


def crown(number, by, **values):
    version = make_version(number, state=VersionState.PASSED, **values)
    return ledger.crown(version, by=by, reason="Better.", kind="promotion")


def in_mlflow(mlflow):
    return mlflow.models()[0].champion


def test_champion_ends_with_nobody_after_it(
    alias, mlflow, approver, sent, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        assert actions.end_champion("titanic", reason="It was a trial.", by=approver) is None
    assert queries.champions() == []
    assert ModelVersion.objects.get().state == VersionState.RETIRED
    entry = AuditEntry.objects.get(action="model.end_champion")
    assert entry.before == {"champion": 1}
    assert entry.after == {"champion": None, "reason": "It was a trial."}
    assert sent.to("deliver_alias") == [str(alias.pk)]
    assert queries.alias_warning(RegisteredModel.objects.get()) is None  # its removal is on its way

    tasks.deliver_alias(str(alias.pk))

    assert in_mlflow(mlflow) is None
    alias.refresh_from_db()
    assert (alias.next_attempt_at, alias.end_reason) == (None, "It was a trial.")
    assert RegisteredModel.objects.get().alias_version is None


def test_alias_is_removed_later_when_mlflow_was_away(alias, mlflow, approver):
    actions.end_champion("titanic", reason="It was a trial.", by=approver)
    mlflow.is_away = True
    tasks.deliver_alias(str(alias.pk))
    alias.refresh_from_db()
    assert alias.next_attempt_at is not None
    assert "not answering" in alias.delivery_error
    mlflow.is_away = False
    ChampionPeriod.objects.update(next_attempt_at=alias.until)
    tasks.deliver_alias(str(alias.pk))
    assert in_mlflow(mlflow) is None


def test_removal_that_comes_too_late_is_put_right(alias, mlflow, approver, monkeypatch):
    """Somebody is crowned while the call is under way: the alias is written again afterwards."""
    actions.end_champion("titanic", reason="It was a trial.", by=approver)
    remove = mlflow.remove_champion

    def remove_slowly(model):
        following = crown(2, approver)
        ChampionPeriod.objects.filter(pk=following.pk).update(next_attempt_at=None)  # delivered first
        remove(model)

    monkeypatch.setattr(mlflow, "remove_champion", remove_slowly)
    tasks.deliver_alias(str(alias.pk))
    following = ChampionPeriod.objects.get(until=None)
    assert following.next_attempt_at is not None
    assert list(ChampionPeriod.due()) == [following]


def test_setting_that_comes_too_late_is_put_right(alias, mlflow, approver, monkeypatch):
    ChampionPeriod.objects.update(next_attempt_at=alias.since)
    write = mlflow.set_champion

    def write_slowly(model, version):
        actions.end_champion("titanic", reason="It was a trial.", by=approver)
        ChampionPeriod.objects.update(next_attempt_at=None)  # delivered first
        write(model, version)

    monkeypatch.setattr(mlflow, "set_champion", write_slowly)
    tasks.deliver_alias(str(alias.pk))
    assert list(ChampionPeriod.due()) == [alias]
    tasks.deliver_alias(str(alias.pk))
    assert in_mlflow(mlflow) is None


def test_after_a_demonstration_the_champion_before_it_is_back(approver):
    crown(1, approver)
    crown(2, approver, is_demo=True)
    crown(3, approver, is_demo=True)
    period = actions.end_champion("titanic", reason="The demonstration is removed.", by=None)
    assert period is not None
    assert (period.version.version, period.kind) == (1, "rollback")
    assert (period.is_by_policy, period.decider) == (False, "the console")
    assert AuditEntry.objects.get(action="model.rollback").after["decided_by"] == "the console"
    assert queries.champion("titanic").version == "1"


def test_after_a_demonstration_alone_nobody_is_champion(approver):
    crown(1, approver, is_demo=True)
    crown(2, approver, is_demo=True)
    assert actions.end_champion("titanic", reason="The demonstration is removed.", by=None) is None
    assert AuditEntry.objects.get(action="model.end_champion").actor_name == "system"


def test_champion_of_no_demonstration_does_not_give_way_to_an_older_one(approver):
    crown(1, approver)
    crown(2, approver)
    assert actions.end_champion("titanic", reason="Wrong data.", by=approver) is None


def test_who_may_not_decide_cannot_end_it(alias, scientist, approver):
    with pytest.raises(Denied, match=r"models\.decide"):
        actions.end_champion("titanic", reason="No.", by=scientist)
    with pytest.raises(InvalidRequest, match="Say why"):
        actions.end_champion("titanic", reason="", by=approver)


def test_model_without_a_champion_has_none_to_end(approver):
    make_version(1)
    with pytest.raises(Conflict, match="titanic has no champion"):
        actions.end_champion("titanic", reason="No.", by=approver)


def test_rollback_leads_to_the_champion_that_ended(client, alias, approver):
    actions.end_champion("titanic", reason="It was a trial.", by=approver)
    client.force_login(approver, backend="django.contrib.auth.backends.ModelBackend")
    page = client.get(reverse("models:model-detail", args=["titanic"])).content.decode()
    assert "Nobody is champion now." in page
    assert "with nobody after it: It was a trial." in page
    assert actions.rollback("titanic", reason="After all.", by=approver).version.version == 1
