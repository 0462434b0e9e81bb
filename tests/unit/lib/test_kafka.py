"""What a message of Kafka holds."""

import pytest

from core.lib import kafka


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b'{"a":1}\n{"b":2}', [b'{"a":1}', b'{"b":2}']),
        (b'{"a":1}\n{"b":2}\n', [b'{"a":1}', b'{"b":2}']),
        (b'{"a":1}\r\n{"b":2}', [b'{"a":1}', b'{"b":2}']),
        (b'{"a":1}\r\n{"b":2}\r\n\r\n', [b'{"a":1}', b'{"b":2}']),
        (b' {"a":1} \n\t{"b":2}', [b'{"a":1}', b'{"b":2}']),
        (b'{"a":1}\n\n{"b":2}', [b'{"a":1}\n\n{"b":2}']),
        (b'{"a":1}\r{"b":2}', [b'{"a":1}\r{"b":2}']),
        (b'{"a":1}', [b'{"a":1}']),
        (b'{"a":1}\n', [b'{"a":1}\n']),
        (b'{\n "a": {}\n}', [b'{\n "a": {}\n}']),
        (b"[{},\n{}]", [b"[{},\n{}]"]),
        (b"1\n2", [b"1\n2"]),
        (b"", [b""]),
        (b"\n" + b'{"a":1}', [b'\n{"a":1}']),
        (b"\n" * 9, [b"\n" * 9]),
        (b"{}\n" * 1000, [b"{}"] * 1000),
        (b"{}" + b"\n{}" * 1000, [b"{}" + b"\n{}" * 1000]),
    ],
)
def test_lines_are_objects_and_no_other_message_is_cut(value, found):
    assert kafka.lines(value) == found
