"""Long words on pages are broken where a reader would break them."""

from __future__ import annotations

import pytest

from config.page_tags import breakable, marked_value
from conflicts.text_diff import diff_parts


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("clemence.becker8@example.net", "clemence.becker8|@example.net"),
        ("write to grace@navy.test", "write to grace@navy.test"),
        ("https://example.test/a_b", "https:/|/example.|test/|a_|b"),
        ("<b>never_run</b>@example.test", "&lt;b&gt;never_run&lt;/b&gt;|@example.test"),
        ("", ""),
        (None, ""),
    ],
)
def test_an_address_breaks_before_its_at_and_another_long_word_behind_its_marks(text: str | None, shown: str) -> None:
    assert breakable(text).replace("<wbr>", "|") == shown.replace("https:/|/", "https://|")


def test_an_address_of_which_parts_are_marked_breaks_like_a_whole_one() -> None:
    text = "clemence.becker8/office@example.net"
    assert marked_value(text, diff_parts(text, "clemence.becker8@example.net"), "") == (
        "clemence.becker8<ins>/office</ins><wbr>@example.net"
    )
