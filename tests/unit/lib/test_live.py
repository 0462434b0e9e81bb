"""Publishing: numbered, after the commit, and never in the way."""

import asyncio

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer

from core.lib import live, metrics, redis


@pytest.mark.usefixtures("real_redis")
async def test_message_is_what_the_channel_layer_understands():
    layer = get_channel_layer()
    channel = await layer.new_channel()
    await layer.group_add(live.group_name("log:a"), channel)
    await sync_to_async(live.frame)("log:a", {"lines": ["é"]})
    message = await asyncio.wait_for(layer.receive(channel), 5)
    body = message["body"]
    assert (message["type"], body["topic"], body["seq"], body["kind"]) == (
        "live.message",
        "log:a",
        1,
        "frame",
    )
    assert body["state"] == {"lines": ["é"]}
    await layer.flush()


@pytest.mark.usefixtures("real_redis")
def test_numbers_count_each_topic_for_itself():
    live.frame("log:a", {})
    live.frame("log:a", {})
    live.frame("log:b", {})
    assert redis.client().mget([live.seq_key("log:a"), live.seq_key("log:b")]) == ["2", "1"]
    assert redis.client().ttl(live.seq_key("log:a")) > 0


@pytest.mark.django_db
@pytest.mark.usefixtures("real_redis")
def test_change_is_told_after_the_commit(django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        live.publish("runs", [1])
        assert redis.client().get(live.seq_key("runs")) is None
    assert redis.client().get(live.seq_key("runs")) == "1"


@pytest.mark.django_db
def test_more_rows_than_a_message_bears_are_named_by_none(monkeypatch, django_capture_on_commit_callbacks):
    sent = []
    monkeypatch.setattr(live, "_send", lambda topic, body: sent.append(body["ids"]))
    with django_capture_on_commit_callbacks(execute=True):
        for n in (live.MOST_IDS, live.MOST_IDS + 1):
            live.publish("runs", range(n))
    assert [len(ids) for ids in sent] == [live.MOST_IDS, 0]


def test_redis_away_stops_no_work(caplog):
    before = metrics.LIVE_LOST._value.get()
    live.frame("runs", {})
    assert metrics.LIVE_LOST._value.get() == before + 1
    assert "live.not_sent" in caplog.text
