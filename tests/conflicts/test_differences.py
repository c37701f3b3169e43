"""The differences of two texts, word by word, and both texts in one."""

import re

import pghistory
import pytest
from django.contrib.auth.models import User
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from conflicts.reports import FieldConflict
from npd.models import Contact
from sync.kernel.humanize import EXCERPT_LENGTH, MAX_DIFF_CHARACTERS, both_texts, diff_parts, excerpts
from tests.admin import states
from tests.conflicts.conftest import PHONE, conflict_of, finding, record
from tests.conflicts.test_screen import screen, text_of


def marked(text: str | None, other_text: str | None) -> str:
    return "".join(f"[{part}]" if is_marked else part for part, is_marked in diff_parts(text, other_text))


@pytest.mark.parametrize(
    ("text", "other_text", "expected"),
    [
        ("+44 20 7946 0812", "+44 20 7946 0999", "+44 20 7946 [0812]"),
        ("+44 20 7946 0001", "+1 202-555-1001", "+44 20 7946 0001"),
        ("ann@example.com", "anna@example.com", "[ann]@example.com"),
        ("Called on Tuesday; wants more", "Called on Wednesday; has more", "Called on [Tuesday]; [wants] more"),
        ("don’t call", "doesn’t call", "[don’t] call"),
        ("two  spaces", "two spaces", "[two]  spaces"),
        ("longer now", "longer", "longer [now]"),
        ("nothing alike", "XYZ", "nothing alike"),
        ("Ann", None, "Ann"),
        (None, "Ann", ""),
    ],
)
def test_what_the_other_text_has_not_is_marked(text: str | None, other_text: str | None, expected: str) -> None:
    assert marked(text, other_text) == expected


def test_what_would_take_too_long_is_not_marked() -> None:
    text = "x " * MAX_DIFF_CHARACTERS
    assert marked(text, f"{text}y") == text


def test_of_the_agreed_text_is_marked_what_either_side_has_not_any_more() -> None:
    parts = diff_parts("one two three", "one two X", "Y two three")
    assert parts == [("one", True), (" ", False), ("two ", False), ("three", True)]


@given(st.text(max_size=60), st.text(max_size=60))
def test_the_pieces_are_always_the_whole_text(text: str, other_text: str) -> None:
    assert "".join(part for part, _ in diff_parts(text, other_text)) == text
    assert "".join(part for part, _ in diff_parts(text, other_text, None)) == text


def shown_excerpts(text: str | None, other_text: str | None) -> list[str]:
    return [
        "".join(f"[{part}]" if is_marked else part for part, is_marked in side) for side in excerpts(text, other_text)
    ]


def test_an_excerpt_begins_at_a_word_before_the_first_difference_and_says_what_it_leaves_out() -> None:
    same = "Parent available never traditional cat. " * 5
    excerpts_of_both = shown_excerpts(
        f"{same}Called on Tuesday; wants a quote", f"{same}Called on\nWednesday; has no budget"
    )
    assert excerpts_of_both == [
        "… never traditional cat. Called on [Tuesday]; [wants a quote]",
        "… never traditional cat. Called on [Wednesday]; [has no budget]",
    ]
    [cut, _] = shown_excerpts(f"Tuesday {same}", f"Wednesday {same}")
    assert cut.startswith("[Tuesday] Parent")
    assert cut.endswith("…")
    [cut, _] = shown_excerpts("word " * 50, "words " * 50)
    assert not cut.endswith(" …")
    [cut, _] = shown_excerpts("Prefers mail and no calls at all", "Prefers mail and no calls")
    assert cut.startswith("Prefers")
    [cut, _] = shown_excerpts("字" * 300 + "一", "字" * 300 + "二")
    assert "一" in cut
    assert shown_excerpts("Ann", None) == ["Ann", ""]
    assert shown_excerpts("one line", "one line and more") == ["one line", "one line [and more]"]


@given(st.text(max_size=300), st.text(max_size=300))
def test_excerpts_are_short_and_of_the_text(first: str, second: str) -> None:
    for text, side in zip((first, second), excerpts(first, second), strict=True):
        excerpt = "".join(part for part, _ in side)
        line = " ".join(text.split())
        assert excerpt.removeprefix("… ").removesuffix("…").strip() in line
        assert len(excerpt) <= EXCERPT_LENGTH + 3


PARTS = st.lists(st.text("abc dé", min_size=1, max_size=8).map(str.strip).filter(bool), unique=True, max_size=4)


@given(PARTS, PARTS, PARTS)
def test_both_has_what_is_common_once(common: list[str], mine: list[str], theirs: list[str]) -> None:
    def lines(*texts: list[str]) -> str:
        return "\n".join(line for text in texts for line in text)

    mine = [f"{line}, mine" for line in mine]
    theirs = [f"{line}, theirs" for line in theirs]
    assert both_texts(lines(common, mine), lines(common, theirs)) == lines(common, mine, theirs)
    assert both_texts(lines(mine, common), lines(theirs, common)) == lines(mine, theirs, common)
    assert both_texts(lines(common, mine), lines(common)) == lines(common, mine)


def test_both_in_one_keeps_sentences_whole() -> None:
    merged = both_texts("Parent call. Called on Tuesday.", "Parent call. Called on Wednesday. Has no budget.")
    assert merged == "Parent call. Called on Tuesday. Called on Wednesday. Has no budget."
    assert both_texts("A\r\nB", "B\nC") == "A\nB\nC"
    assert both_texts("A B", "A B") == "A B"
    assert both_texts("A B", None) == both_texts(None, "A B") == "A B"


@pytest.mark.django_db
def test_the_screen_marks_the_differences_and_escapes_what_it_marks(client: Client, ada: User) -> None:
    contact = Contact.objects.create(name="Ann", monday_id="71")
    record(finding(contact, FieldConflict("notes", "call <b> today", "call <b> now", "call <i> now")))
    client.force_login(ada)
    page = client.get(screen(conflict_of(contact))).content.decode()
    assert "call &lt;b&gt; <ins>" in page
    assert "<del>" in page
    assert "<b> today" not in page


@pytest.mark.django_db
def test_the_sides_are_named_by_who_edited_them_and_when(client: Client, ada: User) -> None:
    states.boards()
    client.force_login(ada)
    contact = Contact.objects.create(name="Ann", monday_id="71", phone="+44 20 7946 0018")
    contact.phone = "+44 20 7946 0812"
    with pghistory.context(user=ada.pk, url="/admin/npd/contact/"):
        contact.save()
    report = finding(contact, PHONE)
    report.editors = {"phone": {"who": "Tom Board", "at": "2026-11-03T10:15:00+00:00"}}
    record(report)
    page = text_of(client.get(screen(conflict_of(contact))))
    assert "Tom Board, 3 Nov 2026, 10:15 UTC" in page
    assert re.search(r"Ada, \d+ \w+ \d{4}, \d\d:\d\d UTC ?, in the admin", page)
