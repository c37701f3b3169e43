"""The page on which a person approves or rejects, and what the guard's page says."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from npd.models import Contact
from sync.choices import ApprovalKind, ApprovalState
from sync.models import ApprovalRequest, Decision, SyncQueue
from tests.support.people import api_of

LIST = "/admin/sync/approvalrequest/?state__exact=pending"
ACT = "/admin/inbox/act/"

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser(client: Client, mary: User) -> Client:
    """Mary, signed in."""
    client.force_login(mary)
    return client


@pytest.fixture
def hold() -> Callable[[int, ApprovalKind], list[ApprovalRequest]]:
    """So many emptied telephones that wait for approval."""

    def make(number: int, kind: ApprovalKind = ApprovalKind.CLEAR_MONDAY) -> list[ApprovalRequest]:
        contacts = [Contact.objects.create(name=f"Ann {n}") for n in range(number)]
        SyncQueue.objects.all().delete()
        return [
            ApprovalRequest.objects.create(
                entity_type="contact",
                entity_id=contact.pk,
                kind=kind,
                key="phone",
                state=ApprovalState.PENDING,
                label=f"Phone “+44 {n}” of {contact}",
                values={"value": f"+44 {n}"},
            )
            for n, contact in enumerate(contacts)
        ]

    return make


def states() -> list[str]:
    return list(ApprovalRequest.objects.order_by("id").values_list("state", flat=True))


@pytest.mark.parametrize(("how", "state"), [("approve", "approved"), ("reject", "rejected")])
def test_all_of_a_kind_are_decided_as_far_as_they_were_counted(
    browser: Client, hold: Any, how: str, state: str
) -> None:
    acts, form = hold(3), {"of": f"{how} approval:contact:clear_monday"}
    question = browser.post(ACT, form).content.decode()
    assert "3 changes of 3 records?" in question
    [number] = re.findall(r'name="expect"\s+value="(\d+)"', question)
    later = hold(1)
    # Of more than the page had counted it asks again.
    assert browser.post(ACT, form | {"confirmed": "yes", "expect": number}).status_code == 409
    assert states() == ["pending"] * 4
    later[0].delete()
    browser.post(ACT, form | {"confirmed": "yes", "expect": number})
    assert states() == [state] * 3
    decided = ApprovalRequest.objects.get(pk=acts[0].pk)
    assert decided.decided_by is not None
    assert decided.decided_by.username == "mary"
    assert {line.actor for line in Decision.objects.filter(entity_id=decided.entity_id, kind="approval")} == {"mary"}
    assert SyncQueue.objects.filter(entity_id__in=[a.entity_id for a in acts], priority=10).count() == 3


def test_selected_ones_are_decided_after_a_page_that_names_their_number(browser: Client, hold: Any) -> None:
    acts = hold(3)
    chosen = {"action": "reject_selected", "_selected_action": [str(acts[0].pk), str(acts[1].pk)]}
    assert "Reject 2 changes of 2 records?" in browser.post(LIST, chosen).content.decode()
    assert states() == ["pending"] * 3
    browser.post(LIST, chosen | {"confirmed": "yes", "upto": str(acts[2].pk)})
    assert states() == ["rejected", "rejected", "pending"]


def test_deletions_and_emptied_fields_are_approved_by_buttons_of_their_own(browser: Client, hold: Any) -> None:
    acts = [*hold(2), *hold(1, ApprovalKind.RECORDS)]
    chosen = {"action": "approve_selected", "_selected_action": [str(act.pk) for act in acts]}
    html = browser.post(LIST, chosen).content.decode()
    assert re.findall(r'npd-button-deletes"\s+type="submit"\s+name="only"\s+value="(\w+)"', html) == [
        "clear_monday", "records",
    ]  # fmt: skip
    browser.post(LIST, chosen | {"confirmed": "yes", "upto": str(acts[-1].pk), "only": "records"})
    assert states() == ["pending", "pending", "approved"]
    browser.post(LIST, chosen | {"confirmed": "yes", "upto": str(acts[-1].pk), "only": "nothing"})
    assert states() == ["pending", "pending", "approved"]


def test_what_comes_after_the_page_was_shown_is_not_decided_with_the_selection(browser: Client, hold: Any) -> None:
    acts = hold(3)
    chosen = {"action": "approve_selected", "_selected_action": [str(acts[0].pk)], "select_across": "1"}
    page = browser.post(LIST, chosen)
    assert "Approve 3 changes of 3 records?" in page.content.decode()
    hold(2)
    sent = dict(
        re.findall(r'name="(upto|action|select_across|_selected_action)" value="([^"]*)"', page.content.decode())
    )
    browser.post(LIST, sent | {"confirmed": "yes"})
    assert states() == ["approved"] * 3 + ["pending"] * 2


def test_the_figures_count_what_waits(mary: User, hold: Any) -> None:
    acts = hold(2)
    ApprovalRequest.objects.filter(pk=acts[0].pk).update(state=ApprovalState.DONE)
    assert api_of(mary).get("/api/v1/sync/stats").json()["waiting_for_approval"] == 1
