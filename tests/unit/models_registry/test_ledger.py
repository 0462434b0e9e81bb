"""The ledger: rollback, policy, and who was champion when."""

from datetime import timedelta

import pytest
from django.utils import timezone

from core.lib.errors import Conflict, InvalidRequest
from models_registry import actions, ledger, queries
from models_registry.models import ChampionPeriod, ModelVersion
from models_registry.states import Policy, VersionState
from tests.registry import make_champion, make_model, make_version

pytestmark = pytest.mark.django_db

PROMOTION, ROLLBACK = ChampionPeriod.Kind.PROMOTION, ChampionPeriod.Kind.ROLLBACK


def _pile(*steps):
    """Periods of unsaved versions: (kind, version) in order of time."""
    versions = {number: ModelVersion(pk=number, version=number) for _kind, number in steps}
    periods = [ChampionPeriod(kind=kind, version=versions[number]) for kind, number in steps]
    found = ledger.before_the_last(periods)
    return found.version if found else None


def test_the_champion_before_is_the_one_promoted_before():
    assert _pile((PROMOTION, 1), (PROMOTION, 2)) == 1


def test_a_second_rollback_does_not_return_to_what_was_rolled_back_from():
    steps = [(PROMOTION, 1), (PROMOTION, 2), (PROMOTION, 3), (ROLLBACK, 2)]
    assert _pile(*steps) == 1
    assert _pile(*steps, (ROLLBACK, 1)) is None
    assert _pile(*steps, (PROMOTION, 4)) == 2


def test_the_first_champion_has_none_before():
    assert _pile((PROMOTION, 1)) is None
    assert _pile() is None


def test_rollback_makes_the_retired_champion_again(
    scientist, approver, sent, django_capture_on_commit_callbacks
):
    first = make_champion(1, approver)
    with django_capture_on_commit_callbacks(execute=True):
        second = make_version(2, state=VersionState.PASSED)
        ledger.crown(second, by=approver, reason="Better.", kind=PROMOTION)
        period = actions.rollback("titanic", reason="It fails on Sundays.", by=approver)
    assert period.version == first.version
    assert period.kind == ROLLBACK
    states = dict(ModelVersion.objects.values_list("version", "state"))
    assert states == {1: VersionState.CHAMPION, 2: VersionState.RETIRED}
    assert sent.to("deliver_alias") == [str(period.pk)]


def test_rollback_without_an_earlier_champion_is_refused(approver):
    make_champion(1, approver)
    with pytest.raises(Conflict, match="no earlier champion"):
        actions.rollback("titanic", reason="Now.", by=approver)


def test_policy_takes_two_values(admin):
    make_model()
    assert actions.set_policy("titanic", value="automatic", by=admin).policy == Policy.AUTOMATIC
    with pytest.raises(InvalidRequest, match="person"):
        actions.set_policy("titanic", value="nobody", by=admin)


def test_history_knows_who_was_champion_then(approver):
    now = timezone.now()
    first = make_champion(1, approver)
    first.since, first.until = now - timedelta(days=2), now - timedelta(days=1)
    first.save()
    second = make_version(2, state=VersionState.RETIRED)
    ChampionPeriod.objects.create(
        model=second.model, version=second, since=first.until, is_by_policy=True, next_attempt_at=None
    )
    at = {days: queries.history("titanic", now - timedelta(days=days)) for days in (3, 1.5, 0.5)}
    assert [[p.version.version for p in rows] for rows in at.values()] == [[], [1], [2]]
    assert [p.version.version for p in queries.history("titanic", first.until)] == [2]


def test_champions_is_one_query(approver, django_assert_num_queries):
    make_champion(1, approver)
    other = make_model("taxi_tip")
    make_champion(2, approver, model=other)
    with django_assert_num_queries(1):
        found = queries.champions()
    assert [(champion.model, champion.version) for champion in found] == [("taxi_tip", "2"), ("titanic", "1")]
    assert found[1].sha256 == f"{1:064x}"
    assert found[1].spec_json.startswith(b'{"task"')


def test_an_alias_that_points_elsewhere_is_told(approver):
    period = make_champion(1, approver)
    model = period.model
    model.refresh_from_db()
    assert queries.alias_warning(model) is None
    model.alias_version = 7
    assert queries.alias_warning(model) == {"alias": 7, "ledger": 1}
    period.next_attempt_at = timezone.now()
    period.save()
    assert queries.alias_warning(model) is None


def test_a_clock_that_is_behind_ends_no_period_before_it_began(approver):
    """Two hosts: the one that promoted is ahead of the one that rolls back."""
    first = make_champion(1, approver)
    second = ledger.crown(
        make_version(2, state=VersionState.PASSED), by=approver, reason="Better.", kind=PROMOTION
    )
    ahead = timezone.now() + timedelta(seconds=3)
    ChampionPeriod.objects.filter(pk=second.pk).update(since=ahead)
    period = actions.rollback("titanic", reason="It fails on Sundays.", by=approver)
    second.refresh_from_db()
    assert (second.until, period.since, period.version) == (ahead, ahead, first.version)
    newest = period.model.periods.order_by("since", "pk").last()
    assert newest == period


def test_a_line_of_scores_is_of_one_metric():
    metrics = [("rmse", 48_000.0), ("r2", 0.8), ("r2", 0.7), ("", None), ("r2", 0.6)]
    newest = [
        ModelVersion(version=9 - place, primary_metric=name, metrics={name: value} if name else {})
        for place, (name, value) in enumerate(metrics)
    ]
    assert queries.scores_of(newest) == [48_000.0]
    assert queries.scores_of(newest[1:]) == [0.6, 0.7, 0.8]
    assert queries.scores_of([]) == []
