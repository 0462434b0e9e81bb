from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("pipelines", "0012_run_traceparent")]

    operations = [
        migrations.AddIndex(
            model_name="assetevent",
            index=models.Index(fields=["-at"], name="events_recent"),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                fields=["queued_at"],
                condition=Q(run_type="backfill", backfill=None),
                name="runs_of_unknown_backfill",
            ),
        ),
    ]
