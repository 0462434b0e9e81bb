from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("pipelines", "0016_asked_by_try")]

    operations = [
        migrations.AddField(
            model_name="importfault",
            name="bundle",
            field=models.TextField(blank=True, db_default=""),
        ),
        migrations.AddField(
            model_name="pipeline",
            name="bundle",
            field=models.TextField(blank=True, db_default=""),
        ),
    ]
