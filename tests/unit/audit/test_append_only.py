"""PostgreSQL itself refuses to change or remove a row of the trail, whoever asks and however."""

import pytest
from django.db import IntegrityError, connection, transaction

from core.audit import actions
from core.audit.models import AuditEntry

pytestmark = pytest.mark.django_db
REFUSED = "the audit trail is append-only"


@pytest.fixture
def entry():
    return actions.record("thing.make", "a thing", by=None)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_auditentry SET actor_name = 'somebody else'",
        "DELETE FROM audit_auditentry",
        "TRUNCATE audit_auditentry",
        "TRUNCATE audit_auditentry CASCADE",
    ],
)
def test_sql_cannot_touch_a_row(entry, statement):
    with (
        pytest.raises(IntegrityError, match=REFUSED),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)
    assert AuditEntry.objects.get().actor_name == "system"


@pytest.mark.parametrize(
    "change",
    [
        lambda entry: entry.delete(),
        lambda entry: entry.save(),
        lambda entry: AuditEntry.objects.update(action="x"),
        lambda entry: AuditEntry.objects.all().delete(),
        lambda entry: AuditEntry.objects.filter(pk=entry.pk)._raw_delete("default"),
    ],
)
def test_the_orm_cannot_touch_a_row(entry, change):
    with pytest.raises(IntegrityError, match=REFUSED), transaction.atomic():
        change(entry)
    assert AuditEntry.objects.get().action == "thing.make"
