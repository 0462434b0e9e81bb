from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0007_idempotency_key")]

    operations = [
        migrations.AddField(
            "job",
            "call_sha256",
            models.CharField(blank=True, db_default="", default="", max_length=64),
        ),
    ]
