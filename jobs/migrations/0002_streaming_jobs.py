from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0001_jobs")]

    operations = [
        migrations.AddField("job", "is_streaming", models.BooleanField(default=False)),
        migrations.AddField("job", "progress", models.JSONField(null=True)),
    ]
