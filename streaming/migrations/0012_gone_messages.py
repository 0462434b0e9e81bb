from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("streaming", "0011_idempotency_key")]

    operations = [
        migrations.AddField(
            "streamoffset", "n_gone", models.PositiveBigIntegerField(default=0, db_default=0)
        ),
        migrations.AddField("streamoffset", "gone_at", models.DateTimeField(null=True)),
    ]
