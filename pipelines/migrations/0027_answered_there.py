from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("pipelines", "0026_graphs_of_versions")]

    operations = [
        migrations.AddField(
            model_name="inputrequest",
            name="answered_there_by",
            field=models.TextField(blank=True, db_default=""),
        ),
        migrations.AddField(
            model_name="inputrequest",
            name="ended_there",
            field=models.CharField(
                blank=True,
                choices=[
                    ("elsewhere", "answered"),
                    ("defaults", "by its defaults"),
                    ("unawaited", "unanswered"),
                ],
                db_default="",
                max_length=16,
            ),
        ),
    ]
