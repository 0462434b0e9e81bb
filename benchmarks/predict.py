"""Calls a second of the predict path, beside a bare ASGI application with the same model, in the same run.

    python -m benchmarks.predict [--seconds 3] [--rounds 7] [--connections 32]

A stack must be up: records go to its Kafka, into a topic that is removed afterwards. Exit status 1 when the
predict path answers less than half as many calls as the bare application: the median of the rounds' shares,
each measured within seconds, since a machine is seldom as busy now as a minute ago.
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
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import httpx
import orjson
import psutil
import uvloop

from benchmarks import environments, load
from core.lib import kafka
from predictions import topics
from tests import champions

FLOOR = 0.5
N_TREES = 100
OPTIONS = ("--log-level", "warning", "--loop", "uvloop", "--http", "httptools", "--no-access-log")


class Server(NamedTuple):
    port: int
    process: psutil.Process


@contextlib.contextmanager
def server(python: str, app: str, environment: dict[str, str]) -> Iterator[Server]:
    """One uvicorn process, once it gives predictions."""
    port = environments.free_port()
    with tempfile.TemporaryDirectory(prefix="atalaya-bench-") as folder:
        (Path(folder) / "model.onnx").write_bytes(champions.packed(n_trees=N_TREES).onnx)
        command = [python, "-m", "uvicorn", app, "--port", str(port), *OPTIONS]
        process = subprocess.Popen(command, env={**environment, "BENCH_DIR": folder}, cwd=environments.REPO)
        try:
            _wait(port, process)
            yield Server(port, psutil.Process(process.pid))
        finally:
            process.terminate()
            process.wait(20)


def bare() -> contextlib.AbstractContextManager[Server]:
    """In the peers' environment."""
    known = {"BENCH_KEY_SHA256": sha256(champions.KEY.encode()).hexdigest()}
    environment = environments.peer_environment(**known)
    return server(environments.peer_python(), "benchmarks.peers.bare_predict:app", environment)


def console() -> contextlib.AbstractContextManager[Server]:
    """As `make up` starts it, but for the champion."""
    return server(
        sys.executable,
        "benchmarks.predict_app:app",
        {**os.environ, "BENCH_TREES": str(N_TREES), "CONSOLE_LOG_LEVEL": "ERROR"},
    )


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    headers = {"Authorization": f"Bearer {champions.KEY}"}
    url = f"http://127.0.0.1:{port}/api/v1/models/titanic/predict"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
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
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--connections", type=int, default=32)
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
    """Rounds of both, one right after the other, each time the other one first."""
    found: dict[str, list[load.Load]] = {"bare": [], "console": []}
    with bare() as peer, console() as own:
        turns = [("bare", peer), ("console", own)]
        for _name, one in turns:
            measured(one, options.connections, 1.0)
        for _ in range(options.rounds):
            for name, one in turns:
                found[name].append(measured(one, options.connections, options.seconds))
            turns.reverse()
    for name, rounds in found.items():
        print(line(name, rounds))
    pairs = list(zip(found["console"], found["bare"], strict=True))
    shares = [mine.per_second / theirs.per_second for mine, theirs in pairs]
    share = statistics.median(shares)
    spread = f"{min(shares):.0%} to {max(shares):.0%}"
    print(f"the predict path gives {share:.0%} of the bare one's answers ({spread}; floor {FLOOR:.0%})")
    work = statistics.median(theirs.cpu_us / mine.cpu_us for mine, theirs in pairs)
    print(f"for the same processor time of the server it would be {work:.0%}")
    return 0 if share >= FLOOR else 1


def measured(one: Server, connections: int, seconds: float) -> load.Load:
    before = one.process.cpu_times()
    found = uvloop.run(load.run(one.port, request(one.port), connections=connections, seconds=seconds))
    after = one.process.cpu_times()
    found.cpu_s = after.user + after.system - before.user - before.system
    return found


def line(name: str, rounds: list[load.Load]) -> str:
    """Medians over the rounds; other statuses than 200 are named."""

    def median(figure: Callable[[load.Load], float]) -> float:
        return statistics.median(figure(one) for one in rounds)

    rate, cpu_us = median(lambda one: one.per_second), median(lambda one: one.cpu_us)
    p50, p99 = median(lambda one: one.quantile_ms(0.5)), median(lambda one: one.quantile_ms(0.99))
    times = f"p50 {p50:6.2f} ms   p99 {p99:6.2f} ms   {cpu_us:4.0f} us of processor a call"
    others = sorted({status.decode() for one in rounds for status in one.statuses if status != b"200"})
    return " ".join([f"{name:8} {rate:9,.0f} calls/s  ", times, *others])


if __name__ == "__main__":
    sys.exit(main())
