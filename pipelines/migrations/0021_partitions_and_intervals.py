from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("pipelines", "0020_groups_anew")]

    operations = [
        migrations.AddField(
            model_name="pipeline",
            name="allowed_run_types",
            field=models.JSONField(null=True),
        ),
        migrations.AddField(
            model_name="pipeline",
            name="is_partitioned",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name="run",
            name="data_interval_end",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="run",
            name="data_interval_start",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="run",
            name="partition_key",
            field=models.CharField(blank=True, db_default="", default="", max_length=250),
        ),
    ]
