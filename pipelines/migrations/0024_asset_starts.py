import django.contrib.postgres.indexes
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("pipelines", "0023_gone_runs")]

    operations = [
        migrations.AddField(
            model_name="pipeline",
            name="asset_expression",
            field=models.JSONField(null=True),
        ),
        migrations.AddIndex(
            model_name="assetevent",
            index=django.contrib.postgres.indexes.GinIndex(
                fields=["began"], name="events_by_run", opclasses=["jsonb_path_ops"]
            ),
        ),
    ]
