"""The demonstration's users: their own, with the least that they need, and never somebody else's name."""

import pytest

from console.demo import people
from console.demo.errors import CannotBegin
from core.access.models import ApiToken, User
from core.audit.models import AuditEntry
from tests.people import make_user

pytestmark = pytest.mark.django_db


def test_users_have_one_role_each_no_password_and_a_mark():
    with people.with_tokens() as keys:
        assert set(keys) == set(people.ROLES)
    for name, role in people.ROLES.items():
        user = User.objects.get(username=name)
        assert (user.role_names, user.is_demo, user.has_usable_password()) == ([role], True, False)


def test_tokens_end_with_the_walk_and_are_new_in_the_next():
    with people.with_tokens() as first:
        assert {token.state for token in ApiToken.objects.all()} == {"active"}
    assert {token.state for token in ApiToken.objects.all()} == {"revoked"}
    with people.with_tokens() as second:
        assert not set(first.values()) & set(second.values())
    assert User.objects.filter(is_demo=True).count() == 3


def test_tokens_that_a_killed_walk_left_are_revoked():
    people._issue(people.DEMONSTRATION, people.TOKEN_LIVES)
    with people.with_tokens():
        assert sum(token.is_live for token in ApiToken.objects.all()) == 3


def test_tokens_of_another_purpose_stay():
    with people.with_tokens("run_usecase"), people.with_tokens():
        assert sum(token.is_live for token in ApiToken.objects.all()) == 6


@pytest.mark.parametrize("name", ["demo-scientist", "Demo-Scientist"])
def test_a_name_that_is_somebodys_stops_it_with_words(name):
    make_user(name, "viewer")
    with pytest.raises(CannotBegin, match=f"user “{name}” who is not"), people.with_tokens():
        pass
    assert not User.objects.filter(is_demo=True).exists()
    assert not ApiToken.objects.exists()
    assert not AuditEntry.objects.exists()


def test_a_changed_user_of_the_demonstration_stops_it_with_words():
    make_user("demo-approver", "admin", is_demo=True)
    with pytest.raises(CannotBegin, match="“demo-approver” was changed"), people.with_tokens():
        pass
