"""Jobs know how many retries were asked for: a streaming job gets them back."""

from django.db import migrations, models
from django.db.models import F


def _as_asked(apps, _schema_editor):
    apps.get_model("jobs", "Job").objects.update(retries=F("retries_left") + F("attempt") - 1)


class Migration(migrations.Migration):
    dependencies = [("jobs", "0004_job_schedules")]
    operations = [
        migrations.AddField("job", "retries", models.PositiveSmallIntegerField(default=0, db_default=0)),
        migrations.RunPython(_as_asked, migrations.RunPython.noop),
    ]
