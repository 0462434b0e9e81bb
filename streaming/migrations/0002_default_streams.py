"""The streams that every installation has."""

from django.conf import settings
from django.db import migrations

from streaming import defaults


def add(apps, schema_editor):
    Stream = apps.get_model("streaming", "Stream")
    Stream.objects.create(
        name="taxi_trips",
        topic="taxi_trips",
        description="Taxi trips: fares, tips and distances by vendor.",
        definition=defaults.TAXI_TRIPS,
        is_builtin=True,
    )
    Stream.objects.create(
        name="predictions",
        topic=settings.CONSOLE_PREDICTIONS_TOPIC,
        description="Recorded predictions, by model. What does not fit is put aside by the recorder.",
        definition=defaults.PREDICTIONS,
        is_builtin=True,
        has_dead_topic=False,
    )


def remove(apps, schema_editor):
    apps.get_model("streaming", "Stream").objects.filter(is_builtin=True).delete()


class Migration(migrations.Migration):
    dependencies = [("streaming", "0001_initial")]

    operations = [migrations.RunPython(add, remove)]
