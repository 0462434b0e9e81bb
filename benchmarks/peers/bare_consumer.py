"""Messages a second of the least that can read them: fetched in batches and parsed, and nothing else.

python -m benchmarks.peers.bare_consumer TOPIC N     stdin: librdkafka's settings, as JSON
"""

import sys
import time

import orjson
from confluent_kafka import Consumer, TopicPartition

BATCH = 5_000


def main(config: str, topic: str, n: int) -> float:
    consumer = Consumer(orjson.loads(config))
    consumer.assign([TopicPartition(topic, 0, 0)])
    n_read, began_at = 0, 0.0
    while n_read < n:
        messages = consumer.consume(BATCH, 1.0)
        began_at = began_at or time.perf_counter()
        for message in messages:
            if message.error() is None:
                orjson.loads(message.value())
                n_read += 1
    seconds = time.perf_counter() - began_at
    consumer.close()
    return n / seconds


if __name__ == "__main__":
    print(main(sys.stdin.read(), sys.argv[1], int(sys.argv[2])))
