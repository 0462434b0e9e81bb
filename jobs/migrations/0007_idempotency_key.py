from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0006_retries_of_jobs_there")]

    operations = [
        migrations.AddField(
            "job",
            "idempotency_key",
            models.CharField(blank=True, db_default="", default="", max_length=200),
        ),
        migrations.AddConstraint(
            "job",
            models.UniqueConstraint(
                fields=["requested_by", "idempotency_key"],
                condition=~models.Q(idempotency_key=""),
                name="one_job_by_key",
            ),
        ),
    ]
