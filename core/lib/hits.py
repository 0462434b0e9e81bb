"""What an app's `queries.search(text, user)` returns for the search of the page shell."""

from typing import NamedTuple


class Hit(NamedTuple):
    """One thing found: its name, its page, what it is in a word, and an icon of the sprite."""

    label: str
    url: str
    kind: str
    icon: str = "arrow-right"
