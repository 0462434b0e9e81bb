"""What PostgreSQL cannot hold is no reason for a row that cannot be written."""

from core.lib import storable

SIGN = "\N{REPLACEMENT CHARACTER}"


def test_null_and_half_characters_become_signs():
    assert storable.text("a\x00b") == f"a{SIGN}b"
    assert storable.text("caf\udce9") == "caf?"
    assert storable.text("café \N{GRINNING FACE}\x1b") == "café \N{GRINNING FACE}\x1b"


def test_everything_is_made_storable_at_any_depth():
    given = {"k\x00": ["\x00", ({"x": "\ud800"}, float("nan"), float("inf"))], "n": 1, "is": True, "no": None}
    wanted = {f"k{SIGN}": [SIGN, [{"x": "?"}, "nan", "inf"]], "n": 1, "is": True, "no": None}
    assert storable.everything(given) == wanted
