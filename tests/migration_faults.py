"""What in a migration breaks the release before it, which still runs while the database is the new one.

While parts are restarted one after the other the old code reads and writes tables as it knows them: a column
that is gone breaks every query, one that it does not fill and the database neither breaks every insert.
"""

from collections.abc import Iterator

from django.db import connection, models
from django.db.migrations import Migration, operations
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.models import NOT_PROVIDED

GONE = {
    operations.DeleteModel: "a table goes that the old code reads",
    operations.RenameModel: "a table gets another name",
    operations.AlterModelTable: "a table gets another name",
    operations.RemoveField: "a column goes that the old code reads and writes",
    operations.RenameField: "a column gets another name",
    operations.AddConstraint: "the old code may write what the constraint refuses",
    operations.RemoveConstraint: "the old code may name it in ON CONFLICT",
    operations.AlterUniqueTogether: "the old code may write what the constraint refuses",
    operations.RunPython: "only its author knows what the old code makes of the new data",
    operations.RunSQL: "only its author knows what the old code makes of it",
}


def faults(migration: Migration, before: ProjectState) -> Iterator[str]:
    """What is wrong with each operation that is, in words that begin with what it does.

    before: the models as the migrations before it leave them; it is carried on.
    """
    made: set[str] = set()  # tables of this very migration: the old code knows none of them
    for operation in migration.operations:
        for found in _database_operations(operation):
            if isinstance(found, operations.CreateModel):
                made.add(found.name_lower)
            elif not made & _tables(found):
                yield from _faults(found, migration.app_label, before)
        operation.state_forwards(migration.app_label, before)


def _database_operations(operation: Operation) -> list[Operation]:
    if isinstance(operation, operations.SeparateDatabaseAndState):
        return list(operation.database_operations)
    return [operation]


def _tables(operation: Operation) -> set[str]:
    return {str(getattr(operation, "model_name", "")).lower()} - {""}


def _faults(operation: Operation, app: str, before: ProjectState) -> Iterator[str]:
    what = operation.describe()
    for kind, why in GONE.items():
        if isinstance(operation, kind):
            yield f"{what}: {why}"
    if isinstance(operation, operations.AddField):
        if fault := _fault_of_new(operation.field):
            yield f"{what}: {fault}"
    elif isinstance(operation, operations.AlterField):
        old = before.models[app, operation.model_name_lower].fields[operation.name]
        if fault := _fault_of_change(old, operation.field):
            yield f"{what}: {fault}"


def _fault_of_new(field: models.Field) -> str:
    if field.many_to_many or field.null or field.db_default is not NOT_PROVIDED:
        return ""
    return "the old code does not fill it and the database has no default (db_default, or null)"


def _fault_of_change(old: models.Field, new: models.Field) -> str:
    if old.null and not new.null:
        return "the old code may still write null"
    if new.unique and not old.unique:
        return "the old code may write what is there already"
    types = old.db_type(connection), new.db_type(connection)
    if types[0] == types[1] or _is_wider(old, new):
        return ""
    return f"the type changes from {types[0]} to {types[1]}"


def _is_wider(old: models.Field, new: models.Field) -> bool:
    """Text that may be longer: PostgreSQL changes neither the rows nor what may be written."""
    if not isinstance(old, models.CharField) or not isinstance(new, models.CharField | models.TextField):
        return False
    return isinstance(new, models.TextField) or (new.max_length or 0) >= (old.max_length or 0)
