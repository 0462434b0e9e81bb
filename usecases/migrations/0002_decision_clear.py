from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("usecases", "0001_initial"),
    ]

    operations = [
        migrations.AlterField(
            model_name="decision",
            name="kind",
            field=models.CharField(
                choices=[("train", "Train"), ("promote", "Promote"), ("clear", "Clear")], max_length=16
            ),
        ),
    ]
