"""The way back from lines: the older release takes one anomaly of a message."""

from django.utils import timezone

from streaming.models import Anomaly
from tests.migrating import migrate as migrate
from tests.unit.streaming.events import make_stream


def test_of_a_message_the_first_anomaly_goes_back(migrate):
    stream, now = make_stream(), timezone.now()
    numbers = {"observed": 60.0, "limit": 50.0, "rule": {}, "event_at": now, "at": now}
    for offset, line in ((7, 2), (7, 1), (8, 3), (9, 0)):
        place = {"topic": "trips", "topic_id": "a", "partition": 0, "offset": offset, "line": line}
        Anomaly.objects.create(stream=stream, **place, **numbers)
    apps = migrate(("streaming", "0009_headers_left_out"))
    rows = apps.get_model("streaming", "Anomaly").objects.order_by("pk")
    assert list(rows.values_list("offset", flat=True)) == [7, 8, 9]
    rows = migrate(("streaming", "0010_lines")).get_model("streaming", "Anomaly").objects
    assert set(rows.values_list("line", flat=True)) == {0}
