"""Whether the service has something new. Runs inside Airflow: standard library only."""

import json
import urllib.error
import urllib.request
from collections.abc import Collection

PATIENCE_S = 45.0


def has_news(address: str, group: int, taken: Collection[int]) -> bool:
    """False only while the service still gives the newest batch that was taken.

    All else, failures too, is for the step that takes the batch: it knows the words.
    """
    url = f"{address.rstrip('/')}/data?group_number={int(group)}"
    if not url.startswith(("http://", "https://")):
        return True
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:  # noqa: S310 - the scheme is checked
            number = json.load(answer)["batch_number"]
    except (OSError, ValueError, KeyError, TypeError):
        return True
    return not taken or number != max(taken)
