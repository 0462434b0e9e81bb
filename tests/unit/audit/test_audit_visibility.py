"""Who sees what happened to an object: whoever may see the object, by the table of rights."""

import pytest
from django.apps import apps
from django.core.exceptions import PermissionDenied

from core.access import policy
from core.audit import actions, visibility
from tests.people import make_admin, make_user, signed_in

pytestmark = pytest.mark.django_db
APPS = (
    "access",
    "audit",
    "alerts",
    "demo",
    "pipelines",
    "models_registry",
    "streaming",
    "jobs",
    "predictions",
    "usecases",
)


def status(role, object_type):
    client = signed_in(make_user(f"{role}-{object_type}"[:150], role))
    return client.get("/audit/object", {"type": object_type, "id": "1"}).status_code


def test_a_viewer_does_not_read_what_happened_to_an_account():
    ana = make_user("ana", "viewer")
    actions.record("session.sign_in", ana, by=ana)
    box = f"/audit/object?type=access.user&id={ana.pk}"
    answer = signed_in(make_user("bob", "viewer")).get(box)
    assert answer.status_code == 403
    assert "session.sign_in" not in answer.content.decode()
    assert "session.sign_in" in signed_in(make_admin()).get(box).content.decode()


@pytest.mark.parametrize("role", policy.ROLES)
def test_the_box_needs_what_the_object_needs(role):
    for object_type, scope in policy.OBJECTS.items():
        wanted = 200 if role in policy.SCOPES[scope] else 403
        assert status(role, object_type) == wanted, object_type


@pytest.mark.parametrize("role", [role for role in policy.ROLES if role != policy.ADMIN])
@pytest.mark.parametrize("object_type", ["new.type", "ACCESS.USER", "access.user ", "auth.user"])
def test_a_type_that_the_table_lacks_is_for_administrators(role, object_type):
    stripped = object_type.strip()
    assert status(role, object_type) == (403 if stripped not in policy.OBJECTS else status(role, stripped))


def test_every_entry_of_the_table_is_a_model_or_the_first_word_of_an_action():
    models = {model._meta.label_lower for label in APPS for model in apps.get_app_config(label).get_models()}
    assert {name for name in policy.OBJECTS if "." in name} <= models


def test_nobody_sees_anything_until_somebody_decides():
    with pytest.raises(PermissionDenied):
        visibility._refuse(make_admin(), "jobs.job")
