"""What the tests of the console's own code share."""

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from core.access.models import User
from tests.redis_fixtures import *  # noqa: F403


@pytest.fixture
def admin_page(db) -> Client:
    """A client of a signed-in administrator."""
    user = User.objects.create_user("root")
    user.groups.add(Group.objects.get(name="admin"))
    client = Client()
    client.force_login(user)
    return client
