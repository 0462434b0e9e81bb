from django.db import migrations, models

# Without the line there was one row for each message: the way back leaves the first.
ONLY_THE_FIRST = """
DELETE FROM streaming_anomaly later USING streaming_anomaly earlier
WHERE (earlier.stream_id, earlier.topic, earlier.topic_id, earlier.partition, earlier."offset")
    = (later.stream_id, later.topic, later.topic_id, later.partition, later."offset")
  AND earlier.line < later.line
"""


class Migration(migrations.Migration):
    dependencies = [("streaming", "0009_headers_left_out")]

    operations = [
        migrations.AddField(
            model_name="anomaly",
            name="line",
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(model_name="deadletter", name="lines", field=models.JSONField(null=True)),
        migrations.RemoveConstraint(model_name="anomaly", name="anomaly_once"),
        migrations.AddConstraint(
            model_name="anomaly",
            constraint=models.UniqueConstraint(
                fields=["stream", "topic", "topic_id", "partition", "offset", "line"], name="anomaly_once"
            ),
        ),
        migrations.RunSQL(migrations.RunSQL.noop, ONLY_THE_FIRST),
    ]
