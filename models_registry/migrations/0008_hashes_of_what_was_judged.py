"""Writes down which files past gates, requests and champions were about, as far as the versions tell."""

import hashlib

from django.db import migrations
from django.utils import timezone

HASHES = ("served_sha256", "reference_sha256", "holdout_sha256", "spec_sha256")
VERDICTS = ("passed", "failed")
WORDS = "The gate ran again after this was asked for, perhaps on other files. Ask for the promotion again."


def write_hashes(apps, _editor):
    versions = apps.get_model("models_registry", "ModelVersion").objects.exclude(served_sha256="")
    for version in versions.iterator():
        hashes = _hashes(version)
        version.periods.update(**hashes)
        gate = version.gates.filter(state__in=VERDICTS).order_by("-pk").first()
        if gate is None:
            continue
        version.gates.filter(pk=gate.pk).update(**hashes)
        waiting = version.requests.filter(state="requested")
        waiting.filter(requested_at__lt=gate.ended_at).update(
            state="withdrawn", decided_at=timezone.now(), decision_reason=WORDS
        )
        version.requests.filter(state__in=("requested", "approved")).update(**hashes)


def _hashes(version):
    return {
        "served_sha256": version.served_sha256,
        "reference_sha256": version.reference_sha256,
        "holdout_sha256": version.holdout_sha256,
        "spec_sha256": hashlib.sha256(version.spec_json.encode()).hexdigest(),
    }


def remove_hashes(apps, _editor):
    for name in ("GateRun", "PromotionRequest", "ChampionPeriod"):
        apps.get_model("models_registry", name).objects.update(**dict.fromkeys(HASHES, ""))


class Migration(migrations.Migration):
    dependencies = [("models_registry", "0007_hashes")]

    operations = [migrations.RunPython(write_hashes, remove_hashes)]
