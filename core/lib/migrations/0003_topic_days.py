from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("lib", "0002_set_aside")]

    operations = [
        migrations.CreateModel(
            name="TopicDays",
            fields=[
                ("topic", models.CharField(max_length=249, primary_key=True, serialize=False)),
                ("days", models.PositiveIntegerField()),
            ],
        ),
    ]
