"""The demonstration's champion ends and its versions are put aside; what others decided stays."""

import pytest

from core.lib.errors import Conflict
from models_registry import ledger, removal, tasks
from models_registry.models import ChampionPeriod, GateRun, ModelVersion, PromotionRequest
from models_registry.states import VersionState
from tests.registry import make_champion, make_gate, make_request, make_user, make_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def people():
    names = ("demo-scientist", "demo-approver")
    return [make_user(name, name.removeprefix("demo-"), is_demo=True) for name in names]


@pytest.fixture
def _mlflow_follows(monkeypatch):
    """As if the worker had delivered while we waited."""
    monkeypatch.setattr(removal.time, "sleep", lambda _s: ChampionPeriod.objects.update(next_attempt_at=None))


@pytest.mark.usefixtures("_mlflow_follows")
def test_its_champion_ends_and_the_one_before_serves_again(people):
    ana = make_user("ana", "approver")
    make_champion(1, ana)
    second = make_version(2, state=VersionState.PASSED, is_demo=True)
    ledger.crown(second, by=people[1], reason="Better.", kind="promotion")
    assert removal.remove_demo() == 1
    states = dict(ModelVersion.objects.values_list("version", "state"))
    assert states == {1: VersionState.CHAMPION, 2: VersionState.ARCHIVED}
    assert not ChampionPeriod.objects.filter(version__version=2).exists()
    assert removal.remove_demo() == 0


@pytest.mark.usefixtures("_mlflow_follows")
def test_its_requests_go_and_those_of_others_stay(people):
    version = make_version(1, is_demo=True)
    other = make_version(2)
    make_gate(version, people[0])
    make_request(version, people[0])
    make_request(other, make_user("ana", "scientist"))
    removal.remove_demo()
    assert [request.version for request in PromotionRequest.objects.all()] == [other]
    assert not GateRun.objects.exists()


def test_it_waits_for_mlflow_and_says_so(people, monkeypatch):
    monkeypatch.setattr(removal, "ALIAS_WITHIN_S", 0)
    monkeypatch.setattr(removal.time, "sleep", lambda _s: None)
    monkeypatch.setattr(tasks.deliver_alias, "delay_on_commit", lambda _pk: None)
    make_champion(1, people[1])
    ModelVersion.objects.update(is_demo=True)
    with pytest.raises(Conflict, match="has not taken the champion's alias off"):
        removal.remove_demo()
    assert ModelVersion.objects.get().state == VersionState.ARCHIVED
    assert ChampionPeriod.objects.exists()
