from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("streaming", "0007_dead_letter_headers")]

    operations = [
        migrations.AddField(
            model_name="deadletter",
            name="n_headers_left_out",
            field=models.PositiveIntegerField(default=0),
        ),
    ]
