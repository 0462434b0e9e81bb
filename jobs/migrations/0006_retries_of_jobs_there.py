"""How many retries were asked for, of jobs that are there: a streaming job gets them back."""

from django.db import migrations
from django.db.models import F


def _as_asked(apps, _schema_editor):
    apps.get_model("jobs", "Job").objects.update(retries=F("retries_left") + F("attempt") - 1)


class Migration(migrations.Migration):
    dependencies = [("jobs", "0005_retries_asked_for")]

    operations = [migrations.RunPython(_as_asked, migrations.RunPython.noop)]
