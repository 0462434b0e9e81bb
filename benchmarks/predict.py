"""Calls a second of the predict path, beside a bare ASGI application with the same model, in the same run.

    python -m benchmarks.predict [--seconds 5] [--connections 32] [--port 8090]

A stack must be up: records go to its Kafka, into a topic that is removed afterwards. Exit status 1 when the
predict path answers less than half as many calls as the bare application.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator

import httpx
import orjson
import uvloop

from benchmarks import load
from console.lib import kafka
from predictions import topics
from tests import champions

FLOOR = 0.5
ROUNDS = 3


@contextlib.contextmanager
def server(app: str, port: int) -> Iterator[None]:
    """One uvicorn process with one of the two applications."""
    with tempfile.TemporaryDirectory(prefix="atalaya-bench-") as folder:
        environment = {**os.environ, "BENCH_APP": app, "BENCH_DIR": folder, "CONSOLE_LOG_LEVEL": "WARNING"}
        command = [sys.executable, "-m", "uvicorn", "benchmarks.predict_apps:app", "--port", str(port)]
        command += ["--log-level", "warning", "--loop", "uvloop", "--http", "httptools", "--no-access-log"]
        process = subprocess.Popen(command, env=environment)
        try:
            _wait(port, process)
            yield
        finally:
            process.terminate()
            process.wait(20)


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    headers = {"Authorization": f"Bearer {champions.KEY}"}
    url = f"http://127.0.0.1:{port}/api/v1/models/titanic/predict"
    for _ in range(300):
        if process.poll() is not None:
            sys.exit("the server did not start")
        with contextlib.suppress(httpx.TransportError):
            if httpx.post(url, json={"rows": [champions.ROW]}, headers=headers).status_code == 200:
                return
        time.sleep(0.1)
    sys.exit("the server gives no predictions; is Kafka up?")


def request(port: int) -> bytes:
    body = orjson.dumps({"rows": [champions.ROW]})
    head = (
        "POST /api/v1/models/titanic/predict HTTP/1.1\r\n"
        f"Host: 127.0.0.1:{port}\r\nAuthorization: Bearer {champions.KEY}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--port", type=int, default=8090)
    options = parser.parse_args()
    with own_topic():
        return compare(options)


@contextlib.contextmanager
def own_topic() -> Iterator[None]:
    """Nobody's recorder reads what the measurement writes."""
    name = os.environ["CONSOLE_PREDICTIONS_TOPIC"] = f"benchmark-{uuid.uuid4().hex[:8]}"
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    topics.ensure()
    try:
        yield
    finally:
        admin = kafka.admin()
        for future in admin.delete_topics([name, f"{name}.dead"]).values():
            future.result()


def compare(options: argparse.Namespace) -> int:
    """Rounds of both, alternating; the medians decide."""
    rates: dict[str, list[float]] = {"bare": [], "console": []}
    for n_round in range(ROUNDS):
        for n, app in enumerate(rates):
            port = options.port + 2 * n_round + n
            with server(app, port):
                found = uvloop.run(
                    load.run(port, request(port), connections=options.connections, seconds=options.seconds)
                )
            rates[app].append(found.per_second)
            others = {status.decode(): n for status, n in found.statuses.items() if status != b"200"}
            print(
                f"{app:8} {found.per_second:9,.0f} calls/s   p50 {found.quantile_ms(0.5):6.2f} ms"
                f"   p99 {found.quantile_ms(0.99):6.2f} ms   {others or ''}"
            )
    share = statistics.median(rates["console"]) / statistics.median(rates["bare"])
    print(f"the predict path gives {share:.0%} of the bare application's answers (floor {FLOOR:.0%})")
    return 0 if share >= FLOOR else 1


if __name__ == "__main__":
    sys.exit(main())
