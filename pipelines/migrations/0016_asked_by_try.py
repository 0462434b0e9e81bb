from django.db import migrations, models


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
    ]
