"""What every unit test gets."""

import pytest


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
def _serving_at_rest(monkeypatch):
    """Pages find the serving machinery as its disk has it: no thread asks the database meanwhile."""
    start = "predictions.serving.refresh.Refresher.start"
    monkeypatch.setattr(start, lambda refresher: refresher.load_from_disk())
