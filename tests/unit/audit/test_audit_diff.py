"""What changed between before and after."""

from core.audit.diff import Change, changes


def test_values_are_compared_by_dotted_name():
    found = changes(
        {"roles": ["viewer"], "conf": {"n": 1, "same": True}, "gone": 0},
        {"roles": ["viewer", "admin"], "conf": {"n": 2, "same": True}, "new": None},
    )
    assert found == [
        Change("conf.n", 1, 2, "changed"),
        Change("conf.same", True, True, "same"),
        Change("gone", 0, None, "removed"),
        Change("new", None, None, "added"),
        Change("roles", "viewer", "viewer, admin", "changed"),
    ]
    assert [change.name for change in found if not change.is_change] == ["conf.same"]


def test_nothing_has_no_changes():
    assert changes(None, None) == []
    assert changes({}, None) == []
