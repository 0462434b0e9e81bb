from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("streaming", "0004_topic_ids")]

    operations = [
        migrations.AddField("deadletter", "is_cut", models.BooleanField(default=False)),
    ]
