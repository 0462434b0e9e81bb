from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("models_registry", "0009_missing_as")]

    operations = [
        migrations.AddField(
            model_name="mlflowrun", name="stepped", field=models.JSONField(null=True, default=None)
        ),
    ]
