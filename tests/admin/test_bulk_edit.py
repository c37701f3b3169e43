"""One field of several records, changed at once from their list."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from npd.models import Contact
from sync.models import Decision, SyncQueue
from tests.admin import states
from tests.admin.test_records import LIST

pytestmark = pytest.mark.django_db


@pytest.fixture
def people(db: None) -> list[Contact]:
    states.boards()
    roles = {"Ann": "Buyer", "Bob": "", "Cleo": "Head"}
    return [states.synced(name, f"70{at}", role_title=role) for at, (name, role) in enumerate(roles.items())]


def sent(client: Client, people: list[Contact], **more: str) -> Any:
    data = {"action": "bulk_edit", "_selected_action": [str(one.pk) for one in people], **more}
    return client.post(LIST, data, follow=True)


def confirmed(client: Client, people: list[Contact], asked: Any) -> list[str]:
    """The question's button is pressed; what is said then."""
    hidden = {name: text for name, text in asked.context["hidden"] if name not in ("action", "_selected_action")}
    return [str(one) for one in sent(client, people, **hidden).context["messages"]]


def roles() -> list[str]:
    return list(Contact.objects.order_by("name").values_list("role_title", flat=True))


def test_a_field_of_several_records_is_changed_after_a_preview_and_undone_at_once(
    browser: Client, people: list[Contact]
) -> None:
    choice = sent(browser, people)
    assert (choice.context["chosen"], choice.context["problem"], choice.context["page_name"]) == (
        "",
        "",
        "Edit 3 contacts",
    )
    assert sent(browser, people, chosen="yes").context["problem"] == "Choose the field to change."
    # What tells people apart is none of the choices.
    assert {one.name for one in choice.context["choices"]} == {"organization", "role_title", "phone", "notes"}
    asked = sent(browser, people, **{"field": "role_title", "edit-role_title": "Head"})
    [table] = asked.context["question"].tables
    assert table.rows == [("Ann", "Buyer", "Head"), ("Bob", "(empty)", "Head")]
    assert roles() == ["Buyer", "", "Head"]
    [text] = confirmed(browser, people, asked)
    assert roles() == ["Head"] * 3
    changed = {one.pk for one in people[:2]}
    assert set(SyncQueue.objects.filter(status="pending").values_list("entity_id", flat=True)) == changed
    assert {one.object_id for one in LogEntry.objects.all()} == {str(key) for key in changed}
    told = Decision.objects.filter(kind="edit")
    assert {(one.entity_id, one.values["before"], one.values["after"]) for one in told} == {
        (people[0].pk, "Buyer", "Head"),
        (people[1].pk, "", "Head"),
    }
    browser.post(text.split('href="')[1].split('"')[0], {"confirmed": "yes"})
    assert roles() == ["Buyer", "", "Head"]


def test_a_value_that_no_record_takes_is_asked_for_again(browser: Client, people: list[Contact]) -> None:
    for field, value in ("role_title", "x" * 300), ("organization", "nobody"):
        again = sent(browser, people, **{"field": field, f"edit-{field}": value})
        assert (again.status_code, bool(again.context["problem"])) == (400, True)
    assert sent(browser, people, field="name", **{"edit-name": "X"}).status_code == 403
    assert roles() == ["Buyer", "", "Head"]


def test_a_record_that_was_changed_or_deleted_meanwhile_is_left_alone_and_named(
    browser: Client, people: list[Contact]
) -> None:
    ann, bob, cleo = people
    asked = sent(browser, people, **{"field": "role_title", "edit-role_title": "Lead"})
    Contact.objects.filter(pk=ann.pk).update(role_title="typed meanwhile")
    Contact.objects.filter(pk=bob.pk).update(phone="+44 20 7946 0002")
    # Nor is one of which the page had not said what it is.
    sent(browser, people, **{"field": "role_title", "edit-role_title": "Lead", "confirmed": "yes"})
    assert roles() == ["typed meanwhile", "", "Head"]
    told = confirmed(browser, people, asked)
    assert roles() == ["typed meanwhile", "Lead", "Lead"]
    assert [text for text in told if "“Ann” was left alone" in text and "typed meanwhile" in text]
    asked = sent(browser, [bob, cleo], **{"field": "role_title", "edit-role_title": ""})
    Contact.objects.filter(pk=cleo.pk).delete()
    told = confirmed(browser, [bob, cleo], asked)
    assert (roles(), len(told)) == (["typed meanwhile", ""], 2)
