from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("streaming", "0010_lines")]

    operations = [
        migrations.AddField(
            "replay",
            "idempotency_key",
            models.CharField(blank=True, db_default="", default="", max_length=200),
        ),
        migrations.AddConstraint(
            "replay",
            models.UniqueConstraint(
                fields=["requested_by", "idempotency_key"],
                condition=~models.Q(idempotency_key=""),
                name="one_replay_by_key",
            ),
        ),
    ]
