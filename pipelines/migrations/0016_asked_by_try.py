from django.db import migrations, models

# Without the try there was one row for each task that asks: the way back leaves the latest.
ONLY_THE_LATEST = """
DELETE FROM pipelines_inputrequest earlier USING pipelines_inputrequest later
WHERE (earlier.run_id, earlier.task_id, earlier.map_index, earlier.asked_at)
    = (later.run_id, later.task_id, later.map_index, later.asked_at)
  AND earlier.try_number < later.try_number
"""


class Migration(migrations.Migration):
    dependencies = [("pipelines", "0015_tasks_due")]

    operations = [
        migrations.AddField(
            model_name="inputrequest",
            name="try_number",
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
        migrations.RemoveConstraint(model_name="inputrequest", name="input_asked_once"),
        migrations.AddConstraint(
            model_name="inputrequest",
            constraint=models.UniqueConstraint(
                fields=["run", "task_id", "map_index", "asked_at", "try_number"], name="input_asked_once"
            ),
        ),
        migrations.RunSQL(migrations.RunSQL.noop, ONLY_THE_LATEST),
    ]
