"""Which MLflow run and which version belong to a DAG run."""

import mlflow
import pytest

from dags.recipes.common import tracking


def origin(dag_id, run_id):
    return tracking.Origin(dag_id, run_id, data_sha256="9f3c", data_source="synthetic", seed=1)


def began(client, of):
    mlflow.set_experiment("titanic")
    with mlflow.start_run(tags=of.tags()) as run:
        return run.info.run_id


def registered(client, of):
    run_id = began(client, of)
    if not client.search_registered_models("name='titanic'"):
        client.create_registered_model("titanic")
    return client.create_model_version("titanic", "file:///nowhere", run_id, tags=of.tags()).version


@pytest.mark.parametrize(
    "run_id", ["scheduled__2026-01-01T00:00:00+00:00", "it's", 'it\'s "so"', "a' OR 'a' = 'a"]
)
def test_each_dag_run_has_its_own(tracked, run_id):
    """Runs of a schedule share their id with those of every other pipeline on it."""
    mine, other = origin("titanic_training", run_id), origin("titanic_copy", run_id)
    assert tracking._begun(tracked, "titanic", mine) is None
    versions = {one.dag_id: str(registered(tracked, one)) for one in (mine, other)}
    for one in (mine, other):
        found = tracking.registered_by(tracked, "titanic", one)
        assert (found.version, tracking._begun(tracked, "titanic", one)) == (
            versions[one.dag_id],
            found.run_id,
        )


def test_another_run_of_the_pipeline_is_not_this_one(tracked):
    registered(tracked, origin("titanic_training", "first"))
    second = origin("titanic_training", "second")
    assert tracking.registered_by(tracked, "titanic", second) is None
    assert tracking._begun(tracked, "titanic", second) is None
