from django.db import migrations, models

HASHES = ("served_sha256", "reference_sha256", "holdout_sha256", "spec_sha256")


class Migration(migrations.Migration):
    dependencies = [("models_registry", "0006_serving_trouble")]

    operations = [
        migrations.AddField(
            model_name=model_name, name=name, field=models.CharField(blank=True, max_length=64)
        )
        for model_name in ("gaterun", "promotionrequest", "championperiod")
        for name in HASHES
    ]
