"""Whether the service has something new. Runs inside Airflow: standard library only."""

import json
import urllib.request
from collections.abc import Collection

PATIENCE_S = 45.0
_OPENER = urllib.request.build_opener()


def has_news(address: str, group: int, taken: Collection[int]) -> bool:
    """False only while the service still gives the newest batch that was taken.

    All else, failures too, is for the step that takes the batch: it knows the words.
    """
    url = f"{address.rstrip('/')}/data?group_number={int(group)}"
    if not url.startswith(("http://", "https://")):
        return True
    try:
        with _OPENER.open(url, timeout=PATIENCE_S) as answer:
            number = json.load(answer)["batch_number"]
    except (OSError, ValueError, KeyError, TypeError):
        return True
    return not taken or number != max(taken)
