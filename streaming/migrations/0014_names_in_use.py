"""An installation that has sent or counted keeps its names in Kafka: by them it knows what it has sent."""

from django.db import migrations

USERS = ("StreamOffset", "DeadLetter", "Anomaly", "Replay")


def keep_names(apps, schema_editor):
    """Without rows of these there is nothing that a new name could lose sight of."""
    if any(apps.get_model("streaming", name).objects.exists() for name in USERS):
        apps.get_model("streaming", "KafkaMark").objects.get_or_create(pk=1, defaults={"mark": ""})


class Migration(migrations.Migration):
    dependencies = [("streaming", "0013_kafka_mark")]

    operations = [migrations.RunPython(keep_names, migrations.RunPython.noop)]
