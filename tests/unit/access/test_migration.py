"""The migration to limits of our own, on an installation that is in use."""

from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from tests.migrating import migrate as migrate

BEFORE, AFTER = ("access", "0002_roles"), ("access", "0003_ends_and_limits")


def test_users_and_tokens_go_on_and_the_old_counts_go(migrate):
    old = migrate(BEFORE)
    user = old.get_model("access", "User").objects.create(username="ana", password="x")
    token = old.get_model("access", "ApiToken").objects.create(
        user=user,
        created_by=user,
        name="ci",
        key_sha256="a" * 64,
        key_hint="ata_",
        expires_at="2030-01-01T00:00Z",
    )
    recorder = MigrationRecorder(connection)
    recorder.record_applied("axes", "0001_initial")
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE axes_accessattempt (username text)")
    new = migrate(AFTER)
    assert new.get_model("access", "User").objects.get(pk=user.pk).session_round == 0
    assert new.get_model("access", "ApiToken").objects.get(pk=token.pk).parent_id is None
    assert "axes_accessattempt" not in connection.introspection.table_names()
    assert not recorder.migration_qs.filter(app="axes").exists()
    migrate(BEFORE)  # and back again
