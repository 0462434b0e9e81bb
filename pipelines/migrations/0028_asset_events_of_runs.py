from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("pipelines", "0027_answered_there")]

    operations = [
        migrations.AddField(
            model_name="asset",
            name="aliases",
            field=models.JSONField(db_default=[], default=list),
        ),
        migrations.AddField(
            model_name="assetevent",
            name="partition_key",
            field=models.TextField(blank=True, db_default="", default=""),
        ),
        migrations.AddField(
            model_name="pipeline",
            name="queue_read_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="pipeline",
            name="queued_assets",
            field=models.JSONField(db_default=[], default=list),
        ),
        migrations.AddField(
            model_name="pipeline",
            name="waiting_partitions",
            field=models.JSONField(db_default=[], default=list),
        ),
        migrations.AddField(
            model_name="run",
            name="events_read_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="run",
            name="partition_date",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                fields=["-created_at"],
                condition=Q(run_type="asset_triggered", events_read_at=None, gone_at=None),
                name="runs_with_events_unread",
            ),
        ),
    ]
