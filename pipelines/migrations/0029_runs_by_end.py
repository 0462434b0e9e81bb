from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("pipelines", "0028_asset_events_of_runs")]

    operations = [
        migrations.AddIndex(
            model_name="run",
            index=models.Index(fields=["dag_id", "state", "-ended_at"], name="runs_by_end"),
        ),
    ]
