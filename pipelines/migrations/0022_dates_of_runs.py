from django.db import migrations, models
from django.db.models import F, Q


class Migration(migrations.Migration):
    dependencies = [("pipelines", "0021_partitions_and_intervals")]

    operations = [
        migrations.AddIndex(
            model_name="run",
            index=models.Index(F("logical_date").asc(nulls_last=True), F("id").asc(), name="runs_by_date"),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                F("logical_date").desc(nulls_last=True), F("id").desc(), name="runs_by_date_falling"
            ),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(fields=["dag_id", "logical_date"], name="runs_of_date"),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                fields=["dag_id", "partition_key"],
                condition=~Q(partition_key=""),
                name="runs_of_partition",
            ),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(fields=["triggered_by"], condition=Q(state="failed"), name="runs_failed_by"),
        ),
    ]
