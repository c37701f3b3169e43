"""The page on which a person approves or rejects, and what the guard's page says."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from npd.models import Contact
from sync.choices import ApprovalKind
from sync.models import ActivityLine, ApprovalRequest, BoardLink, SyncQueue
from tests.admin import states as states_of
from tests.admin.forms import answer_to_question
from tests.admin.test_records import words_of

ACT = "/admin/home/act/"

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser(client: Client, mary: User) -> Client:
    client.force_login(mary)
    return client


@pytest.fixture
def hold() -> Callable[[int, ApprovalKind], list[ApprovalRequest]]:
    """Make this many emptied phones that wait for approval."""

    def make(number: int, kind: ApprovalKind = ApprovalKind.CLEAR_MONDAY) -> list[ApprovalRequest]:
        contacts = [Contact.objects.create(name=f"Ann {n}") for n in range(number)]
        SyncQueue.objects.all().delete()
        return [
            states_of.approval(contact, kind, key="phone", values={"value": f"+44 {n}"})
            for n, contact in enumerate(contacts)
        ]

    return make


def states() -> list[str]:
    return list(ApprovalRequest.objects.order_by("id").values_list("state", flat=True))


@pytest.mark.parametrize(
    ("action", "state", "title"),
    [("approve", "approved", "Empty 3 fields on Monday?"), ("reject", "rejected", "Restore 3 fields in NPD?")],
)
def test_all_of_a_kind_are_decided_as_counted(browser: Client, hold: Any, action: str, state: str, title: str) -> None:
    acts, form = hold(3), {"action": action, "cause": "approval:contact:clear_monday"}
    question = browser.post(ACT, form).content.decode()
    assert title in question
    later = hold(1)
    # It asks again if there are more than the page had counted.
    assert browser.post(ACT, answer_to_question(question)).status_code == 409
    assert states() == ["pending"] * 4
    later[0].delete()
    browser.post(ACT, answer_to_question(question))
    assert states() == [state] * 3
    decided = ApprovalRequest.objects.get(pk=acts[0].pk)
    assert decided.decided_by is not None
    assert decided.decided_by.username == "mary"
    assert {line.actor for line in ActivityLine.objects.filter(entity_id=decided.entity_id, kind="approval")} == {
        "mary"
    }
    assert SyncQueue.objects.filter(entity_id__in=[a.entity_id for a in acts], priority=10).count() == 3


def test_deletions_and_emptied_fields_are_never_approved_by_one_button(browser: Client, hold: Any) -> None:
    acts = [*hold(2), *hold(1, ApprovalKind.RECORDS)]
    chosen = {"action": "approve", "key": [f"approval:{act.pk}" for act in acts]}
    question = browser.post(ACT, chosen).content.decode()
    assert "Empty 2 fields on Monday?" in question
    assert "records are deleted" not in question
    assert "is left alone: it asks something else. Choose it by itself." in question
    browser.post(ACT, chosen | {"confirmed": "yes"})
    assert states() == ["approved", "approved", "pending"]


@pytest.mark.parametrize(("answer", "state"), [("approve", "approved"), ("reject", "rejected")])
def test_selected_requests_of_the_list_are_decided_by_the_same_question(
    browser: Client, hold: Any, answer: str, state: str
) -> None:
    acts, page = hold(3), "/admin/sync/approvalrequest/"
    chosen = {"action": answer, "_selected_action": [str(act.pk) for act in acts[:2]]}
    question = browser.post(page, chosen).content.decode()
    assert f'action="{ACT}"' in question
    answered = browser.post(ACT, answer_to_question(question))
    assert answered.headers["Location"] == page
    assert states() == [state, state, "pending"]
    assert "Latest, by mary" in words_of(browser.post(page, chosen, follow=True).content.decode())


@pytest.mark.parametrize(("policy", "done"), [("archive_item", "archived"), ("delete_item", "deleted")])
def test_items_are_kept_or_removed_after_a_page_that_says_what_becomes_of_them(
    browser: Client, policy: str, done: str
) -> None:
    states_of.boards()
    BoardLink.objects.update(deleted_record_policy=policy)
    contact = Contact.objects.create(name="Ann", monday_id="51")
    act = states_of.approval(contact, ApprovalKind.ITEMS, values={"record": "Ann"})
    browser.post("/admin/npd/contact/", {"action": "delete_selected", "_selected_action": [contact.pk], "post": "yes"})
    pages = {
        action: words_of(browser.post(ACT, {"action": action, "key": f"approval:{act.pk}"}).content.decode())
        for action in ("approve", "reject")
    }
    assert "Keep 1 item on Monday?" in pages["reject"]
    assert "The records stay deleted in NPD. Their items stay on Monday as they are" in pages["reject"]
    verb = {"archived": "Archive", "deleted": "Delete"}[done]
    assert f"{verb} 1 item on Monday?" in pages["approve"]
    assert f"The items are {done} on Monday, as the board's setting says." in pages["approve"]
    assert "Ann (deleted)" in pages["approve"]
    home = words_of(browser.get("/admin/").content.decode())
    assert "Items would be removed on Monday" in home
    assert "mary deleted it in NPD. Together with" in home
