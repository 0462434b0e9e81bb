from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("predictions", "0004_batches"),
    ]

    operations = [
        migrations.AddField(
            model_name="predictionbatch",
            name="language",
            field=models.CharField(blank=True, db_default="", default="", max_length=16),
        ),
    ]
