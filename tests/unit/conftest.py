"""What every unit test gets."""

import os

import pytest
from django.db.models.signals import post_save
from django.utils import translation

from core.access import policy
from core.audit.models import AuditEntry

# What shap does with a few rows takes milliseconds as it is, and seconds to compile, in each process.
os.environ["NUMBA_DISABLE_JIT"] = "1"


@pytest.fixture(autouse=True)
def _plain_static_files(settings):
    """Addresses of static files as they are in the source: nobody has collected and hashed them."""
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = {**settings.STORAGES, "staticfiles": plain}


@pytest.fixture(autouse=True)
def _quick_passwords(settings):
    """The real hash takes a quarter of a second, on purpose; `access/test_sign_in.py` looks at it."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def _language_ends_with_the_test():
    """A request leaves its language to the thread, where the next one sets its own."""
    yield
    translation.deactivate()


@pytest.fixture(autouse=True)
def _serving_at_rest(monkeypatch):
    """Pages find the serving machinery as its disk has it: no thread asks the database meanwhile."""
    start = "predictions.serving.refresh.Refresher.start"
    monkeypatch.setattr(start, lambda refresher: refresher.load_from_disk())


@pytest.fixture(autouse=True)
def _audited_objects_are_in_the_table(request):
    """Whatever a test has recorded is of a type for which `policy.OBJECTS` says who may see it."""
    if "audit" in request.path.parts:  # its own tests make types up
        yield
        return
    types = set()

    def note(instance, **_kwargs):
        types.add(instance.object_type)

    post_save.connect(note, sender=AuditEntry)
    yield
    post_save.disconnect(note, sender=AuditEntry)
    assert types <= policy.OBJECTS.keys(), "a type of objects is missing in policy.OBJECTS"
