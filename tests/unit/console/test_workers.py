"""What a worker does when its stop hangs, and what it leaves as a sign of life for its container."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests import redis_server

STOP_AND_HANG = """
import time
import celery.worker.worker
from console import workers

workers.LONGEST_STOP_S = 0.2
assert workers.EndsInTime in set(workers.app.steps["worker"])
workers.EndsInTime.stop(None, None)
time.sleep(60)
"""
EVERY_S = 0.2
# A worker whose loop hangs once the file `hang` is there.
WORK = f"""
import sys, time
from pathlib import Path
from celery import bootsteps
from core.lib import heartbeat
from console import workers

heartbeat.EVERY_S = {EVERY_S}
hang = Path(sys.argv[1])


class Hangs(bootsteps.StartStopStep):
    requires = {{"celery.worker.consumer.tasks:Tasks"}}

    def start(self, consumer):
        consumer.timer.call_repeatedly(0.1, lambda: hang.exists() and time.sleep(60))


workers.app.steps["consumer"].add(Hangs)
workers.app.worker_main(["worker", "-Q", "nobody", "-c", "1", "--without-gossip", "--without-mingle"])
"""
BEAT = f"""
from core.lib import heartbeat
from console import workers

heartbeat.EVERY_S = {EVERY_S}
workers.app.start(["beat"])
"""
STARTS_WITHIN_S = 60.0
MANY_BEATS_S = 20 * EVERY_S
FIRST_IS_DUE_S = 7.0  # what is due every 5 s is sent, or tried


@contextlib.contextmanager
def running(code: str, folder: Path, redis_url: str) -> Iterator[None]:
    """A process with this code; its signs of life are files in the folder."""
    told = {"CONSOLE_REDIS_URL": redis_url, "CONSOLE_HEARTBEAT_DIR": str(folder / "alive")}
    with subprocess.Popen(
        [sys.executable, "-c", code, folder / "hang"],
        env={**os.environ, **told},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def beats(path: Path, within_s: float) -> bool:
    """Whether it is touched from now on."""
    began_at, deadline = time.time(), time.monotonic() + within_s
    while time.monotonic() < deadline:
        if path.exists() and path.stat().st_mtime > began_at:
            return True
        time.sleep(0.05)
    return False


def test_a_worker_whose_stop_hangs_is_ended():
    done = subprocess.run([sys.executable, "-c", STOP_AND_HANG], timeout=50, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "")


def test_a_worker_that_waits_for_its_broker_is_alive_and_one_that_hangs_is_not(tmp_path: Path):
    sign = tmp_path / "alive" / "worker"
    with redis_server.throwaway(with_port=True) as broker, running(WORK, tmp_path, broker.url):
        assert beats(sign, STARTS_WITHIN_S)
        broker.stop()
        time.sleep(MANY_BEATS_S)  # it has seen by now that the broker is gone
        assert beats(sign, MANY_BEATS_S), "it waits for its broker"
        broker.start()
        assert beats(sign, MANY_BEATS_S)
        (tmp_path / "hang").touch()
        time.sleep(MANY_BEATS_S)
        assert not beats(sign, MANY_BEATS_S), "its loop hangs"


def test_a_worker_is_alive_before_its_broker_is_there(tmp_path: Path):
    with redis_server.throwaway(with_port=True) as broker:
        broker.stop()
        with running(WORK, tmp_path, broker.url):
            assert beats(tmp_path / "alive" / "worker", STARTS_WITHIN_S)


def test_beat_is_alive_before_its_broker_is_there(tmp_path: Path):
    with redis_server.throwaway(with_port=True) as broker:
        broker.stop()
        with running(BEAT, tmp_path, broker.url):
            sign = tmp_path / "alive" / "beat"
            assert beats(sign, STARTS_WITHIN_S)
            time.sleep(FIRST_IS_DUE_S)
            assert beats(sign, MANY_BEATS_S), "it waits for its broker"
