"""Windows of the demonstration: those that hold nothing else go, the others stay as they are."""

import time

import pytest

from streaming import demo_events
from streaming.counting import Counting
from streaming.ledger import Overtaken
from streaming.models import DeadLetter, Stream, Window
from tests.unit.streaming.events import make_stream, messages, trip

pytestmark = pytest.mark.django_db


def count(stream, sent):
    one = Counting(stream)
    one.handle(sent)
    one.save()


def test_windows_with_nothing_else_go_with_their_dead_letters():
    stream, now = make_stream(), time.time()
    own = messages(trip(now, vendor_id="1"), trip(now, vendor_id="2"), b"broken")
    others = messages(trip(now, vendor_id="2"), b"broken too", first=3)
    count(stream, own + others)
    counted = demo_events._counted(stream, own)
    removed = demo_events._remove(stream, counted, [(0, message.offset()) for message in own])
    assert removed == (1, 1)
    assert [(window.group, window.count) for window in Window.objects.all()] == [("2", 2)]
    assert [letter.offset for letter in DeadLetter.objects.all()] == [4]


def test_the_aggregator_begins_again_from_the_rows():
    stream = make_stream()
    counting = Counting(stream)
    counting.handle(messages(trip(time.time())))
    demo_events._remove(stream, demo_events._counted(stream, []), [])
    with pytest.raises(Overtaken):
        counting.save()
    assert Stream.objects.get(pk=stream.pk).revision == 2
