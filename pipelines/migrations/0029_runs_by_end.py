from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("pipelines", "0027_answered_there")]

    operations = [
        migrations.AddIndex(
            model_name="run",
            index=models.Index(fields=["dag_id", "state", "-ended_at"], name="runs_by_end"),
        ),
    ]
