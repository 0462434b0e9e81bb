from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("lib", "0003_topic_days")]

    operations = [
        migrations.CreateModel(
            name="DailyTask",
            fields=[
                ("name", models.CharField(max_length=100, primary_key=True, serialize=False)),
                ("started_at", models.DateTimeField()),
            ],
        ),
    ]
