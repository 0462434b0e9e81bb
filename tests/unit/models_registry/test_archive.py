"""Versions put aside and brought back: what that closes, what it refuses, where they still show."""

import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse

from core.access.policy import Denied
from core.audit.models import AuditEntry
from core.lib.errors import Conflict, InvalidRequest
from models_registry import actions, ledger, queries
from models_registry.models import ModelVersion
from models_registry.states import GateState, RequestState, VersionState
from tests.registry import make_champion, make_gate, make_request, make_version

pytestmark = pytest.mark.django_db
BACKEND = "django.contrib.auth.backends.ModelBackend"


def archived(scientist, number=2, state=VersionState.PASSED):
    make_version(number, state=state)
    return actions.archive("titanic", number, reason="A trial.", by=scientist)


@pytest.mark.parametrize("state", ["candidate", "passed", "failed", "retired"])
def test_version_is_archived_with_the_reason(scientist, state):
    row = archived(scientist, state=state)
    row.refresh_from_db()
    assert (row.state, row.archive_reason) == (VersionState.ARCHIVED, "A trial.")
    entry = AuditEntry.objects.get(action="version.archive")
    assert (entry.before, entry.after) == (
        {"state": state},
        {"state": "archived", "reason": "A trial."},
    )


def test_open_request_is_withdrawn_by_it(scientist, admin):
    version = make_version(2, state=VersionState.PASSED)
    request = make_request(version, scientist)
    actions.archive("titanic", 2, reason="A trial.", by=admin)
    request.refresh_from_db()
    assert request.state == RequestState.WITHDRAWN
    assert request.decision_reason == "The version was archived: A trial."
    assert AuditEntry.objects.get(action="promotion.withdraw").actor_name == "carla"


def test_champion_is_not_archived(scientist, approver):
    make_champion(1, approver)
    with pytest.raises(Conflict, match="is the champion and is served"):
        actions.archive("titanic", 1, reason="No.", by=scientist)


def test_version_whose_gate_is_at_work_is_not_archived(scientist):
    make_gate(make_version(2), scientist, state=GateState.RUNNING)
    with pytest.raises(Conflict, match="gate of titanic v2 is at work"):
        actions.archive("titanic", 2, reason="No.", by=scientist)


def test_version_is_archived_once(scientist):
    archived(scientist)
    with pytest.raises(Conflict, match="archived already"):
        actions.archive("titanic", 2, reason="Again.", by=scientist)


def test_a_reason_is_needed_and_the_right(scientist, approver):
    make_version(2)
    with pytest.raises(InvalidRequest, match="Say why"):
        actions.archive("titanic", 2, reason=" ", by=scientist)
    with pytest.raises(Denied, match=r"models\.archive"):
        actions.archive("titanic", 2, reason="No.", by=approver)


def test_archived_version_is_neither_judged_nor_promoted(scientist, approver):
    version = make_version(2, state=VersionState.PASSED)
    late = make_request(version, scientist)
    row = actions.archive("titanic", 2, reason="A trial.", by=scientist)
    refused = "is archived. Unarchive it first"
    with pytest.raises(Conflict, match=refused):
        actions.ask_gate("titanic", 2, by=scientist)
    with pytest.raises(Conflict, match=refused):
        actions.request_promotion("titanic", 2, reason="Yes.", by=scientist)
    with pytest.raises(Conflict, match="withdrawn already"):
        actions.approve(late.pk, by=approver)
    with pytest.raises(Conflict, match="cannot become champion"):
        row.move_to(VersionState.CHAMPION)


def test_rollback_passes_over_archived_champions(scientist, approver):
    for number in (1, 2, 3):
        version = make_version(number, state=VersionState.PASSED)
        ledger.crown(version, by=approver, reason="Better.", kind="promotion")
    actions.archive("titanic", 2, reason="Its data were wrong.", by=scientist)
    assert actions.rollback("titanic", reason="Back.", by=approver).version.version == 1


