"""Milliseconds from an event's produce to the first frame at a browser's socket that counts it.

    python -m benchmarks.frames [--rate 5000] [--seconds 20]

On the running stack: a producer sends `rate` events a second to the topic of a stream of its own, the
aggregator counts them, and a websocket client (the `websockets` library, as a signed-in viewer at `/ws/live`)
reads the frames. One partition is counted in order, so a frame that says `total` events holds exactly the
first `total` of them: an event's time runs from its `produce` call to the arrival of the first frame whose
total reaches it.
"""

import argparse
import asyncio
import bisect
import os
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import django
import orjson
import websockets

TICK_S = 0.01
Frames = list[tuple[float, int]]  # arrival, total


@contextmanager
def stream() -> Iterator[tuple[str, str]]:
    """A stream with a topic of its own, and the session cookie of a viewer; all removed again."""
    from django.contrib.auth.models import Group
    from django.db import transaction
    from django.test import Client

    from core.access.models import User
    from core.lib import kafka
    from streaming import defaults
    from streaming.models import Stream

    name = f"bench_{uuid.uuid4().hex[:12]}"
    user = User.objects.create_user(name)
    user.groups.add(Group.objects.get(name="viewer"))
    client = Client()
    client.force_login(user)
    row = Stream.objects.create(name=name, topic=name, definition=defaults.TAXI_TRIPS)
    try:
        yield name, f"atalaya_session={client.cookies['atalaya_session'].value}"
    finally:
        with transaction.atomic():  # held first, as in the product: the aggregator may be writing
            Stream.objects.select_for_update().get(pk=row.pk).delete()
        client.logout()
        user.groups.clear()
        user.is_active = False
        user.save(update_fields=["is_active"])  # the audit trail may name it
        time.sleep(2)  # the aggregator lets go first: it would make the topic again
        admin = kafka.admin()
        for future in admin.delete_topics([name, f"{name}.dead"]).values():
            future.exception(10)


def send(topic: str, rate: int, seconds: float, sent_at: list[float]) -> None:
    """Events at an even pace; notes the moment of each `produce`."""
    from confluent_kafka import Producer

    from core.lib import kafka

    producer = Producer(kafka.producer_config(**{"linger.ms": 5}))
    trip = {"trip_distance": 2.5, "payment_type": "1", "tip_amount": 1.5, "fare_amount": 10.5}
    began_at = time.perf_counter()
    while (now := time.perf_counter()) - began_at < seconds:
        when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
        while len(sent_at) < (now - began_at) * rate:
            event = {**trip, "vendor_id": str(len(sent_at) % 3), "pickup_datetime": when}
            sent_at.append(time.perf_counter())
            producer.produce(topic, orjson.dumps(event))
        producer.poll(0)
        time.sleep(TICK_S)
    producer.flush(30)


async def measure(
    url: str, name: str, cookie: str, options: argparse.Namespace
) -> tuple[list[float], Frames]:
    """When each event was sent, and every frame until one counts them all."""
    frames: Frames = []
    sent_at: list[float] = []
    headers = {"Cookie": cookie, "Origin": url}
    async with websockets.connect(f"ws{url[4:]}/ws/live", additional_headers=headers) as socket:
        await socket.send(orjson.dumps({"subscribe": [f"streams:{name}"]}).decode())
        await _frame(socket)  # the aggregator has begun
        sender = threading.Thread(target=send, args=(name, options.rate, options.seconds, sent_at))
        sender.start()
        deadline = time.perf_counter() + options.seconds + 60
        while sender.is_alive() or not frames or frames[-1][1] < len(sent_at):
            total = (await _frame(socket))["total"]
            frames.append((time.perf_counter(), total))
            if time.perf_counter() > deadline:
                sys.exit(f"only {frames[-1][1]} of {len(sent_at)} events came")
    return sent_at, frames


async def _frame(socket: Any) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            message = orjson.loads(await socket.recv())
            if message["kind"] == "frame":
                state: dict[str, Any] = message["state"]
                return state


def waits_ms(sent_at: list[float], frames: Frames) -> list[float]:
    """One for each event, sorted."""
    totals = [total for _at, total in frames]
    firsts = (frames[bisect.bisect_left(totals, number)][0] for number in range(1, len(sent_at) + 1))
    return sorted((at - sent) * 1000 for at, sent in zip(firsts, sent_at, strict=True))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=int, default=5_000)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args(arguments)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    django.setup()
    from django.conf import settings

    with stream() as (name, cookie):
        sent_at, frames = asyncio.run(measure(settings.CONSOLE_PUBLIC_URL, name, cookie, options))
    waits = waits_ms(sent_at, frames)
    rate = len(sent_at) / (sent_at[-1] - sent_at[0])
    n_frames = len(frames) / (frames[-1][0] - frames[0][0])
    print(f"{len(sent_at):,} events at {rate:,.0f}/s, {n_frames:.1f} frames/s")
    p50, p99 = (waits[int(share * (len(waits) - 1))] for share in (0.5, 0.99))
    print(f"event to frame   p50 {p50:.0f} ms   p99 {p99:.0f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
