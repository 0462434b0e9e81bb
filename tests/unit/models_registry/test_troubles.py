"""A champion that serving refuses is a row for each process and one alert, and goes when it serves."""

from datetime import timedelta

import pytest
from django.utils import timezone

from core.alerts.models import Alert
from core.alerts.states import State
from models_registry import actions, tasks, troubles
from models_registry.models import ServingTrouble
from models_registry.states import VersionState
from tests.registry import make_champion, make_user, make_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def champion(approver):
    make_version(1, state=VersionState.RETIRED)
    return make_champion(2, approver)


def note(error: str = "its SHA-256 is another", *, version: int = 2, process: str = "web", **values):
    actions.note_serving("titanic", version, process=process, error=error, **values)


def test_a_refused_champion_is_a_row_and_an_alert(champion):
    note(answers=1)
    row = ServingTrouble.objects.get()
    assert (row.version, row.process, row.reason, row.answers) == (
        champion.version,
        "web",
        "its SHA-256 is another",
        1,
    )
    alert = Alert.objects.get()
    assert (alert.rule, alert.subject, alert.severity) == ("champion-not-served", "titanic", "critical")
    assert "v2 is champion in the ledger, but serving refuses it: its SHA-256 is another" in alert.detail
    assert [fact["value"] for fact in alert.facts][:3] == ["v2", "v1", 1]


def test_said_again_it_keeps_since_when(champion):
    note()
    since = ServingTrouble.objects.get().since
    note("another reason")
    row = ServingTrouble.objects.get()
    assert (row.since, row.reason) == (since, "another reason")
    assert row.last_seen_at > since
    assert Alert.objects.get().n_findings == 2


def test_it_is_settled_when_every_process_serves(champion):
    note(process="web")
    note(process="serving")
    note("", process="web")
    assert Alert.objects.get().state == State.OPEN
    note("", process="serving")
    assert not ServingTrouble.objects.exists()
    assert Alert.objects.get().state == State.RESOLVED


def test_a_champion_that_serves_costs_one_query(champion, django_assert_num_queries):
    with django_assert_num_queries(1):
        troubles.note_serving.__wrapped__("titanic", 2, process="web", error="")


def test_what_is_said_of_a_former_champion_counts_for_nothing(champion):
    note(version=1)
    assert not ServingTrouble.objects.exists()
    assert not Alert.objects.exists()


def test_a_model_that_is_unknown_is_let_be():
    note()
    assert not ServingTrouble.objects.exists()


def test_another_champion_settles_it(champion, approver, mlflow):
    note()
    actions.end_champion("titanic", reason="It cannot serve.", by=approver)
    assert not ServingTrouble.objects.exists()
    assert Alert.objects.get().state == State.RESOLVED


def test_a_process_that_ended_is_forgotten(champion):
    note(process="web")
    note(process="dead")
    long_ago = timezone.now() - timedelta(hours=1)
    ServingTrouble.objects.filter(process="dead").update(last_seen_at=long_ago)
    assert tasks.forget_silent_processes() == 1
    assert [row.process for row in ServingTrouble.objects.all()] == ["web"]
    assert Alert.objects.get().state == State.OPEN
    ServingTrouble.objects.update(last_seen_at=long_ago)
    tasks.forget_silent_processes()
    assert Alert.objects.get().state == State.RESOLVED


@pytest.fixture
def as_viewer(client):
    client.force_login(make_user("vera", "viewer"), backend="django.contrib.auth.backends.ModelBackend")
    return client


PAGES = [
    ("/models", "v1 still answers"),
    ("/models/titanic", "v2 is champion; v1 still answers: its SHA-256 is another"),
    ("/models/titanic/versions/2", "v2 is champion; v1 still answers: its SHA-256 is another"),
    ("/models/titanic/versions/1", "v2 is champion; v1 still answers: its SHA-256 is another"),
    ("/models/-/champions", "v1 still answers: its SHA-256 is another"),
]


@pytest.mark.parametrize(("path", "words"), PAGES)
def test_pages_say_who_is_champion_and_what_answers(champion, as_viewer, path, words):
    note(answers=1)
    page = " ".join(as_viewer.get(path).content.decode().split())
    assert words in page
    assert "does not serve" in page
    note("")
    page = " ".join(as_viewer.get(path).content.decode().split())
    assert words not in page
    assert "does not serve" not in page


def test_pages_say_when_nothing_answers(champion, as_viewer):
    note()
    page = " ".join(as_viewer.get("/models/titanic").content.decode().split())
    assert "v2 is champion; nothing answers: its SHA-256 is another" in page


def test_a_version_that_neither_is_champion_nor_answers_says_nothing_of_it(champion, as_viewer):
    make_version(3)
    note(answers=1)
    assert "still answers" not in as_viewer.get("/models/titanic/versions/3").content.decode()


def test_rest_says_what_answers(champion, as_viewer):
    note(answers=1)
    said = as_viewer.get("/api/v1/models/titanic").json()["not_served"]
    assert (said["reason"], said["answers"]) == ("its SHA-256 is another", "1")
    assert said["since"]
    assert as_viewer.get("/api/v1/models").json()["results"][0]["not_served"] == said
    assert as_viewer.get("/api/v1/models/titanic/versions/2").json()["not_served"] == said
    assert as_viewer.get("/api/v1/models/titanic/versions/1").json()["not_served"] is None
    note("")
    assert as_viewer.get("/api/v1/models/titanic").json()["not_served"] is None
