from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("pipelines", "0014_runs_by_duration")]

    operations = [
        migrations.AddField(
            model_name="run",
            name="tasks_due_until",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                fields=["tasks_due_until"],
                condition=Q(tasks_due_until__isnull=False),
                name="runs_with_tasks_due",
            ),
        ),
    ]
