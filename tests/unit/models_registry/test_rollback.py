"""The way back is one step a call: said twice, or by eight at once, it does not go back twice."""

import threading

import pytest
from django.db import connection
from django.test import Client

from core.lib.errors import Conflict
from models_registry import actions, ledger
from models_registry.models import ChampionPeriod
from models_registry.states import VersionState
from tests.registry import make_champion, make_user, make_version

PATH = "/api/v1/models/titanic/rollback"
BACKEND = "django.contrib.auth.backends.ModelBackend"


@pytest.fixture
def five(approver):
    """Promoted one after the other: v5 is champion."""
    make_champion(1, approver)
    for number in (2, 3, 4, 5):
        version = make_version(number, state=VersionState.PASSED)
        ledger.crown(version, by=approver, reason="Better.", kind=ChampionPeriod.Kind.PROMOTION)


@pytest.fixture
def post(client, approver):
    client.force_login(approver, backend=BACKEND)
    return lambda **body: client.post(PATH, {"reason": "Sundays.", **body}, content_type="application/json")


def champion():
    return ChampionPeriod.objects.get(until=None).version.version


@pytest.mark.django_db
class TestOneByOne:
    def test_a_reason_is_enough(self, five, post):
        answer = post()
        assert (answer.status_code, answer.json()["version"]) == (200, "4")

    def test_the_same_call_again_goes_back_no_further_and_says_how_to(self, five, post):
        post()
        again = post()
        assert again.status_code == 409
        assert "titanic went back to v4 at" in again.json()["detail"]
        assert "by bert" in again.json()["detail"]
        assert "say that you expect v4 to be champion" in again.json()["detail"]
        assert champion() == 4

    def test_further_back_by_naming_what_is_expected(self, five, post):
        post(expected=5)
        assert post(expected=4).json()["version"] == "3"
        again = post(expected=4)
        assert again.status_code == 409
        assert again.json()["detail"] == (
            "The champion of titanic is v3, not v4 as you expected. Nothing was done."
        )

    def test_a_version_may_be_text_as_it_is_in_answers(self, five, post):
        assert post(expected="5").json()["version"] == "4"

    def test_or_by_naming_what_is_to_come_back(self, five, post):
        assert post(to=4).json()["version"] == "4"
        assert post(to=4).status_code == 409
        assert post(to=3).json()["version"] == "3"

    @pytest.mark.parametrize("expected", [0, -1, "x", 1.5, "true", None, []])
    def test_what_is_no_version_is_refused_at_the_field(self, five, post, expected):
        answer = post(expected=expected)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "expected"
        assert champion() == 5

    def test_after_another_promotion_a_reason_is_enough_again(self, five, post, approver):
        post()
        version = make_version(6, state=VersionState.PASSED)
        ledger.crown(version, by=approver, reason="Better.", kind=ChampionPeriod.Kind.PROMOTION)
        assert post().json()["version"] == "4"

    def test_nobody_can_be_expected_where_nobody_is_champion(self, five, post, approver):
        actions.end_champion("titanic", reason="Trial.", by=approver)
        answer = post(expected=5)
        assert answer.status_code == 409
        assert "is nobody, not v5" in answer.json()["detail"]
        assert post().json()["version"] == "5"
        assert post().status_code == 409


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("body", [{}, {"expected": 5}, {"to": 4}])
def test_eight_calls_at_once_go_back_one_version(body):
    approver = make_user("bert", "approver")
    make_champion(1, approver)
    for number in (2, 3, 4, 5):
        version = make_version(number, state=VersionState.PASSED)
        ledger.crown(version, by=approver, reason="Better.", kind=ChampionPeriod.Kind.PROMOTION)
    statuses: list[int] = []
    barrier = threading.Barrier(8)

    def call() -> None:
        client = Client()
        client.force_login(approver, backend=BACKEND)
        barrier.wait()
        try:
            answer = client.post(PATH, {"reason": "Now.", **body}, content_type="application/json")
            statuses.append(answer.status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] + [409] * 7
    assert champion() == 4


@pytest.mark.django_db
def test_a_rollback_whose_champion_changed_while_files_were_read_is_refused(five, approver, monkeypatch):
    def check_slowly(*_arguments, **_values):
        monkeypatch.undo()
        version = make_version(6, state=VersionState.PASSED)
        ledger.crown(version, by=approver, reason="Better.", kind=ChampionPeriod.Kind.PROMOTION)

    monkeypatch.setattr("models_registry.intact.check", check_slowly)
    monkeypatch.setattr("core.lib.live._send", lambda topic, body: None)
    with pytest.raises(Conflict, match="has changed meanwhile"):
        actions.rollback("titanic", reason="Now.", by=approver)
