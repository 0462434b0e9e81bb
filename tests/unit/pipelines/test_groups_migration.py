"""Groups that names told are asked of Airflow once more, on an installation that is in use."""

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

BEFORE, AFTER = ("pipelines", "0019_map_names"), ("pipelines", "0020_groups_anew")


def migrate(target):
    executor = MigrationExecutor(connection)
    executor.migrate([target])
    return (
        MigrationExecutor(connection).loader.project_state([target]).apps.get_model("pipelines", "Pipeline")
    )


@pytest.fixture
def _back_to_the_newest(transactional_db):
    yield
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())


@pytest.mark.usefixtures("_back_to_the_newest")
def test_what_was_told_of_groups_is_forgotten_and_nothing_else():
    told = [{"id": "a.b", "downstream": ["c"], "groups": ["a"]}, {"id": "c", "groups": []}]
    migrate(BEFORE).objects.create(dag_id="etl", display_name="etl", tasks=told, version=3)
    row = migrate(AFTER).objects.get()
    assert row.tasks == [{"id": "a.b", "downstream": ["c"], "groups": None}, {"id": "c", "groups": None}]
    assert row.version == 3
    migrate(BEFORE)  # and back again
