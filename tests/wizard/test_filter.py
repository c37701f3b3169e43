"""What is synced is chosen with the fields, planned in numbers, and applied in sets."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npd.models import Contact
from sync.kernel.messages import UnmatchedReason
from sync.models import BoardLink, UnmatchedItem
from sync.operations.setup.planned_board import text_of_values, values_of_text
from sync.records.unmatched_items import UnmatchedFinding, note_unmatched
from tests.wizard.conftest import PEOPLE as COLUMNS
from tests.wizard.conftest import Wizard, a_board, an_item, people, words_of

Rows = list[tuple[str, str, str]]


def set_up(wizard: Wizard) -> BoardLink:
    """Ann and Bob are synced; Ann's role is Customer, Bob's is Vendor."""
    people()
    Contact.objects.filter(email="ann@x.org").update(role_title="Customer")
    Contact.objects.exclude(email="ann@x.org").update(role_title="Vendor")
    wizard.planned(a_board(wizard.monday, "CRM", *COLUMNS))
    wizard.apply()
    wizard.mark = wizard.last_call()
    return BoardLink.objects.get(entity_type="contact")


def send(wizard: Wizard, *, records: Rows | None = None, items: Rows | None = None, **more: Any) -> str:
    """Send the filter's page with these rows."""
    form: dict[str, Any] = {**more}
    for side, rows in (("record", records or []), ("item", items or [])):
        for place, part in enumerate(("field", "op", "text")):
            form[f"{side}-{part}"] = [row[place] for row in rows]
    answer = wizard.client.post("/admin/sync/boardlink/set-up/filter/contact/", form, follow=True)
    assert answer.status_code == 200
    return words_of(answer.content.decode())


def refilter(wizard: Wizard, **rows: Rows) -> None:
    """Begin a change of the filter to these rows, and have the plan made."""
    wizard.post("change/contact/")
    assert "what is synced?" in wizard.fields("contact", filter="1")
    send(wizard, **rows)
    wizard.plan()


def status(email: str) -> str:
    return Contact.objects.get(email=email).sync_status


def chosen(wizard: Wizard) -> Any:
    return wizard.choices["contact"].sync_filter


@pytest.mark.django_db(transaction=True)  # what a save leaves to the queue is told apart by its transaction
def test_a_filter_is_planned_in_numbers_before_it_applies_and_taken_back_with_nothing_lost(wizard: Wizard) -> None:
    set_up(wizard)
    number = Contact.objects.count()
    refilter(wizard, records=[("role_title", "is", "Customer")])
    assert wizard.plan_shown()["stops"] == number - 1
    assert "Role is not “Customer”" in wizard.get("plan/")
    assert BoardLink.objects.get(entity_type="contact").sync_filter == {}
    assert set(Contact.objects.values_list("sync_status", flat=True)) == {"synced"}

    wizard.apply()
    assert status("ann@x.org") == "synced"
    left_out = Contact.objects.exclude(email="ann@x.org")
    assert set(left_out.values_list("sync_status", flat=True)) == {"disabled"}
    other = left_out.exclude(monday_id=None).first()
    assert other is not None
    Contact.objects.filter(pk=other.pk).update(notes="kept")
    wizard.drain()
    assert wizard.monday.item(str(other.monday_id))["values"]["notes"] == ""

    refilter(wizard)
    assert wizard.plan_shown()["resumes"] == number - 1
    wizard.apply()
    assert set(Contact.objects.values_list("sync_status", flat=True)) == {"synced"}
    assert wizard.monday.item(str(other.monday_id))["values"]["notes"] == "kept"


@pytest.mark.django_db(transaction=True)
def test_why_an_item_has_no_record_is_found_out_anew_where_the_filter_changes(wizard: Wizard) -> None:
    link = set_up(wizard)
    item = an_item(wizard.monday, link.board_id, "Eve", job="Vendor")
    said = {"filter": "Left out by the filter: Role on Monday is not “Customer”."}
    note_unmatched(link, [UnmatchedFinding(item, "Eve", UnmatchedReason.LEFT_OUT, said)], from_pass=True)
    refilter(wizard, items=[("role_title", "is", "Other")])
    wizard.apply()
    assert "“Other”" in UnmatchedItem.objects.get(item_id=item).reason_sentence


def begun(wizard: Wizard, *groups: str) -> list[str]:
    """A mapped set-up of a board with these groups; returns their ids."""
    made = "new"
    ids = []
    if groups:
        made = wizard.monday.add_board("CRM", *COLUMNS)
        query = "mutation ($b: ID!, $n: String!) { create_group(board_id: $b, group_name: $n) { id } }"
        answers = [wizard.monday.query(query, b=made, n=name) for name in groups]
        ids = [answer["data"]["create_group"]["id"] for answer in answers]
    wizard.boards(contact=made)
    wizard.fields("contact")
    return ids


def test_a_group_is_chosen_by_its_name(wizard: Wizard) -> None:
    [people_group] = begun(wizard, "Friends")
    assert "The board has no group “Nobody”" in send(wizard, items=[("group", "is", "Nobody")])
    assert chosen(wizard) == {}
    send(wizard, items=[("group", "is", "Friends")])
    assert (chosen(wizard)["items"][0]["labels"], chosen(wizard)["items"][0]["values"]) == (["Friends"], [people_group])
    assert "Items on Monday where Group is “Friends”." in wizard.get("fields/contact/")


def test_groups_with_one_title_are_told_apart_by_their_ids(wizard: Wizard) -> None:
    both = begun(wizard, "Friends", "Friends", "Foes; and more")
    assert "The board has no group “Friends”. Choose one" in send(wizard, items=[("group", "is", "Friends")])
    assert chosen(wizard) == {}
    send(wizard, items=[("group", "is", f"friends ({both[1]}); foes;; and more")])
    [stored] = chosen(wizard)["items"]
    assert (stored["values"], stored["labels"]) == (both[1:], [f"Friends ({both[1]})", "Foes; and more"])


REFUSED = [
    (("", "contains", "Berlin"), "Choose a field"),
    (("", "is_filled", ""), "Choose a field for “is filled”"),
    (("", "is_empty", " "), "Choose a field for “is empty”"),
    (("role_title", "is", ""), "type a value"),
    (("role_title", "unheard", "x"), "only. Choose one of them."),
    (("unheard", "is", "x"), "This field isn't synced"),
    (("email", "is", "no address"), "no address"),
]


def test_a_condition_that_can_not_be_is_said_beside_it_and_nothing_is_stored(away: Wizard) -> None:
    begun(away)
    for row, said in REFUSED:
        assert said in send(away, records=[("name", "is_filled", ""), row])
        assert chosen(away) == {}


def test_a_row_more_stores_nothing_and_keeps_what_was_typed(away: Wizard) -> None:
    begun(away)
    page = send(away, records=[("role_title", "is", "Customer")], add="record")
    assert chosen(away) == {}
    assert "Condition 2" in page
    send(away, records=[("role_title", "is", "Customer"), ("", "is", "")])  # as the page has its last row
    assert len(chosen(away)["records"]) == 1


def test_a_field_that_the_filter_asks_for_stays_synced(away: Wizard) -> None:
    begun(away)
    send(away, records=[("role_title", "is", "Customer")])
    assert "The filter uses this field" in away.fields("contact", column_role_title="")


VALUES = st.text("ab; ", min_size=1, max_size=6).map(str.strip).filter(bool)


@given(values=st.lists(VALUES, min_size=1, max_size=4, unique=True))
def test_values_are_read_back_as_they_are_shown(values: list[str]) -> None:
    assert values_of_text(text_of_values(values)) == values
