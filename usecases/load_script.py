"""One load test, by Locust: the plan as JSON on stdin, what was measured as JSON on stdout.

Runs under Locust's own Python and knows nothing of the console. Each simulated user asks again as soon as it
is answered. It ends when its parent does, so that nobody is asked on behalf of a test that is no more.
"""

import json
import os
import sys
import time
from typing import Any

# Locust first: it patches the standard library, and what took TLS from there before recurses for ever.
from locust import FastHttpUser, constant, task  # isort: skip
from locust.env import Environment  # isort: skip

import gevent
import requests

PATIENCE_S = 10.0


def percentile(values: list[float], share: float) -> float | None:
    """values: sorted. None of nothing."""
    return round(values[min(len(values) - 1, int(share * len(values)))], 2) if values else None


class Measured:
    """Answers of the step, and of the second, that goes on. A refusal, which takes no time, is none."""

    def __init__(self) -> None:
        self.begin_step()

    def begin_step(self) -> None:
        """Forget what was before it."""
        self.times: list[float] = []
        self.second: list[float] = []
        self.failures = 0

    def note(self, response_time: float, exception: Exception | None, **_more: Any) -> None:
        """One answer and how long it took in ms, or one failure."""
        if exception is not None:
            self.failures += 1
            return
        self.times.append(response_time)
        self.second.append(response_time)

    def step(self, users: int, took_s: float) -> dict[str, Any]:
        """What the step came to: `requests` and `failures` of all calls, the rest of those answered."""
        times = sorted(self.times)
        shares = {
            name: percentile(times, share) for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
        }
        return {
            "users": users,
            "requests": len(times) + self.failures,
            "failures": self.failures,
            "rps": round(len(times) / took_s, 1),
            **shares,
        }


def main() -> None:
    """Ask in steps, and say what each came to."""
    plan = json.load(sys.stdin)
    parent = os.getppid()
    body = json.dumps({"rows": [plan["row"]]})
    headers = {"Authorization": f"Bearer {plan['token']}", "Content-Type": "application/json"}

    refuse_unless_answered(plan["url"] + plan["path"], body, headers)

    class Caller(FastHttpUser):  # type: ignore[misc]
        host = plan["url"]
        wait_time = constant(0)
        connection_timeout = network_timeout = PATIENCE_S

        @task  # type: ignore[untyped-decorator]
        def ask(self) -> None:
            self.client.post(plan["path"], data=body, headers=headers)

    environment = Environment(user_classes=[Caller])
    runner = environment.create_local_runner()
    measured = Measured()
    environment.events.request.add_listener(lambda **facts: measured.note(**facts))
    began_at, steps, series = time.monotonic(), [], []
    step_s = plan["seconds"] / len(plan["steps"])
    for number, users in enumerate(plan["steps"], 1):
        ends_at = began_at + number * step_s
        runner.start(users, spawn_rate=plan["spawn_rate"])
        while runner.user_count < users and time.monotonic() < ends_at:
            gevent.sleep(0.05)
        measured.begin_step()
        counted_from = time.monotonic()
        while (left := ends_at - time.monotonic()) > 0:
            measured.second = []
            asked_at = time.monotonic()
            gevent.sleep(min(1.0, left))
            if os.getppid() != parent:
                os._exit(1)
            took = time.monotonic() - asked_at
            if took > 0.5:
                p95 = percentile(sorted(measured.second), 0.95)
                rps = round(len(measured.second) / took, 1)
                second = round(time.monotonic() - began_at, 1)
                series.append({"second": second, "users": users, "rps": rps, "p95": p95})
        steps.append(measured.step(users, max(time.monotonic() - counted_from, 0.001)))
    json.dump({"steps": steps, "series": series}, sys.stdout)
    sys.stdout.flush()
    os._exit(0)  # users that still wait for an answer are of no interest


def refuse_unless_answered(url: str, body: str, headers: dict[str, str]) -> None:
    """One call before all others: a wrong address or token is said, and not measured."""
    try:
        answer = requests.post(url, data=body, headers=headers, timeout=PATIENCE_S)
    except requests.RequestException as error:
        sys.exit(f"The serving address {url} does not answer: {error}")
    if answer.status_code != requests.codes.ok:
        sys.exit(f"The serving address answered {answer.status_code}: {answer.text[:300]}")


if __name__ == "__main__":
    main()
