import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("streaming", "0014_names_in_use")]

    operations = [
        migrations.CreateModel(
            name="DeadTally",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("reason", models.CharField(max_length=400)),
                ("n", models.PositiveBigIntegerField()),
                ("last_at", models.DateTimeField()),
                (
                    "stream",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="dead_tallies",
                        to="streaming.stream",
                    ),
                ),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("stream", "reason"), name="dead_tally_once")],
            },
        ),
    ]
