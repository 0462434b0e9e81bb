"""Make the icon sprite from Tabler's icons: only those listed here.

    python -m console.assets.sprite PATH/TO/@tabler/icons

The names on the left are the ones templates use.
"""

import re
import sys
from pathlib import Path

SPRITE = Path(__file__).parents[1] / "static" / "console" / "icons.svg"

ICONS = {
    "tower": "tower",
    "home": "home",
    "pipelines": "git-merge",
    "models": "box",
    "streams": "broadcast",
    "jobs": "cpu",
    "predict": "bolt",
    "monitoring": "activity",
    "usecases": "flask",
    "bell": "bell",
    "bell-off": "bell-off",
    "system": "settings",
    "search": "search",
    "menu": "menu-2",
    "fold": "layout-sidebar-left-collapse",
    "sun": "sun",
    "moon": "moon",
    "device": "device-desktop",
    "user": "user",
    "users": "users",
    "key": "key",
    "lock": "lock",
    "sign-out": "logout",
    "check": "check",
    "x": "x",
    "clock": "clock",
    "clock-off": "clock-off",
    "spinner": "loader-2",
    "hand": "hand-stop",
    "alert": "alert-triangle",
    "info": "info-circle",
    "help": "help",
    "pause": "player-pause",
    "play": "player-play",
    "ban": "ban",
    "minus": "minus",
    "plus": "plus",
    "copy": "copy",
    "download": "download",
    "external": "external-link",
    "refresh": "refresh",
    "undo": "arrow-back-up",
    "filter": "filter",
    "trash": "trash",
    "edit": "pencil",
    "trophy": "trophy",
    "chevron-down": "chevron-down",
    "chevron-up": "chevron-up",
    "chevron-left": "chevron-left",
    "chevron-right": "chevron-right",
    "arrow-right": "arrow-right",
    "dots": "dots",
    "list": "list",
    "shield": "shield-check",
    "history": "history",
    "file": "file-text",
    "chart": "chart-line",
    "inbox": "inbox",
    "plug-off": "plug-connected-x",
}


def symbol(name: str, svg: str) -> str:
    body = svg[svg.index(">") + 1 : svg.rindex("</svg>")]
    shapes = [shape for shape in re.findall(r"<[a-z][^>]*/>", body) if "M0 0h24v24H0z" not in shape]
    return f'<symbol id="{name}" viewBox="0 0 24 24">{"".join(shapes)}</symbol>'


def main(package: str) -> None:
    folder = Path(package) / "icons" / "outline"
    symbols = [
        symbol(name, (folder / f"{file}.svg").read_text(encoding="utf-8")) for name, file in ICONS.items()
    ]
    licence = "<!-- Tabler Icons, copyright Paweł Kuna, MIT -->"
    sprite = ['<svg xmlns="http://www.w3.org/2000/svg">', licence, *symbols, "</svg>"]
    SPRITE.write_text("\n".join(sprite) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
