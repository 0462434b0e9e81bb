from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0002_streaming_jobs")]

    operations = [
        migrations.AddField("job", "target", models.CharField(default="default", max_length=40)),
        migrations.AddField("job", "attempt", models.PositiveSmallIntegerField(default=1)),
        migrations.AddField("job", "retries_left", models.PositiveSmallIntegerField(default=0)),
        migrations.AddField("job", "not_before", models.DateTimeField(null=True)),
        migrations.AddField(
            "job", "last_error", models.TextField(blank=True, default=""), preserve_default=False
        ),
    ]
