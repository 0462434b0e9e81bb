"""Groups that names told are asked of Airflow once more, on an installation that is in use."""

from tests.migrating import migrate as migrate

BEFORE, AFTER = ("pipelines", "0019_map_names"), ("pipelines", "0020_groups_anew")


def test_what_was_told_of_groups_is_forgotten_and_nothing_else(migrate):
    told = [{"id": "a.b", "downstream": ["c"], "groups": ["a"]}, {"id": "c", "groups": []}]
    migrate(BEFORE).get_model("pipelines", "Pipeline").objects.create(
        dag_id="etl", display_name="etl", tasks=told, version=3
    )
    row = migrate(AFTER).get_model("pipelines", "Pipeline").objects.get()
    assert row.tasks == [{"id": "a.b", "downstream": ["c"], "groups": None}, {"id": "c", "groups": None}]
    assert row.version == 3
    migrate(BEFORE)  # and back again
