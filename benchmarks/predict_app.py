"""The predict path as it is served, with a champion that needs no registry: for `benchmarks.predict`."""

import os
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
django.setup()

from django.conf import settings  # noqa: E402

from predictions.serving.service import Service  # noqa: E402
from predictions.serving.standalone import ServingApp  # noqa: E402
from tests import champions  # noqa: E402


def _app() -> ServingApp:
    source = champions.FakeSource()
    source.promote("1", champions.packed(n_trees=int(os.environ["BENCH_TREES"])))
    folder = Path(os.environ["BENCH_DIR"])
    return ServingApp(Service(folder, source, settings.CONSOLE_PREDICTIONS_TOPIC))


app = _app()
