"""What the refresher learns from the console's own tables."""

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from models_registry.actions import end_champion
from models_registry.ledger import crown
from models_registry.models import ChampionPeriod, ModelVersion, ServingTrouble
from models_registry.states import VersionState
from predictions.serving import sources
from predictions.serving.sources import ConsoleSource
from tests import champions
from tests.people import make_token, make_user
from tests.registry import make_champion, make_version

pytestmark = pytest.mark.django_db
AS_PROMOTED = {"kind": ChampionPeriod.Kind.PROMOTION, "request": None}


def test_live_tokens_become_grants_with_their_owners_rights():
    ana = make_user("ana", "predictor")
    token, _key = make_token(ana)
    make_token(ana, days=-1, name="expired")
    (grant,) = ConsoleSource().grants()
    assert grant.key_sha256 == token.key_sha256
    assert (grant.caller.user_id, grant.caller.username, grant.caller.token_id) == (ana.pk, "ana", token.pk)
    assert grant.caller.scopes == {"predict", "tokens"}
    assert grant.caller.expires_at == token.expires_at.timestamp()


def test_tokens_that_called_say_when():
    token, _key = make_token(make_user("ana", "predictor"))
    ConsoleSource().note_used({token.pk})
    token.refresh_from_db()
    assert token.last_used_at is not None


def test_without_champions_there_is_nothing_to_serve():
    assert ConsoleSource().champions() == []
    assert ConsoleSource().model_names() == []


def test_who_was_champion_before_is_known_while_they_may_answer():
    approver = make_user("approver", "approver")
    first = make_champion(1, approver)
    assert ConsoleSource().before("titanic") is None
    crown(make_version(2, state=VersionState.PASSED), by=approver, reason="Better.", **AS_PROMOTED)
    assert ConsoleSource().before("titanic").version == "1"
    ModelVersion.objects.filter(pk=first.version_id).update(
        state=VersionState.ARCHIVED, archived_at=timezone.now()
    )
    assert ConsoleSource().before("titanic") is None
    assert ConsoleSource().before("unknown") is None


def test_who_was_champion_before_nobody_was_does_not_stand_in():
    approver = make_user("approver", "approver")
    make_champion(1, approver)
    end_champion("titanic", reason="It is wrong on Sundays.", by=approver)
    crown(make_version(2, state=VersionState.PASSED), by=approver, reason="Better.", **AS_PROMOTED)
    assert ConsoleSource().before("titanic") is None


def promoted(number, by, **values):
    """A version that is champion from now on."""
    version = make_version(number, state=VersionState.PASSED, **values)
    crown(version, by=by, reason="Better.", **AS_PROMOTED)


def rolled_back_to(number, by):
    version = ModelVersion.objects.get(version=number)
    crown(version, by=by, reason="It is wrong.", kind=ChampionPeriod.Kind.ROLLBACK)


def test_who_was_rolled_back_from_does_not_stand_in():
    approver = make_user("approver", "approver")
    promoted(1, approver)
    promoted(2, approver)
    rolled_back_to(1, approver)
    assert ConsoleSource().before("titanic") is None
    promoted(3, approver)
    assert ConsoleSource().before("titanic").version == "1"


def test_who_ended_with_nobody_after_it_does_not_stand_in_after_a_rollback_either():
    approver = make_user("approver", "approver")
    promoted(1, approver)
    end_champion("titanic", reason="It is wrong on Sundays.", by=approver)
    promoted(2, approver)
    promoted(3, approver)
    rolled_back_to(2, approver)
    assert ConsoleSource().before("titanic") is None


def test_who_is_gone_from_mlflow_leaves_it_to_the_one_before():
    approver = make_user("approver", "approver")
    promoted(1, approver)
    promoted(2, approver)
    promoted(3, approver)
    ModelVersion.objects.filter(version=2).update(gone_at=timezone.now())
    assert ConsoleSource().before("titanic").version == "1"


def test_a_demonstration_stands_in_for_a_demonstration_alone():
    approver = make_user("approver", "approver")
    promoted(1, approver)
    promoted(2, approver, is_demo=True)
    promoted(3, approver, is_demo=True)
    assert ConsoleSource().before("titanic").version == "2"
    promoted(4, approver)
    assert ConsoleSource().before("titanic").version == "1"


def test_a_champion_that_is_not_served_is_noted_with_who_answers_meanwhile():
    make_champion(2, make_user("approver", "approver"))
    one, two = (champions.packed().ref(version=version) for version in ("1", "2"))
    ConsoleSource().note_serving(two, "its SHA-256 is another", one)
    row = ServingTrouble.objects.get()
    assert (row.reason, row.answers) == ("its SHA-256 is another", 1)
    assert (ConsoleSource().is_refused(two), ConsoleSource().is_refused(one)) == (True, False)
    ConsoleSource().note_serving(two, "", None)
    assert not ServingTrouble.objects.exists()
    assert not ConsoleSource().is_refused(two)


def test_a_database_that_does_not_answer_is_not_waited_for(monkeypatch):
    def sleep():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(30)")

    monkeypatch.setattr(sources, "QUERY_TIMEOUT_MS", 20)
    monkeypatch.setattr(sources.access_queries, "live_tokens", sleep)
    with pytest.raises(OperationalError, match="statement timeout"), transaction.atomic():
        ConsoleSource().grants()
