from django.db import migrations, models

import core.lib.traces


class Migration(migrations.Migration):
    dependencies = [("pipelines", "0011_alert_rules")]

    operations = [
        migrations.AddField(
            model_name="run",
            name="traceparent",
            field=models.CharField(
                blank=True,
                db_default="",
                default=core.lib.traces.traceparent,
                editable=False,
                max_length=55,
            ),
        ),
    ]
