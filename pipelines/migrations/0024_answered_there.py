from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("pipelines", "0021_partitions_and_intervals")]

    operations = [
        migrations.AddField(
            model_name="inputrequest",
            name="answered_there_by",
            field=models.TextField(blank=True, db_default=""),
        ),
    ]
