"""Who may ask, who may decide, and what follows what."""

import threading

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from core.access.policy import Denied
from core.audit.models import AuditEntry
from core.lib.errors import Conflict, InvalidRequest, NotFound
from models_registry import actions
from models_registry.models import ChampionPeriod, ModelVersion, PromotionRequest
from models_registry.states import GateState, RequestState, VersionState
from tests.registry import make_champion, make_gate, make_request, make_user, make_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def passed(scientist):
    version = make_version(2, state=VersionState.PASSED)
    make_gate(version, scientist)
    return version


def test_approval_makes_champion_retires_the_former_and_sends_the_alias(
    scientist, approver, sent, django_capture_on_commit_callbacks
):
    former = make_champion(1, approver)
    version = make_version(2, state=VersionState.PASSED)
    make_gate(version, scientist, champion_version=1)
    request = actions.request_promotion("titanic", 2, reason="Better on young passengers.", by=scientist)

    with django_capture_on_commit_callbacks(execute=True):
        actions.approve(request.pk, reason="Agreed.", by=approver)

    former.refresh_from_db()
    period = ChampionPeriod.objects.get(until=None)
    assert period.version == version
    assert former.until == period.since
    states = dict(ModelVersion.objects.values_list("version", "state"))
    assert states == {1: VersionState.RETIRED, 2: VersionState.CHAMPION}
    assert sent.to("deliver_alias") == [str(period.pk)]
    entry = AuditEntry.objects.get(action="model.promotion")
    assert entry.before == {"champion": 1}
    assert entry.after["champion"] == 2


def test_who_asked_cannot_approve_even_with_every_role(passed):
    both = make_user("eva", "scientist", "approver", "admin")
    request = make_request(passed, both)
    with pytest.raises(Denied, match="You asked for this promotion"):
        actions.approve(request.pk, by=both)
    with pytest.raises(Denied, match="You asked for this promotion"):
        actions.reject(request.pk, reason="No.", by=both)
    request.refresh_from_db()
    assert request.state == RequestState.REQUESTED


@pytest.mark.parametrize("state", [RequestState.APPROVED, RequestState.REJECTED])
def test_the_database_refuses_a_decision_by_who_asked(passed, scientist, state):
    request = make_request(passed, scientist)
    request.state, request.decided_by = state, scientist
    with pytest.raises(IntegrityError, match="nobody_decides_their_own_request"), transaction.atomic():
        request.save()


def test_the_database_refuses_a_decision_by_nobody(passed, scientist):
    with pytest.raises(IntegrityError, match="nobody_decides_their_own_request"), transaction.atomic():
        make_request(passed, scientist, state=RequestState.APPROVED)


def test_the_database_refuses_two_champions(scientist):
    make_champion(1, scientist)
    with pytest.raises(IntegrityError, match="one_champion_a_model"), transaction.atomic():
        make_version(2, state=VersionState.CHAMPION)


def test_the_database_refuses_two_open_periods(scientist):
    first = make_champion(1, scientist)
    with pytest.raises(IntegrityError, match="one_open_period_a_model"), transaction.atomic():
        ChampionPeriod.objects.create(model=first.model, version=first.version, by=scientist)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (VersionState.CANDIDATE, "has not passed its gate yet"),
        (VersionState.FAILED, "did not pass its gate: titanic v2 lacks serving/spec.json"),
        (VersionState.CHAMPION, "is or was champion"),
        (VersionState.RETIRED, "is or was champion"),
    ],
)
def test_promotion_is_refused_unless_the_gate_has_passed(scientist, state, words):
    version = make_version(2, state=state)
    if state == VersionState.FAILED:
        make_gate(version, scientist, GateState.FAILED, reason="titanic v2 lacks serving/spec.json.")
    with pytest.raises(Conflict, match=words):
        actions.request_promotion("titanic", 2, reason="Please.", by=scientist)