@pytest.mark.parametrize("state", ["candidate", "passed", "failed"])
def test_what_comes_back_has_to_pass_the_gate_anew(scientist, state):
    archived(scientist, state=state)
    row = actions.unarchive("titanic", 2, reason="Needed after all.", by=scientist)
    assert (row.state, row.archived_at, row.archive_reason) == (VersionState.CANDIDATE, None, "")
    assert AuditEntry.objects.get(action="version.unarchive").after["reason"] == "Needed after all."


def test_former_champion_comes_back_as_retired(scientist, approver):
    for number in (1, 2):
        version = make_version(number, state=VersionState.PASSED)
        ledger.crown(version, by=approver, reason="Better.", kind="promotion")
    actions.archive("titanic", 1, reason="Old.", by=scientist)
    assert actions.unarchive("titanic", 1, reason="Back.", by=scientist).state == VersionState.RETIRED
    with pytest.raises(Conflict, match="is not archived"):
        actions.unarchive("titanic", 1, reason="Back.", by=scientist)


def test_database_holds_state_and_time_together(scientist):
    make_version(2)
    with pytest.raises(IntegrityError, match="archived_says_since_when"), transaction.atomic():
        ModelVersion.objects.update(state=VersionState.ARCHIVED)


def test_lists_leave_archived_versions_out_unless_asked(client, scientist):
    archived(scientist)
    make_version(1)
    client.force_login(scientist, backend=BACKEND)

    def listed(query=""):
        answer = client.get(f"/api/v1/models/titanic/versions{query}")
        return [row["version"] for row in answer.json()["results"]]

    assert listed() == ["1"]
    assert listed("?state=archived") == ["2"]
    assert client.get("/api/v1/models/titanic/versions?state=gone").status_code == 422
    assert [row.version for row in queries.model("titanic").newest] == [1]
    page = client.get(reverse("models:model-detail", args=["titanic"]))
    assert [row.version for row in page.context["page"]["rows"]] == [1]
    assert "archived (1)" in page.content.decode()
    page = client.get(reverse("models:model-detail", args=["titanic"]), {"state": "archived"})
    assert [row.version for row in page.context["page"]["rows"]] == [2]


def test_rest_archives_and_brings_back(client, scientist):
    make_version(2)
    client.force_login(scientist, backend=BACKEND)
    path = "/api/v1/models/titanic/versions/2"
    answer = client.post(f"{path}/archive", {"reason": "A trial."}, content_type="application/json")
    assert (answer.status_code, answer.json()["state"]) == (200, "archived")
    assert answer.json()["archive_reason"] == "A trial."
    answer = client.post(f"{path}/archive", {"reason": "Again."}, content_type="application/json")
    assert answer.status_code == 409
    answer = client.post(f"{path}/gate", {}, content_type="application/json")
    assert (answer.status_code, answer.json()["detail"]) == (
        409,
        "titanic v2 is archived. Unarchive it first.",
    )
    answer = client.post(f"{path}/unarchive", {"reason": "Needed."}, content_type="application/json")
    assert (answer.status_code, answer.json()["state"]) == (200, "candidate")


def test_page_archives_after_a_question_and_brings_back(client, scientist):
    make_version(2)
    client.force_login(scientist, backend=BACKEND)
    page = reverse("models:version-detail", args=["titanic", 2])
    assert 'id="archive-dialog"' in client.get(page).content.decode()
    answer = client.post(reverse("models:version-archive", args=["titanic", 2]), {"reason": "A trial."})
    assert answer.url == page
    shown = client.get(page).content.decode()
    assert "A trial." in shown
    assert 'id="archive-dialog"' not in shown
    client.post(reverse("models:version-unarchive", args=["titanic", 2]), {"reason": "Needed."})
    assert ModelVersion.objects.get().state == VersionState.CANDIDATE


def test_champion_has_no_button(client, scientist, approver):
    make_champion(1, approver)
    client.force_login(scientist, backend=BACKEND)
    page = client.get(reverse("models:version-detail", args=["titanic", 1])).content.decode()
    assert "Archive v1" not in page
