"""The migration that frees what older versions left behind."""

from importlib import import_module

import pytest
from django.apps import apps
from django.db import connection
from django.utils import timezone

from streaming.models import DeadLetter
from tests.unit.streaming.events import make_stream

pytestmark = pytest.mark.django_db


def test_letters_asked_for_and_letters_too_large_are_freed():
    stream = make_stream()
    place = {"topic": "t", "partition": 0, "reason": "r", "at": timezone.now(), "stream": stream}
    lost = DeadLetter.objects.create(offset=1, size_bytes=1, redrive_asked_at=timezone.now(), **place)
    large = DeadLetter.objects.create(offset=2, size_bytes=3_000_000, payload=b"x" * 3_000_000, **place)
    small = DeadLetter.objects.create(offset=3, size_bytes=2, payload=b"ok", key=b"k", **place)
    with connection.schema_editor() as editor:
        import_module("streaming.migrations.0006_stuck_dead_letters").mend(apps, editor)
    for letter in (lost, large, small):
        letter.refresh_from_db()
    assert list(DeadLetter.due()) == [lost]
    assert (large.is_cut, len(bytes(large.payload))) == (True, 1000 * 1024)
    assert (small.is_cut, bytes(small.payload), bytes(small.key)) == (False, b"ok", b"k")