def test_a_second_request_for_the_same_version_is_refused(passed, scientist):
    actions.request_promotion("titanic", 2, reason="Please.", by=scientist)
    with pytest.raises(Conflict, match="asked for already"):
        actions.request_promotion("titanic", 2, reason="Please!", by=scientist)
    with pytest.raises(IntegrityError, match="one_open_request_a_version"), transaction.atomic():
        make_request(passed, scientist)


def test_a_request_without_a_reason_is_refused_at_the_field(passed, scientist):
    with pytest.raises(InvalidRequest) as refused:
        actions.request_promotion("titanic", 2, reason="  ", by=scientist)
    assert refused.value.errors == [{"field": "reason", "message": "Say why, in at most 2,000 characters."}]


@pytest.mark.parametrize("state", [s for s in RequestState if s != RequestState.REQUESTED])
def test_a_settled_request_is_decided_no_more(passed, scientist, approver, state):
    decided_by = approver if state in {RequestState.APPROVED, RequestState.REJECTED} else None
    request = make_request(passed, scientist, state=state, decided_by=decided_by)
    for decide in (actions.approve, actions.reject):
        with pytest.raises(Conflict, match=f"is {state} already"):
            decide(request.pk, reason="No.", by=approver)
    with pytest.raises(Conflict, match="cannot become withdrawn"):
        actions.withdraw(request.pk, by=scientist)


def test_approving_twice_is_refused(passed, scientist, approver):
    request = make_request(passed, scientist)
    actions.approve(request.pk, by=approver)
    with pytest.raises(Conflict, match="is approved already"):
        actions.approve(request.pk, by=approver)
    assert ChampionPeriod.objects.count() == 1


def test_only_who_asked_withdraws(passed, scientist):
    other = make_user("eva", "scientist")
    request = make_request(passed, scientist)
    with pytest.raises(Denied, match="Only ana"):
        actions.withdraw(request.pk, by=other)
    assert actions.withdraw(request.pk, by=scientist).state == RequestState.WITHDRAWN


def test_an_expired_request_is_not_approved(passed, scientist, approver):
    request = make_request(passed, scientist, expires_at=timezone.now())
    with pytest.raises(Conflict, match="has expired"):
        actions.approve(request.pk, by=approver)


def test_approval_waits_for_a_gate_against_the_present_champion(scientist, approver):
    version = make_version(2, state=VersionState.PASSED)
    make_gate(version, scientist, champion_version=None)
    request = make_request(version, scientist)
    make_champion(3, approver)
    with pytest.raises(Conflict, match="The champion has changed since the gate judged"):
        actions.approve(request.pk, by=approver)


def test_approval_waits_for_a_gate_at_work(passed, scientist, approver):
    request = make_request(passed, scientist)
    make_gate(passed, scientist, GateState.RUNNING)
    with pytest.raises(Conflict, match="Wait for its verdict"):
        actions.approve(request.pk, by=approver)


@pytest.mark.parametrize("action", ["gate", "request", "approve", "reject", "override", "policy", "rollback"])
def test_an_engineer_may_decide_nothing(passed, scientist, engineer, action):
    request = make_request(passed, scientist)
    calls = {
        "gate": lambda: actions.ask_gate("titanic", 2, by=engineer),
        "request": lambda: actions.request_promotion("titanic", 2, reason="x", by=engineer),
        "approve": lambda: actions.approve(request.pk, by=engineer),
        "reject": lambda: actions.reject(request.pk, reason="x", by=engineer),
        "override": lambda: actions.override_gate("titanic", 2, reason="x", by=engineer),
        "policy": lambda: actions.set_policy("titanic", value="automatic", by=engineer),
        "rollback": lambda: actions.rollback("titanic", reason="x", by=engineer),
    }
    with pytest.raises(Denied, match="Your roles do not include"):
        calls[action]()


def test_an_override_lets_a_failed_version_pass_and_marks_it(scientist, admin):
    version = make_version(2, state=VersionState.FAILED, served_sha256="b" * 64)
    actions.override_gate("titanic", 2, reason="The slice is one family.", by=admin)
    version.refresh_from_db()
    assert (version.state, version.is_overridden) == (VersionState.PASSED, True)
    assert version.override_reason == "The slice is one family."
    assert AuditEntry.objects.get(action="gate.override").actor_name == "carla"


