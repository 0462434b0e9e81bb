"""Calls a second of the predict path beside its peers, with the same model and in the same run.

    python -m benchmarks.predict [--seconds 3] [--rounds 7] [--connections 32 128]

The peers: a bare ASGI application with ONNX, `mlflow models serve`, and BentoML with adaptive batching. None
of them checks values or keeps records, and only the bare one looks at tokens.

A stack must be up: records go to its Kafka, into a topic that is removed afterwards. Servers are measured in
turn, in blocks of seconds, since a machine is seldom as busy now as a minute ago; what counts is the median
over the rounds of the predict path's share of each peer's calls. Exit status 1 when one is below its floor,
or when the slowest of a hundred answers takes longer than five typical ones.
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
from typing import Any, NamedTuple

import httpx
import psutil

from benchmarks import environments, load
from core.lib import kafka
from predictions import topics
from tests import champions

# The least that the predict path gives, as a multiple of the peer's calls.
FLOORS = {"bare": 0.5, "mlflow": 50.0, "bentoml": 10.0}
MOST_P99 = 5.0  # times the median answer
N_TREES = 100
OPTIONS = ("--log-level", "warning", "--loop", "uvloop", "--http", "httptools", "--no-access-log")
PREDICT = "/api/v1/models/titanic/predict"


class Server(NamedTuple):
    """process: its own children are measured with it. path, document: of one call."""

    port: int
    process: psutil.Process
    path: str = PREDICT
    document: Any = {"rows": [champions.ROW]}


@contextlib.contextmanager
def server(command: list[str], environment: dict[str, str], **call: Any) -> Iterator[Server]:
    """One server, once it gives predictions."""
    port = environments.free_port()
    process = subprocess.Popen(
        [*command, "--port", str(port)], env=environment, cwd=environments.REPO, start_new_session=True
    )
    try:
        found = Server(port, psutil.Process(process.pid), **call)
        _wait(found, process)
        yield found
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """With its children, of which some servers have several."""
    everyone = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.terminate()
    process.wait(20)
    for one in psutil.wait_procs(everyone, timeout=10)[1]:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()


def uvicorn(python: str, app: str) -> list[str]:
    return [python, "-m", "uvicorn", app, *OPTIONS]


def bare(folder: Path) -> contextlib.AbstractContextManager[Server]:
    known = {"BENCH_KEY_SHA256": sha256(champions.KEY.encode()).hexdigest(), "BENCH_DIR": str(folder)}
    command = uvicorn(environments.peer_python(), "benchmarks.peers.bare_predict:app")
    return server(command, environments.peer_environment(**known))


def console(folder: Path) -> contextlib.AbstractContextManager[Server]:
    """As `make up` starts it, but for the champion."""
    command = uvicorn(sys.executable, "benchmarks.predict_app:app")
    known = {"BENCH_TREES": str(N_TREES), "BENCH_DIR": str(folder), "CONSOLE_LOG_LEVEL": "ERROR"}
    return server(command, {**os.environ, **known})


def mlflow(folder: Path) -> contextlib.AbstractContextManager[Server]:
    """The original model, with the derived column that the other peers work out themselves."""
    program = environments.peer_program("mlflow")
    command = [str(program), "models", "serve", "--model-uri", str(folder / "mlflow")]
    command += ["--env-manager", "local", "--host", "127.0.0.1"]
    row = {**champions.ROW, "FamilySize": champions.ROW["SibSp"] + champions.ROW["Parch"] + 1}
    environment = environments.peer_environment(MLFLOW_DISABLE_TELEMETRY="true", UVICORN_LOG_LEVEL="warning")
    environment["PATH"] = (
        f"{program.parent}:{environment['PATH']}"  # it starts the uvicorn that it finds there
    )
    return server(command, environment, path="/invocations", document={"dataframe_records": [row]})


def bentoml(folder: Path) -> contextlib.AbstractContextManager[Server]:
    python = environments.peer_python("bench-bentoml")
    command = [python, "-m", "bentoml", "serve", "benchmarks.peers.bento_predict:Titanic"]
    command += ["--host", "127.0.0.1", "--working-dir", str(environments.REPO)]
    known = {"BENCH_DIR": str(folder), "BENTOML_HOME": str(folder), "BENTOML_DO_NOT_TRACK": "true"}
    environment = environments.peer_environment(**known)
    return server([*command, "--quiet"], environment, path="/predict")


SERVERS: dict[str, Callable[[Path], contextlib.AbstractContextManager[Server]]] = {
    "bare": bare,
    "console": console,
    "mlflow": mlflow,
    "bentoml": bentoml,
}


def _wait(found: Server, process: subprocess.Popen[bytes]) -> None:
    headers = {"Authorization": f"Bearer {champions.KEY}"}
    url = f"http://127.0.0.1:{found.port}{found.path}"
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        if process.poll() is not None:
            sys.exit("the server did not start")
        with contextlib.suppress(httpx.TransportError):
            if httpx.post(url, json=found.document, headers=headers).status_code == 200:
                return
        time.sleep(0.1)
    sys.exit("the server gives no predictions; is Kafka up?")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--connections", type=int, nargs="+", default=[32, 128])
    parser.add_argument("--peers", nargs="+", choices=list(FLOORS), default=list(FLOORS))
    options = parser.parse_args()
    with own_topic(), contextlib.ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="atalaya-bench-")))
        save_models(folder)
        names = [*options.peers, "console"]
        servers = {name: running.enter_context(SERVERS[name](folder)) for name in names}
        return max([compare(servers, n, options) for n in options.connections])


def save_models(folder: Path) -> None:
    """Compiled for those that take ONNX, and the original as MLflow packs it."""
    from mlflow import sklearn

    packed = champions.packed(n_trees=N_TREES)
    (folder / "model.onnx").write_bytes(packed.onnx)
    sklearn.save_model(packed.estimator, str(folder / "mlflow"), serialization_format="cloudpickle")


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


def compare(servers: dict[str, Server], connections: int, options: argparse.Namespace) -> int:
    """Rounds of all, one right after the other, each time in the opposite order."""
    found: dict[str, list[load.Load]] = {name: [] for name in servers}
    turns = list(servers.items())
    for _name, one in turns:
        measured(one, connections, 1)
    for _ in range(options.rounds):
        for name, one in turns:
            found[name].append(measured(one, connections, options.seconds))
        turns.reverse()
    print(f"{connections} connections, median of {options.rounds} blocks of {options.seconds} s")
    for name, rounds in found.items():
        print(" ", line(name, rounds))
    own = found["console"]
    shares = [share(name, own, found[name]) for name in found if name != "console"]
    slowest = statistics.median(one.p99_ms / one.p50_ms for one in own)
    print(f"  the console's p99 is {slowest:.1f} times its p50 (at most {MOST_P99:g})", flush=True)
    return 0 if all(shares) and slowest <= MOST_P99 else 1


def share(name: str, own: list[load.Load], theirs: list[load.Load]) -> bool:
    """Whether the console gives as many calls as it should beside this peer; says so."""
    found = sorted(mine.per_second / peer.per_second for mine, peer in zip(own, theirs, strict=True))
    work = statistics.median(peer.cpu_us / mine.cpu_us for mine, peer in zip(own, theirs, strict=True))
    median, floor = statistics.median(found), FLOORS[name]
    print(
        f"  console / {name:8} {median:7.2f}   ({found[0]:.2f} to {found[-1]:.2f}; floor {floor:g};"
        f" for the same processor time {work:.2f})"
    )
    return median >= floor


def measured(one: Server, connections: int, seconds: int) -> load.Load:
    before = _cpu_s(one.process)
    url = f"http://127.0.0.1:{one.port}"
    found, n = load.run(url, one.path, one.document, champions.KEY, connections=connections, seconds=seconds)
    return found._replace(cpu_us=(_cpu_s(one.process) - before) / max(n, 1) * 1e6)


def _cpu_s(process: psutil.Process) -> float:
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def line(name: str, rounds: list[load.Load]) -> str:
    """Medians over the rounds; calls that failed are counted."""

    def median(figure: Callable[[load.Load], float]) -> float:
        return statistics.median(figure(one) for one in rounds)

    rate, cpu_us = median(lambda one: one.per_second), median(lambda one: one.cpu_us)
    p50, p99 = median(lambda one: one.p50_ms), median(lambda one: one.p99_ms)
    times = f"p50 {p50:6.2f} ms   p99 {p99:6.2f} ms   {cpu_us:6.0f} us of processor a call"
    n_failed = sum(one.n_failed for one in rounds)
    return f"{name:8} {rate:9,.0f} calls/s   {times}" + (f"   {n_failed:,} FAILED" if n_failed else "")


if __name__ == "__main__":
    sys.exit(main())
