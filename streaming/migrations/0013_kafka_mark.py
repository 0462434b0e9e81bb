from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("streaming", "0012_gone_messages")]

    operations = [
        migrations.CreateModel(
            name="KafkaMark",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("mark", models.CharField(blank=True, max_length=32)),
            ],
        ),
    ]
