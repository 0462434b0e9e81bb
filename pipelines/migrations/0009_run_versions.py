from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("pipelines", "0008_backfills"),
    ]

    operations = [
        migrations.AddField(
            model_name="run",
            name="versions",
            field=models.JSONField(db_default=[], default=list),
        ),
    ]
