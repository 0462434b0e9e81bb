from django.db import migrations, models


class Migration(migrations.Migration):
    """How pages speak to a person; empty, as for everybody so far: as the browser asks."""

    dependencies = [("access", "0003_ends_and_limits")]

    operations = [
        migrations.AddField("user", "language", models.CharField(blank=True, default="", max_length=16)),
        migrations.AddField("user", "time_zone", models.CharField(blank=True, default="", max_length=64)),
    ]
