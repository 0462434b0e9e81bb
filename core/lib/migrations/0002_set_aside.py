from django.db import migrations, models
from django.db.models.functions import MD5
from django.utils import timezone


class Migration(migrations.Migration):
    dependencies = [("lib", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="SetAside",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("loop", models.CharField(max_length=60)),
                ("key", models.CharField(max_length=1000)),
                ("about", models.CharField(blank=True, max_length=300)),
                ("reason", models.TextField(blank=True)),
                ("fingerprint", models.CharField(blank=True, max_length=64)),
                ("count", models.PositiveIntegerField(default=1)),
                ("first_at", models.DateTimeField(default=timezone.now)),
                ("last_at", models.DateTimeField(default=timezone.now)),
                ("next_try_at", models.DateTimeField(default=timezone.now)),
            ],
            options={
                "ordering": ["loop", "-last_at", "pk"],
                "indexes": [models.Index(fields=["about"], name="set_aside_by_thing")],
                "constraints": [models.UniqueConstraint(models.F("loop"), MD5("key"), name="set_aside_once")],
            },
        ),
    ]
