from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("streaming", "0006_stuck_dead_letters")]

    operations = [
        migrations.AddField(model_name="deadletter", name="headers", field=models.BinaryField(null=True)),
    ]
