"""Runs have Airflow's logical date; null for older ones, which were started without."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("pipelines", "0002_forgotten_runs")]

    operations = [
        migrations.AddField("run", "logical_date", models.DateTimeField(null=True)),
    ]
