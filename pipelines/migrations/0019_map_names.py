from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("pipelines", "0018_logs_with_an_end")]

    operations = [
        migrations.AddField(
            model_name="taskinstance",
            name="map_name",
            field=models.TextField(blank=True, db_default=""),
        ),
        migrations.AddField(
            model_name="inputrequest",
            name="map_name",
            field=models.TextField(blank=True, db_default=""),
        ),
    ]
