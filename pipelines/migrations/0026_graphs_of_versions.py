from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("pipelines", "0025_ends")]

    operations = [migrations.AddField("pipelinesource", "tasks", models.JSONField(null=True))]
