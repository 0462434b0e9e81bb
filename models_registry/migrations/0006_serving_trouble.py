import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("models_registry", "0005_wide_as_mlflow")]

    operations = [
        migrations.CreateModel(
            name="ServingTrouble",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("process", models.CharField(max_length=200)),
                ("reason", models.TextField()),
                ("answers", models.PositiveIntegerField(null=True)),
                ("since", models.DateTimeField(default=django.utils.timezone.now)),
                ("last_seen_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="troubles",
                        to="models_registry.modelversion",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("version", "process"), name="one_trouble_a_process")
                ],
            },
        ),
    ]
