"""`make panels`: asks the running stack's Prometheus each query of each panel; names those without an answer.

The stack was started with OBSERVE=1 and used for a minute or more: rates need two looks of Prometheus. What
may be empty while all is well is in deploy/observability/quiet_panels.json, with its reason.
"""

import json
import math
import sys
import urllib.parse
from collections.abc import Iterator

from stack import base, config, dashboards, observability
from stack.config import Config
from stack.errors import StackError

QUIET = observability.FOLDER / "quiet_panels.json"


def main() -> int:
    """0 when every panel that should has something to show."""
    wanted = config.from_environment()
    site = config.load(wanted.var_dir)
    if site is None or not site.has_observability:
        print(
            f"No stack with Prometheus runs in {wanted.var_dir}: `make up OBSERVE=1` starts one.",
            file=sys.stderr,
        )
        return 1
    try:
        empty = {(uid, title): query for uid, title, query in queries() if not shows(site, query)}
    except (OSError, StackError) as error:
        print(f"Prometheus does not answer: {error}", file=sys.stderr)
        return 1
    known = {(uid, title): why for uid, panels in quiet().items() for title, why in panels.items()}
    for place, query in empty.items():
        print(f"{' / '.join(place)}: {known.get(place, 'NOTHING')}\n    {query}")
    unexplained = empty.keys() - known.keys()
    print(f"{len(list(queries()))} queries: {len(empty)} without an answer, {len(unexplained)} unexplained.")
    return 1 if unexplained else 0


def quiet() -> dict[str, dict[str, str]]:
    """Dashboard, title of a panel, and why it may be empty."""
    found: dict[str, dict[str, str]] = json.loads(QUIET.read_text())
    return found


def queries() -> Iterator[tuple[str, str, str]]:
    """Dashboard, title of the panel and query of each line."""
    for dashboard in dashboards.DASHBOARDS:
        for panel in dashboard.panels:
            yield from ((dashboard.uid, panel.title, query) for _legend, query in panel.series)


def shows(site: Config, query: str) -> bool:
    """Whether Prometheus answers with a number that can be drawn. Raises OSError, StackError."""
    words = urllib.parse.urlencode({"query": query})
    address = f"http://127.0.0.1:{site.port(observability.PROMETHEUS)}/api/v1/query?{words}"
    answer = json.loads(base.ask(address))
    if answer.get("status") != "success":
        raise StackError(f"it answered {answer} to {query}")
    return any(math.isfinite(float(sample["value"][1])) for sample in answer["data"]["result"])


if __name__ == "__main__":
    sys.exit(main())
