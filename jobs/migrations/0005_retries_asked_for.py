from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0004_job_schedules")]

    operations = [
        migrations.AddField("job", "retries", models.PositiveSmallIntegerField(default=0, db_default=0)),
    ]
