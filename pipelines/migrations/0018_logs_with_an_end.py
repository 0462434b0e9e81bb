from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("pipelines", "0017_bundles")]

    operations = [
        migrations.AddField(
            model_name="tasklog",
            name="has_end",
            field=models.BooleanField(db_default=False, default=False),
        ),
    ]
