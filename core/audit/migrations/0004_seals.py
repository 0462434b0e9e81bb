"""Seals over the audit trail, in a table that only grows, as the trail itself."""

from django.db import migrations, models

REFUSE = """
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON audit_auditseal
    FOR EACH ROW EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit_auditseal
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
"""
ALLOW = """
DROP TRIGGER audit_append_only ON audit_auditseal;
DROP TRIGGER audit_no_truncate ON audit_auditseal;
"""


class Migration(migrations.Migration):
    dependencies = [("audit", "0003_encoder")]

    operations = [
        migrations.CreateModel(
            name="AuditSeal",
            fields=[
                ("number", models.BigIntegerField(primary_key=True, serialize=False)),
                ("previous", models.CharField(max_length=64, unique=True)),
                ("up_to_id", models.BigIntegerField(unique=True)),
                ("n_entries", models.PositiveIntegerField()),
                ("manifest", models.BinaryField()),
                ("sealed_at", models.DateTimeField()),
                ("hash", models.CharField(max_length=64, unique=True)),
            ],
            options={
                "ordering": ["number"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("number__gte", 1)), name="seals_count_from_one"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("n_entries__gte", 1)), name="a_seal_holds_entries"
                    ),
                ],
            },
        ),
        migrations.RunSQL(REFUSE, ALLOW),
    ]
