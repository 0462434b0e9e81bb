from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("pipelines", "0022_dates_of_runs")]

    operations = [
        migrations.AddField(
            model_name="run",
            name="gone_at",
            field=models.DateTimeField(null=True),
        ),
    ]
