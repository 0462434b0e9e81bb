"""Events a second of the aggregator, beside a bare confluent-kafka + orjson loop, in the same run.

    python -m benchmarks.aggregator [--events 300000] [--rounds 3]

The console's settings must be in the environment: a topic is made in its Kafka and removed again; windows
and offsets are written into its PostgreSQL as always. Exit status 1 when the aggregator, with field checks
and measures by group, counts less than 0.7 of what the bare loop only parses.
"""

import argparse
import gc
import os
import statistics
import subprocess
import sys
import time
import uuid
from datetime import UTC, datetime

import django
import orjson
from confluent_kafka import KafkaError, Producer

from benchmarks import environments

FLOOR = 0.7


def produce(topic: str, n: int) -> None:
    """Trips of the last half minute, three vendors."""
    from core.lib import kafka

    producer = Producer(kafka.producer_config(**{"linger.ms": 50}))
    now = time.time()
    trip = {"passenger_count": 1, "trip_distance": 2.5, "pickup_longitude": -73.9, "pickup_latitude": 40.7}
    trip |= {"dropoff_longitude": -73.8, "dropoff_latitude": 40.8, "payment_type": 1, "tip_amount": 1.5}
    for number in range(n):
        when = datetime.fromtimestamp(now - number % 30, UTC).strftime("%Y-%m-%d %H:%M:%S")
        event = {**trip, "vendor_id": number % 3, "pickup_datetime": when, "fare_amount": number % 50 + 0.5}
        while True:
            try:
                producer.produce(topic, orjson.dumps(event))
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush()


def bare(topic: str, n: int) -> float:
    """Events a second of the peer, in its own environment."""
    from core.lib import kafka

    config = orjson.dumps(kafka.consumer_config(f"bench-{uuid.uuid4().hex}")).decode()
    command = [environments.peer_python(), "-m", "benchmarks.peers.bare_consumer", topic, str(n)]
    environment = environments.peer_environment()
    done = subprocess.run(
        command,
        input=config,  # it may hold a password, which arguments would show to everybody
        env=environment,
        cwd=environments.REPO,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return float(done.stdout)


def aggregator(topic: str, n: int) -> float:
    """The session as it runs: fetched, checked, counted, frames sent, written each second."""
    import threading

    from streaming import aggregator as loop
    from streaming import defaults
    from streaming.models import Stream

    stream = Stream.objects.create(
        name=f"bench_{uuid.uuid4().hex[:12]}", topic=topic, definition=defaults.TAXI_TRIPS
    )
    stopped = threading.Event()
    session = loop.Session(stream, stopped)
    times: list[float] = []

    def noting() -> None:
        counted()
        if session.n_counted:
            times.append(time.perf_counter())
        if session.n_counted >= n:
            stopped.set()

    def written() -> None:
        written_by_session()
        times.append(time.perf_counter())

    counted, session.count = session.count, noting  # type: ignore[method-assign]
    written_by_session, session.write = session.write, written  # type: ignore[method-assign]
    session.run()
    seconds = times[-1] - times[0]  # from the first batch to the last write
    total = sum(stream.windows.values_list("count", flat=True))
    n_dead = stream.dead_letters.count()
    stream.delete()
    if total != n or n_dead:
        sys.exit(f"counted {total} of {n}, {n_dead} dead")
    return n / seconds


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    django.setup()
    gc.collect()
    gc.freeze()  # as the command does
    from core.lib import kafka, topics

    topic = f"bench-{uuid.uuid4().hex[:12]}"
    topics.ensure([topics.Topic(topic)])
    admin = kafka.admin()
    try:
        produce(topic, options.events)
        bare(topic, options.events)  # what is read first is read from a cold cache
        n = options.events
        rounds = [(bare(topic, n), aggregator(topic, n)) for _ in range(options.rounds)]
    finally:
        for future in admin.delete_topics([topic, f"{topic}.dead"]).values():
            if (error := future.exception()) and error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                print(error)
    loop, counted = (statistics.median(one[place] for one in rounds) for place in (0, 1))
    share = statistics.median(own / peer for peer, own in rounds)
    print(f"bare loop  {loop:>10,.0f} events/s")
    print(f"aggregator {counted:>10,.0f} events/s")
    print(f"share      {share:>10.2f}")
    return 0 if share >= FLOOR else 1


if __name__ == "__main__":
    sys.exit(main())
