from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("pipelines", "0024_asset_starts")]

    operations = [
        migrations.AddField("pipeline", "next_logical_at", models.DateTimeField(null=True)),
        migrations.AddField("pipeline", "ends_at", models.DateTimeField(null=True)),
    ]
