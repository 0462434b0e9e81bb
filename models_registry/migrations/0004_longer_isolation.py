from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies: ClassVar = [("models_registry", "0003_by_the_console")]

    operations: ClassVar = [
        migrations.AlterField(
            model_name="gaterun",
            name="isolation",
            field=models.CharField(blank=True, max_length=60),
        ),
    ]
