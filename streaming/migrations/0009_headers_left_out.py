from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("streaming", "0008_anomalies")]

    operations = [
        migrations.AddField(
            model_name="deadletter",
            name="n_headers_left_out",
            field=models.PositiveIntegerField(default=0),
        ),
    ]
