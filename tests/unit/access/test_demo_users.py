"""The demonstration's users go with their tokens; the audit trail keeps their names."""

import pytest

from core.access import actions
from core.access.models import ApiToken, User
from core.audit.models import AuditEntry
from tests.people import make_token, make_user
from tests.registry import make_champion

pytestmark = pytest.mark.django_db


def test_users_of_the_demonstration_go_with_their_tokens():
    make_token(make_user("demo-engineer", "engineer", is_demo=True))
    make_token(make_user("ana", "engineer"))
    assert actions.remove_demo() == (1, [])
    assert [user.username for user in User.objects.all()] == ["ana"]
    assert ApiToken.objects.count() == 1
    assert AuditEntry.objects.get(action="user.remove").object_label == "demo-engineer"
    assert actions.remove_demo() == (0, [])


def test_one_whom_a_row_that_stays_names_is_deactivated():
    make_champion(1, make_user("demo-approver", "approver", is_demo=True))
    assert actions.remove_demo() == (0, ["demo-approver"])
    assert not User.objects.get().is_active
    assert not AuditEntry.objects.filter(action="user.remove").exists()
