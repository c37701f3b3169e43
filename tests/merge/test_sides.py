"""The one comparison of a field's two sides with what they last agreed on."""

import pytest

from sync.merge import FieldSides, Side, Unknown

UNKNOWN = Unknown("It can't be read.")


@pytest.mark.parametrize(
    ("local", "remote", "base", "said"),
    [
        ("a", "a", ("a", "a"), "local_stands remote_stands stand equal"),
        ("b", "a", ("a", "a"), "local_changed remote_stands differ"),
        ("a", "b", ("a", "a"), "remote_changed local_stands differ"),
        ("b", "b", ("a", "a"), "local_changed remote_changed equal"),
        (None, "a", ("a", "a"), "local_changed remote_stands differ"),
        # Monday keeps it in another form: each side is compared with its own half.
        ("+4312", "12", ("+4312", "12"), "local_stands remote_stands stand differ"),
        # Without a base both halves count as empty.
        (None, None, None, "equal"),
        ("a", None, None, "local_changed differ"),
        ("a", "b", None, "local_changed remote_changed differ"),
        # Of what isn't known nothing is said.
        (UNKNOWN, "a", ("a", "a"), "remote_stands"),
        ("a", UNKNOWN, ("a", "a"), "local_stands"),
        ("b", "b", (UNKNOWN, UNKNOWN), "equal"),
        (UNKNOWN, UNKNOWN, None, ""),
    ],
)
def test_a_field_s_sides(local: Side, remote: Side, base: tuple[Side, Side] | None, said: str) -> None:
    sides = FieldSides(local, remote, base)
    names = ["local_changed", "remote_changed", "local_stands", "remote_stands", "stand", "equal", "differ"]
    assert {name for name in names if getattr(sides, name)} == set(said.split())
