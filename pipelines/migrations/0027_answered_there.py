from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("pipelines", "0026_graphs_of_versions")]

    operations = [
        migrations.AddField(
            model_name="inputrequest",
            name="answered_there_by",
            field=models.TextField(blank=True, db_default=""),
        ),
    ]