def test_an_override_needs_no_comparison_with_the_present_champion(scientist, approver):
    version = make_version(2, state=VersionState.PASSED, is_overridden=True)
    make_gate(version, scientist, GateState.FAILED, champion_version=None)
    request = make_request(version, scientist)
    make_champion(3, approver)
    assert actions.approve(request.pk, by=approver).state == RequestState.APPROVED


def test_an_override_of_long_ago_does_not_spare_a_later_pass_the_comparison(scientist, approver):
    version = make_version(2, state=VersionState.PASSED, is_overridden=True)
    make_gate(version, scientist, GateState.FAILED, champion_version=None)
    make_gate(version, scientist, GateState.PASSED, champion_version=None)
    request = make_request(version, scientist)
    make_champion(3, approver)
    with pytest.raises(Conflict, match="The champion has changed since the gate judged"):
        actions.approve(request.pk, by=approver)


def test_a_gate_without_a_verdict_is_not_the_one_that_judged(scientist, approver):
    version = make_version(2, state=VersionState.PASSED)
    make_gate(version, scientist, champion_version=3)
    make_gate(version, scientist, GateState.ERROR)
    request = make_request(version, scientist)
    make_champion(3, approver)
    assert actions.approve(request.pk, by=approver).state == RequestState.APPROVED


def test_an_override_is_refused_when_nothing_could_be_scored(admin):
    make_version(2, state=VersionState.FAILED)
    with pytest.raises(Conflict, match="cannot be served"):
        actions.override_gate("titanic", 2, reason="Please.", by=admin)


@pytest.mark.parametrize("state", [s for s in VersionState if s != VersionState.FAILED])
def test_only_a_failed_version_is_overridden(admin, state):
    make_version(2, state=state)
    with pytest.raises(Conflict, match="Only a version that failed"):
        actions.override_gate("titanic", 2, reason="Please.", by=admin)


def test_unknown_things_are_not_found(scientist, approver):
    with pytest.raises(NotFound):
        actions.request_promotion("nothing", 1, reason="x", by=scientist)
    make_version(1)
    with pytest.raises(NotFound):
        actions.request_promotion("titanic", 7, reason="x", by=scientist)
    with pytest.raises(NotFound):
        actions.approve(99, by=approver)


def _approve_in_thread(request_id, user, results, barrier):
    barrier.wait()
    try:
        actions.approve(request_id, by=user)
        results.append("approved")
    except Conflict:
        results.append("refused")
    finally:
        connection.close()


@pytest.mark.django_db(transaction=True)
def test_of_two_approvers_at_once_one_wins():
    asker, first, second = (
        make_user("ana", "scientist"),
        make_user("b", "approver"),
        make_user("c", "approver"),
    )
    version = make_version(1, state=VersionState.PASSED)
    make_gate(version, asker)
    request = make_request(version, asker)
    results: list[str] = []
    barrier = threading.Barrier(2)
    threads = [
        threading.Thread(target=_approve_in_thread, args=(request.pk, user, results, barrier))
        for user in (first, second)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["approved", "refused"]
    assert ChampionPeriod.objects.filter(until=None).count() == 1
    assert PromotionRequest.objects.get().state == RequestState.APPROVED


@pytest.mark.django_db(transaction=True)
def test_of_two_requests_approved_at_once_both_stand_in_the_ledger_one_after_the_other():
    asker, approver = make_user("ana", "scientist"), make_user("b", "approver")
    requests = []
    for number in (1, 2):
        version = make_version(number, state=VersionState.PASSED)
        version.is_overridden = True  # stands for itself, whoever is champion
        version.save()
        requests.append(make_request(version, asker))
    results: list[str] = []
    barrier = threading.Barrier(2)
    threads = [
        threading.Thread(target=_approve_in_thread, args=(request.pk, approver, results, barrier))
        for request in requests
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == ["approved", "approved"]
    earlier, later = ChampionPeriod.objects.order_by("since")
    assert earlier.until == later.since
    assert later.until is None
