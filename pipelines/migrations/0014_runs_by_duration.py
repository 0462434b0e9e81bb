from django.db import migrations, models
from django.db.models import ExpressionWrapper, F

TOOK = ExpressionWrapper(F("ended_at") - F("started_at"), output_field=models.DurationField())


class Migration(migrations.Migration):
    dependencies = [("pipelines", "0013_recent_events")]

    operations = [
        migrations.AddIndex(
            model_name="run",
            index=models.Index(TOOK.asc(nulls_last=True), F("id").asc(), name="runs_shortest"),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(TOOK.desc(nulls_last=True), F("id").desc(), name="runs_longest"),
        ),
    ]
