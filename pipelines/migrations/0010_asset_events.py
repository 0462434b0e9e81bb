from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("pipelines", "0009_run_versions"),
    ]

    operations = [
        migrations.CreateModel(
            name="AssetEvent",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("airflow_id", models.PositiveBigIntegerField(unique=True)),
                ("asset_airflow_id", models.PositiveBigIntegerField()),
                ("at", models.DateTimeField()),
                ("dag_id", models.TextField(blank=True)),
                ("dag_run_id", models.TextField(blank=True)),
                ("task_id", models.TextField(blank=True)),
                ("map_index", models.IntegerField(default=-1)),
                ("extra", models.JSONField(default=dict)),
                ("began", models.JSONField(default=list)),
            ],
            options={
                "ordering": ["-at", "-airflow_id"],
                "indexes": [
                    models.Index(fields=["asset_airflow_id", "-at"], name="events_of_asset"),
                ],
            },
        ),
    ]
