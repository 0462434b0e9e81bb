"""Build the site of docs/ with Sphinx, anew each time; a link or an anchor that leads nowhere ends it.

The site reads nothing from outside, neither while it is built nor when it is looked at: that is checked too.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from stack import config
from stack.config import REPO

SOURCE = REPO / "docs"
TARGET = REPO / "build" / "docs"
SPHINX = ("-m", "sphinx", "--quiet", "--fail-on-warning", "--fresh-env", "--jobs", "2", "--builder", "html")
# What a browser would fetch by itself; a link that somebody may click is none of it.
_FETCHED = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed)\b[^>]*?\ssrc=["']?((?:https?:)?//[^"'\s>]+)"""
    r"""|<link\b(?![^>]*\brel=["'](?:canonical|next|prev|index|search|author)["'])[^>]*?\shref=["']?((?:https?:)?//[^"'\s>]+)"""
    r"""|url\(\s*["']?((?:https?:)?//[^"')\s]+)|@import\s+["']((?:https?:)?//[^"']+)""",
    re.IGNORECASE,
)


def main() -> int:
    python = config.from_environment().venv_dir / "docs" / "bin" / "python"
    if not python.exists():
        print("Sphinx is not installed: `make docs` and `make check` do that.")
        return 1
    shutil.rmtree(TARGET, ignore_errors=True)
    if subprocess.run([python, *SPHINX, SOURCE, TARGET]).returncode:
        return 1
    if found := from_outside(TARGET):
        print("\n".join(["Pages would read these from outside:", *found]))
        return 1
    print(f"Built: {(TARGET / 'index.html').as_uri()}")
    return 0


def from_outside(site: Path) -> list[str]:
    """What a browser would fetch from other hosts, each with the file that asks for it."""
    return [
        f"{path.relative_to(site)}: {next(filter(None, match.groups()))}"
        for path in sorted(site.rglob("*"))
        if path.suffix in {".html", ".css"}
        for match in _FETCHED.finditer(path.read_text(encoding="utf-8"))
    ]


if __name__ == "__main__":
    sys.exit(main())
