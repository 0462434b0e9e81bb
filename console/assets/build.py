"""Join Tabler's kept rules and the numbered parts of this folder into the one stylesheet that pages load.

python -m console.assets.build
"""

from pathlib import Path

PARTS = Path(__file__).parent
STYLESHEET = PARTS.parent / "static" / "console" / "app.css"


def stylesheet() -> str:
    """The served stylesheet: Tabler first, so that the parts win at equal weight."""
    files = [PARTS / "tabler.trimmed.css", *sorted(PARTS.glob("[0-9]*.css"))]
    return "\n".join(file.read_text(encoding="utf-8").rstrip("\n") for file in files) + "\n"


if __name__ == "__main__":
    STYLESHEET.write_text(stylesheet(), encoding="utf-8")
