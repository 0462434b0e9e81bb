"""Whether what runs in this container lives; exit status 0 if so. Standard library only: it runs often.

    healthy.py [URL]

Parts without HTTP leave files in CONSOLE_HEARTBEAT_DIR, of which each must be fresh; where there is none, the
URL is asked (the console's sign of life when none is given).
"""

import os
import sys
import time
import urllib.request
from pathlib import Path

URL = "http://127.0.0.1:8000/livez"
FOLDER = "/tmp/alive"  # noqa: S108 - each container has its own
STALE_AFTER_S = 30.0
PATIENCE_S = 4.0


def main(folder: Path, url: str) -> int:
    """Say what is wrong, if anything is."""
    try:
        fault = _silent(folder) if folder.is_dir() else _refusal(url)
    except OSError as error:
        fault = str(error)
    print(fault or "healthy")
    return 1 if fault else 0


def _refusal(url: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    opener.open(url, timeout=PATIENCE_S).close()  # anything but success is an OSError
    return ""


def _silent(folder: Path) -> str:
    ages = {path.name: time.time() - path.stat().st_mtime for path in folder.iterdir()}
    if not ages:
        return f"no sign of life in {folder}"
    silent = [f"{name} (for {age:.0f} s)" for name, age in sorted(ages.items()) if age > STALE_AFTER_S]
    return f"no sign of life of {', '.join(silent)}" if silent else ""


if __name__ == "__main__":
    where = Path(os.environ.get("CONSOLE_HEARTBEAT_DIR") or FOLDER)
    sys.exit(main(where, sys.argv[1] if len(sys.argv) > 1 else URL))
