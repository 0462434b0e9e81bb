"""The commands of docs/tutorial.md, one after the other in one shell, on a new stack.

`make test-tutorial`, outside `make test`: it makes a champion, which other tests of the stack do not expect.
"""

import os
import re
import subprocess

import pytest

from stack.config import REPO

pytestmark = [
    pytest.mark.skipif(
        os.environ.get("CONSOLE_TEST_TUTORIAL") != "1",
        reason="`make test-tutorial` runs it: a stack of its own",
    ),
    pytest.mark.timeout(1200),
]
ADDRESS = "http://127.0.0.1:8000"


def commands() -> list[str]:
    """What stands in blocks `sh`; blocks `console` show what starts and stops a stack."""
    text = (REPO / "docs" / "tutorial.md").read_text()
    return re.findall(r"^```sh\n(.*?)^```$", text, re.M | re.S)


def test_each_command_does_what_the_page_says(stack):
    script = "\n".join(["set -euo pipefail", *commands()]).replace(ADDRESS, stack.url)
    done = subprocess.run(
        ["bash", "-c", script], cwd=REPO, env=stack.environ, capture_output=True, text=True, timeout=900
    )
    said = done.stdout
    assert done.returncode == 0, f"{said}{done.stderr}"
    assert re.search(r"^run \d+ ended: success$", said, re.M)
    assert '"state": "passed"' in said
    assert "refused: " in said
    assert '"state": "approved"' in said
    assert '"label": ' in said
    assert '"status": 422' in said
    assert '"actual": 0' in said
