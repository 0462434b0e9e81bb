"""The rows stay as they are; they are read with all the digits of their numbers."""

import django.core.serializers.json
from django.db import migrations, models

import core.lib.json_out


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0004_seals"),
    ]

    operations = [
        migrations.AlterField(
            model_name="auditentry",
            name=name,
            field=models.JSONField(
                decoder=core.lib.json_out.RowDecoder,
                encoder=django.core.serializers.json.DjangoJSONEncoder,
                null=True,
            ),
        )
        for name in ("after", "before")
    ]
