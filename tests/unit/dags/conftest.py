"""What steps of pipelines find: the tests' own database of the use cases, an empty Redis, an empty MLflow."""

import shutil

import mlflow
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


@pytest.fixture(scope="session")
def _empty_store(tmp_path_factory):
    """MLflow's tables, which take it seconds to make: once for all."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    folder = tmp_path_factory.mktemp("mlflow")
    SqlAlchemyStore(f"sqlite:///{folder}/mlflow.db", (folder / "artifacts").as_uri())._dispose_engine()
    return folder / "mlflow.db"


@pytest.fixture
def tracked(monkeypatch, tmp_path, _empty_store):
    """An MLflow store of its own, in files."""
    shutil.copy(_empty_store, tmp_path / "mlflow.db")
    monkeypatch.setattr(mlflow.tracking._tracking_service.utils, "_tracking_uri", None)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    mlflow.set_registry_uri(f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    yield mlflow.MlflowClient()
    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri(None)
