from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("models_registry", "0008_hashes_of_what_was_judged")]

    operations = [
        migrations.AddField(
            model_name="modelversion", name="missing_as", field=models.JSONField(default=dict)
        ),
    ]
