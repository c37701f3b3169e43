"""What is synced is chosen with the mapping, planned in numbers, and applied in sets."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from npd.models import Contact
from sync.kernel.messages import UnmatchedReason
from sync.models import BoardLink, SetupDraft, UnmatchedItem
from sync.operations.setup import draft as drafts
from sync.operations.setup import plan
from sync.operations.setup.filter_choice import text_of_values, values_of_text
from sync.records.unmatched_items import UnmatchedFinding, note_unmatched
from tests.wizard.conftest import PEOPLE as COLUMNS
from tests.wizard.conftest import Wizard, a_board, an_item, draft, people, words_of
from tests.wizard.test_held_to_the_plan import drawn_up


def set_up(wizard: Wizard) -> BoardLink:
    """Ann and Ben are synced; Ann's role is Customer, Ben's is Vendor."""
    people()
    Contact.objects.filter(email="ann@x.org").update(role_title="Customer")
    Contact.objects.exclude(email="ann@x.org").update(role_title="Vendor")
    wizard.compared(a_board(wizard.monday, "CRM", *COLUMNS))
    wizard.apply()
    wizard.mark = wizard.last_call()
    return BoardLink.objects.get(entity_type="contact")


def send(
    wizard: Wizard, *, records: list[tuple[str, str, str]] = (), items: list[tuple[str, str, str]] = (), **more: Any
) -> str:  # type: ignore[assignment]
    """Send the filter's page with these rows."""
    form: dict[str, Any] = {"version": draft().version, **more}
    for side, rows in (("record", records), ("item", items)):
        for place, part in enumerate(("field", "op", "text")):
            form[f"{side}-{part}"] = [row[place] for row in rows]
    answer = wizard.client.post("/admin/sync/boardlink/set-up/filter/contact/", form, follow=True)
    assert answer.status_code == 200
    return words_of(answer.content.decode())


def refilter(wizard: Wizard, **rows: list[tuple[str, str, str]]) -> None:
    """Begin a change of the filter to these rows, and have it compared."""
    drafts.begin_change(wizard.person, "contact")
    wizard.map("contact", filter="1")
    send(wizard, **rows)
    wizard.work()


def status(email: str) -> str:
    return Contact.objects.get(email=email).sync_status


@pytest.mark.django_db(transaction=True)  # what a save leaves to the queue is told apart by its transaction
def test_a_filter_is_planned_in_numbers_before_it_applies_and_taken_back_with_nothing_lost(wizard: Wizard) -> None:
    set_up(wizard)
    number = Contact.objects.count()
    refilter(wizard, records=[("role_title", "is", "Customer")])
    counts = plan.plan_totals(draft())
    assert (counts["stops"], counts["resumes"]) == (number - 1, 0)
    # Only those of which the filter says something else are checked.
    out = Contact.objects.exclude(email="ann@x.org").values_list("pk", flat=True)
    assert set(draft().found["concerned"]) == {str(pk) for pk in out}
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
    assert plan.plan_totals(draft())["resumes"] == number - 1
    wizard.apply()
    assert set(Contact.objects.values_list("sync_status", flat=True)) == {"synced"}
    assert wizard.monday.item(str(other.monday_id))["values"]["notes"] == "kept"


@pytest.mark.django_db(transaction=True)
def test_what_was_changed_on_monday_is_still_taken_over_of_a_pair_that_leaves(wizard: Wizard) -> None:
    set_up(wizard)
    bob = wizard.monday.item_named("Bob Stone")
    assert bob is not None
    wizard.monday.act("edit", item_id=int(bob["id"]), column_id="job", text="Head")
    refilter(wizard, items=[("role_title", "is", "Customer")])
    assert wizard.plan_shown() == {"stops": 1, "to_npd": 1}
    wizard.apply()
    record = Contact.objects.get(name="Bob Stone")
    assert (record.role_title, record.sync_status) == ("Head", "disabled")


@pytest.mark.django_db(transaction=True)
def test_why_an_item_has_no_record_is_found_out_anew_where_the_filter_changes(wizard: Wizard) -> None:
    link = set_up(wizard)
    item = an_item(wizard.monday, link.board_id, "Eve", job="Vendor")
    said = {"filter": "Left out by the filter: Role on Monday is not “Customer”."}
    note_unmatched(link, [UnmatchedFinding(item, "Eve", UnmatchedReason.LEFT_OUT, said)], decided=True)
    refilter(wizard, items=[("role_title", "is", "Other")])
    wizard.apply()
    assert "“Other”" in UnmatchedItem.objects.get(item_id=item).reason_sentence


@pytest.mark.django_db(transaction=True)
def test_a_record_that_was_synced_since_the_comparison_is_checked_too(wizard: Wizard) -> None:
    set_up(wizard)
    refilter(wizard, records=[("role_title", "is", "Customer")])
    Contact.objects.filter(email="ann@x.org").update(role_title="Vendor")
    wizard.drain()
    assert status("ann@x.org") == "synced"
    wizard.apply()
    assert status("ann@x.org") == "disabled"


