"""The column stays, empty in new rows, for the code before this, which reads and writes it."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("models_registry", "0010_metrics_with_a_history")]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[migrations.RemoveField(model_name="mlflowrun", name="stepped")]
        )
    ]
