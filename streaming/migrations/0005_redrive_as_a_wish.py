from django.core.validators import RegexValidator
from django.db import migrations, models

TOPIC = RegexValidator(r"\A(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,249}\Z")


class Migration(migrations.Migration):
    dependencies = [("streaming", "0004_topic_ids")]

    operations = [
        migrations.AlterField("stream", "topic", models.CharField(max_length=249, validators=[TOPIC])),
        migrations.AlterField("deadletter", "topic", models.CharField(max_length=249)),
        migrations.AlterField("replay", "topic", models.CharField(max_length=249)),
        migrations.AddField(
            "stream", "other_dead_topic", models.CharField(blank=True, default="", max_length=249)
        ),
        migrations.AddField("deadletter", "is_cut", models.BooleanField(default=False)),
        migrations.AddField(
            "deadletter", "send_error", models.CharField(blank=True, default="", max_length=300)
        ),
        migrations.AddField("deadletter", "delivery_attempts", models.PositiveIntegerField(default=0)),
        migrations.AddField("deadletter", "delivery_error", models.TextField(blank=True)),
        migrations.AddField("deadletter", "next_attempt_at", models.DateTimeField(default=None, null=True)),
        migrations.AddIndex(
            "deadletter",
            models.Index(
                condition=models.Q(("next_attempt_at__isnull", False)),
                fields=["next_attempt_at"],
                name="dead_letter_to_redrive",
            ),
        ),
    ]
