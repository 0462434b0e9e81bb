"""What every unit test gets."""

import pytest
from django.db.backends.postgresql.operations import DatabaseOperations


@pytest.fixture(autouse=True)
def _plain_static_files(settings):
    """Addresses of static files as they are in the source: nobody has collected and hashed them."""
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = {**settings.STORAGES, "staticfiles": plain}


@pytest.fixture(autouse=True, scope="session")
def _audit_rows_go_between_tests():
    """Tests with real transactions empty all tables afterwards; the guard of the audit trail stands aside."""
    flush = DatabaseOperations.execute_sql_flush

    def without_triggers(self, sql_list):
        flush(self, ["SET session_replication_role = replica", *sql_list, "RESET session_replication_role"])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DatabaseOperations, "execute_sql_flush", without_triggers)
        yield


@pytest.fixture(autouse=True)
def _quick_passwords(settings):
    """The real hash takes a quarter of a second, on purpose; `access/test_sign_in.py` looks at it."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
