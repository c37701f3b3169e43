"""What differs between two texts, character by character as a reader sees characters."""

from __future__ import annotations

import re

import pghistory
import pytest
from django.contrib.auth.models import User
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from conflicts.text_diff import MAX_DIFF_CHARACTERS, base_diff_parts, characters, diff_parts
from npd.models import Contact
from sync.kernel.conflict_store import FieldConflict
from sync.models import WebhookEvent
from tests.admin import states
from tests.conflicts.conftest import PHONE, conflict_of, finding, record
from tests.conflicts.test_screen import screen, text_of

FAMILY, FLAG, ACCENT = "👩‍👩‍👧", "🇸🇪", "e\u0301"


def marked(text: str | None, other: str | None) -> str:
    return "".join(f"[{part.text}]" if part.marked else part.text for part in diff_parts(text, other))


@pytest.mark.parametrize(
    ("text", "other", "shown"),
    [
        ("+44 20 7946 0812", "+44 20 7946 0018", "+44 20 7946 0[812]"),
        ("Head of Procurement", "Head of Purchasing", "Head of P[roc]ur[ement]"),
        ("same", "same", "same"),
        ("longer now", "longer", "longer[ now]"),
        ("short", "short and long", "short"),
        ("nothing alike", "XYZ", "nothing alike"),
        ("Ann", None, "Ann"),
        (None, "Ann", ""),
    ],
)
def test_what_the_other_text_has_not_is_marked(text: str | None, other: str | None, shown: str) -> None:
    result = marked(text, other)
    assert result.replace("[", "").replace("]", "") == (text or "")
    if "[" in shown:
        assert "[" in result
        assert result.startswith(shown[: shown.index("[")])
    else:
        assert result == shown


@pytest.mark.parametrize("one", [FAMILY, FLAG, ACCENT, "👍🏽", "한", "नि"])
def test_one_character_of_a_reader_is_never_cut(one: str) -> None:
    assert characters(f"a{one}b") == ["a", one, "b"]
    assert marked(f"Hello {one} you", "Hello a you") == f"Hello [{one}] you"


def test_a_text_from_right_to_left_keeps_its_order_and_its_marks() -> None:
    assert marked("مرحبا بكم", "مرحبا بك") == "مرحبا بك[م]"
    assert marked("שָׁלוֹם לך", "שָׁלוֹם לכם").startswith("שָׁלוֹם ל")


def test_long_texts_are_compared_by_words() -> None:
    text = "one two three " * 40
    assert marked(f"{text}four", f"{text}five").endswith("three [four]")


def test_what_would_take_too_long_is_not_marked() -> None:
    text = "x" * (MAX_DIFF_CHARACTERS + 1)
    assert marked(text, f"{text}y") == text


def test_of_the_agreed_text_is_marked_what_either_side_has_not_any_more() -> None:
    shown = [(part.text, part.marked) for part in base_diff_parts("abcdef", "abcdeX", "Ybcdef")]
    assert shown == [("a", True), ("bcde", False), ("f", True)]


@given(st.text(max_size=60), st.text(max_size=60))
def test_the_pieces_are_always_the_whole_text(one: str, other: str) -> None:
    assert "".join(part.text for part in diff_parts(one, other)) == one
    assert "".join(part.text for part in base_diff_parts(one, other, None)) == one


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
    links = states.boards()
    column = links["contact"].mappings.get(key="phone").column_id
    client.force_login(ada)
    contact = Contact.objects.create(name="Ann", monday_id="71", phone="+44 20 7946 0018")
    contact.phone = "+44 20 7946 0812"
    with pghistory.context(user=ada.pk, url="/admin/npd/contact/"):
        contact.save()
    for number, user in enumerate(["4711", "4712"]):
        WebhookEvent.objects.create(
            trigger_id=str(number), board_id="9001", item_id="71", column_id=column, type="update_column_value",
            body={"event": {"userId": int(user)}},
        )  # fmt: skip
    record(finding(contact, PHONE))
    page = text_of(client.get(screen(conflict_of(contact))))
    assert "Monday user 4712," in page
    assert "4711" not in page
    assert re.search(r"Ada, \d+ \w+ \d{4}, \d\d:\d\d UTC ?, in the admin", page)
