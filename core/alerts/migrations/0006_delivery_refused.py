from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("alerts", "0005_indexes_of_deliveries")]

    operations = [
        migrations.AddField(
            model_name="delivery",
            name="refused",
            field=models.JSONField(db_default=[], default=list),
        ),
    ]
