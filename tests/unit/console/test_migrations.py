"""Migrations leave the old code running: new ones, and the checks that say so."""

import pytest
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ModelState, ProjectState
from django.db.models import Index, Q

from tests.migration_faults import faults

OURS = {
    "access",
    "alerts",
    "audit",
    "demo",
    "jobs",
    "lib",
    "models_registry",
    "pipelines",
    "predictions",
    "streaming",
    "usecases",
}
# The last of each app before upgrades were done with the old code running: everything stops for those.
LAST_UNCHECKED = {
    "access": 4,
    "alerts": 3,
    "audit": 5,
    "demo": 1,
    "jobs": 4,
    "lib": 2,
    "models_registry": 10,
    "pipelines": 5,
    "predictions": 3,
    "streaming": 9,
    "usecases": 3,
}
# Faults that are none, by (app, migration), each with why: "streaming", "0010_x": "nobody writes the column".
REASONS: dict[tuple[str, str], str] = {
    ("jobs", "0006_retries_of_jobs_there"): "no old code reads the column",
    ("jobs", "0007_idempotency_key"): "the old code leaves the key empty, of which there may be many",
    ("streaming", "0011_idempotency_key"): "the old code leaves the key empty, of which there may be many",
    ("streaming", "0014_names_in_use"): "the old code does not know the table",
    ("pipelines", "0016_asked_by_try"): "the constraint has one more field: what was fine for it still is",
    ("streaming", "0010_lines"): "the constraint has one more field: what was fine for it still is",
    ("pipelines", "0020_groups_anew"): "tasks of which no groups are told are in rows of the old code too",
}


def found_in(name, operation, *, before=None):
    """The faults of a migration with this one operation, upon a table `thing`."""
    migration = migrations.Migration(name, "lib")
    migration.operations = [operation]
    state = before or ProjectState()
    if before is None:
        fields = [
            ("id", models.BigAutoField(primary_key=True)),
            ("name", models.CharField(max_length=20)),
            ("size", models.IntegerField(null=True)),
        ]
        state.add_model(ModelState("lib", "Thing", fields))
    return list(faults(migration, state))


def test_new_migrations_leave_the_old_code_running():
    loader = MigrationLoader(None)
    state, found = ProjectState(), {}
    for key in loader.graph._generate_plan(loader.graph.leaf_nodes(), at_end=True):
        migration = loader.get_migration(*key)
        if key[0] in OURS and int(key[1][:4]) > LAST_UNCHECKED[key[0]] and key not in REASONS:
            found[key] = list(faults(migration, state))
        else:
            migration.mutate_state(state, preserve=False)
    assert {key: words for key, words in found.items() if words} == {}


def test_every_reason_is_of_a_migration_that_is_there():
    assert REASONS.keys() - MigrationLoader(None).disk_migrations.keys() == set()


def test_every_app_with_migrations_is_looked_at():
    apps = {app for app, _name in MigrationLoader(None).disk_migrations}
    assert apps - OURS <= {"auth", "contenttypes", "sessions"}
    assert LAST_UNCHECKED.keys() == OURS


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        (migrations.RemoveField("thing", "name"), "reads and writes"),
        (migrations.RenameField("thing", "name", "title"), "another name"),
        (migrations.RenameModel("thing", "item"), "another name"),
        (migrations.DeleteModel("thing"), "a table goes"),
        (migrations.AddField("thing", "at", models.IntegerField(default=0)), "has no default"),
        (
            migrations.AddField("thing", "at", models.CharField(default="", blank=True, max_length=5)),
            "no default",
        ),
        (migrations.AlterField("thing", "size", models.IntegerField()), "still write null"),
        (
            migrations.AlterField("thing", "name", models.CharField(max_length=20, unique=True)),
            "there already",
        ),
        (migrations.AlterField("thing", "name", models.CharField(max_length=10)), "the type changes"),
        (migrations.AlterField("thing", "size", models.BigIntegerField(null=True)), "the type changes"),
        (
            migrations.AddConstraint("thing", models.CheckConstraint(condition=Q(size__gt=0), name="big")),
            "refuses",
        ),
        (migrations.RunSQL("DROP TABLE thing", migrations.RunSQL.noop), "only its author"),
        (migrations.RunPython(migrations.RunPython.noop), "only its author"),
        (
            migrations.SeparateDatabaseAndState(
                database_operations=[migrations.RemoveField("thing", "name")]
            ),
            "reads and writes",
        ),
    ],
)
def test_what_breaks_the_old_code_is_found(operation, words):
    (fault,) = found_in("0002_x", operation)
    assert words in fault


@pytest.mark.parametrize(
    "operation",
    [
        migrations.CreateModel("other", [("id", models.BigAutoField(primary_key=True))]),
        migrations.AddField("thing", "at", models.DateTimeField(null=True)),
        migrations.AddField("thing", "n", models.IntegerField(db_default=0)),
        migrations.AlterField("thing", "name", models.CharField(max_length=40)),
        migrations.AlterField("thing", "name", models.TextField()),
        migrations.AlterField(
            "thing", "name", models.CharField(max_length=20, blank=True, help_text="words")
        ),
        migrations.AddIndex("thing", Index(fields=["name"], name="by_name")),
        AddIndexConcurrently("thing", Index(fields=["name"], name="by_name")),
        migrations.AlterModelOptions("thing", {"ordering": ["name"]}),
        migrations.SeparateDatabaseAndState(state_operations=[migrations.RemoveField("thing", "size")]),
    ],
)
def test_what_the_old_code_does_not_notice_passes(operation):
    assert found_in("0002_x", operation) == []


def test_a_table_of_the_same_migration_may_be_filled_as_one_likes():
    migration = migrations.Migration("0002_x", "lib")
    migration.operations = [
        migrations.CreateModel("other", [("id", models.BigAutoField(primary_key=True))]),
        migrations.AddField("other", "n", models.IntegerField(default=0)),
    ]
    assert list(faults(migration, ProjectState())) == []