def test_items_outside_the_filter_make_no_record(wizard: Wizard) -> None:
    board = a_board(
        wizard.monday, "CRM", *COLUMNS, items=[{"name": "In", "job": "Customer"}, {"name": "Out", "job": "x"}]
    )
    wizard.begin(board, creates=True)
    send(wizard, items=[("role_title", "is", "Customer")])
    wizard.work()
    assert plan.plan_totals(draft())["items_out"] == 1
    assert len(draft().found["free"]) == 1


def test_an_item_that_would_become_a_record_outside_the_filter_makes_none(wizard: Wizard) -> None:
    items = [{"name": "In", "job": "Customer"}, {"name": "Out", "job": "x"}]
    wizard.begin(a_board(wizard.monday, "CRM", *COLUMNS, items=items), creates=True)
    send(wizard, records=[("role_title", "is", "Customer")])
    wizard.work()
    counts = plan.plan_totals(draft())
    assert (counts["items_out"], counts["no_key"]) == (0, 2)


def begun(wizard: Wizard, **groups: str) -> None:
    """A mapped set-up of a board with these groups."""
    wizard.begin(drafts.NEW_BOARD)
    SetupDraft.objects.update(groups=groups)


def test_a_group_is_chosen_by_its_name(away: Wizard) -> None:
    begun(away, people="People")
    assert "The board has no group “Nobody”" in send(away, items=[("group", "is", "Nobody")])
    assert draft().sync_filter == {}
    send(away, items=[("group", "is", "People")])
    stored = draft().sync_filter["items"][0]
    assert stored["labels"] == ["People"]
    assert stored["values"] == ["people"]
    assert "Items on Monday where Group is “People”." in away.get("map/contact/")


def test_of_groups_with_one_title_all_are_meant_unless_one_is_named(away: Wizard) -> None:
    begun(away, g1="People", g2="People")
    both = ["g1", "g2"]
    for typed in ("People", "people"):
        send(away, items=[("group", "is", typed)])
        stored = draft().sync_filter["items"][0]
        assert (stored["values"], stored["labels"]) == (both, ["People"])
    send(away, items=[("group", "is", f"People ({both[1]})")])
    stored = draft().sync_filter["items"][0]
    assert stored["values"] == [both[1]]
    send(away, items=[("group", "is", stored["labels"][0])])  # as the page shows it
    assert draft().sync_filter["items"][0]["values"] == [both[1]]


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
        assert draft().sync_filter == {}


def test_a_row_more_stores_nothing_and_keeps_what_was_typed(away: Wizard) -> None:
    begun(away)
    page = send(away, records=[("role_title", "is", "Customer")], add="record")
    assert draft().sync_filter == {}
    assert "Condition 2" in page
    send(away, records=[("role_title", "is", "Customer"), ("", "is", "")])  # as the page has its last row
    assert len(draft().sync_filter["records"]) == 1


def test_a_field_that_the_filter_asks_for_stays_synced(away: Wizard) -> None:
    begun(away)
    send(away, records=[("role_title", "is", "Customer")])
    assert "The filter uses this field" in away.map("contact", column_role_title="")


def test_a_page_that_showed_another_filter_changes_nothing(away: Wizard) -> None:
    begun(away)
    said = send(away, records=[("role_title", "is", "Customer")], version="another")
    assert "The set-up was changed after this page was shown" in said
    assert draft().sync_filter == {}


def test_a_filter_changed_elsewhere_is_reported_before_a_plan_overwrites_it(away: Wizard) -> None:
    drawn_up(away.person)
    BoardLink.objects.filter(entity_type="contact").update(
        sync_filter={"records": [{"field": "role_title", "op": "is", "values": ["x"], "labels": ["x"]}]}
    )
    assert "settings were changed elsewhere: Filter: Records where Role is “x”" in away.confirm()
    assert SetupDraft.objects.get(entity_type="contact").state == "compared"


VALUES = st.text("ab; ", min_size=1, max_size=6).map(str.strip).filter(bool)


@given(values=st.lists(VALUES, min_size=1, max_size=4), others=st.lists(VALUES, max_size=4), data=st.data())
@example(values=["Sales", "East"], others=["Sales", "East", "Sales; East"], data=None)
@example(values=["Sales", "East"], others=["Sales; East"], data=None)
@example(values=["a;b"], others=["a;b", "a;;b", "a;;b ;"], data=None)
def test_values_are_read_back_as_they_are_shown_whatever_is_offered(
    values: list[str], others: list[str], data: Any
) -> None:
    joined = ["; ".join(values), "; ".join(one.replace(";", ";;") for one in values)]
    offered = others + (data.draw(st.lists(st.sampled_from(values + joined))) if data else [])
    assert values_of_text(text_of_values(values, offered), offered) == values


def test_a_value_that_holds_the_separator_may_be_typed_as_it_is_called() -> None:
    groups = ["Sales; East", "Head"]
    assert values_of_text("Sales; East", groups) == ["Sales; East"]
    assert values_of_text("Sales; East", [*groups, "Sales", "East"]) == ["Sales", "East"]
    assert values_of_text("Sales;; East; Head", groups) == ["Sales; East", "Head"]
