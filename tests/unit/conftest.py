"""What every unit test gets."""

import pytest


@pytest.fixture(autouse=True)
def _plain_static_files(settings):
    """Addresses of static files as they are in the source: nobody has collected and hashed them."""
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = {**settings.STORAGES, "staticfiles": plain}
