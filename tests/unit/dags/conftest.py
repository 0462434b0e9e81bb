"""What steps of pipelines find: the tests' own database of the use cases, an empty Redis."""

import psycopg2
import pytest
from django.db import connections

from tests.redis_fixtures import *  # noqa: F403


@pytest.fixture
def usecases_database(monkeypatch):
    """Pipelines reach the tests' own database; the test is marked with `django_db`."""
    values = connections["usecases"].settings_dict
    url = psycopg2.extensions.make_dsn(
        host=values["HOST"], port=values["PORT"] or None, user=values["USER"], dbname=values["NAME"]
    )
    monkeypatch.setenv("ATALAYA_USECASES_URL", url)


@pytest.fixture
def features_redis(real_redis, monkeypatch):
    """Pipelines reach an empty feature store, whose server the test may stop."""
    monkeypatch.setenv("ATALAYA_FEATURES_URL", real_redis.url)
    return real_redis
