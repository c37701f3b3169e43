"""Who may do what: each act, by everybody for whom there is a group, through its door; and its line in the audit log.

The table here is that of docs/howto/people.md, which a test below holds it against.
"""

import re
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.db import transaction
from django.test import Client
from django.urls import reverse

from npd.models import Contact
from sync.admin.confirmed_action import digest_of_rows
from sync.models import (
    ApprovalRequest,
    BoardLink,
    Decision,
    FieldMapping,
    IgnoredItem,
    SyncQueue,
    Tombstone,
    UnmatchedItem,
    WriteLoop,
)
from sync.outbox import pauses
from tests.admin import states
from tests.admin.forms import values_of
from tests.files.conftest import confirm, preview
from tests.support.people import OWN_GROUPS, own_group, signed_in

pytestmark = pytest.mark.django_db
PAGE = Path(__file__).resolve().parents[2] / "docs/howto/people.md"
PEOPLE = ("view", "resolve conflicts", "operate", "change records")
"""Resolve, two groups of an administrator's own, and somebody of the first who may change records besides."""
World = dict[str, Any]
UNMATCHED = "/admin/sync/unmatcheditem/"

PAUSE_CONTACTS = "/admin/sync/syncqueue/pause/?entity_type=contact"


def record_created(world: World) -> Callable[[Client], Any]:
    return in_inbox("create_record", f"unmatched:{unmatched_row(world).pk}")


def direction_changed(world: World) -> Callable[[Client], Any]:
    return record_act(world, "synced", "direction", direction="none", shown="bidirectional")


def region_chosen(world: World) -> Callable[[Client], Any]:
    return lambda client: client.post("/admin/sync/boardlink/set-up/", {"phone_region": "DE"})


def ticked(path: str, action: str, *keys: Any, **more: str) -> Callable[[Client], Any]:
    data = {"action": action, "_selected_action": [str(key) for key in keys], "confirmed": "yes", **more}
    return lambda client: client.post(path, data)


def unlinked(world: World) -> Callable[[Client], Any]:
    record = world["synced"]
    asked = digest_of_rows([(record.pk, record.monday_id)])
    return ticked("/admin/npd/contact/", "unlink", record.pk, asked=asked)


def saved(path: str, form: str, **changes: str) -> Callable[[Client], Any]:
    """Open a form as the browser does, change a field, save; who can't save isn't shown a form to send."""

    def save(client: Client) -> Any:
        return client.post(path, {**values_of(client.get(path), form), **changes})

    return save


def api(path: str, body: Any = None, method: str = "post") -> Callable[[Client], Any]:
    return lambda client: getattr(client, method)(f"/api/v1/{path}", body, content_type="application/json")


def contact_page(world: World, name: str = "synced", page: str = "change") -> str:
    return reverse(f"admin:npd_contact_{page}", args=[world[name].pk])


def conflict_resolved(world: World) -> Callable[[Client], Any]:
    sides = {"phone": {"npd": "+44 20 7946 0812", "monday": "+44 20 7946 0018 ext. 4"}}
    return api(f"sync/conflicts/{world['conflict'].pk}/resolve", {"resolution_type": "keep_npd", "seen": sides})


def failed_row(world: World) -> SyncQueue:
    return SyncQueue.objects.get(entity_id=world["dead"].pk, status="failed")


def waiting_row(world: World) -> SyncQueue:
    return SyncQueue.objects.get(entity_id=world["waiting"].pk, status="pending")


def paused(world: World) -> Callable[[Client], Any]:
    pauses.pause("somebody", entity_type="contact")
    return lambda client: client.post("/admin/sync/syncqueue/resume/", {"entity_type": "contact"})


def pending_approval(world: World) -> ApprovalRequest:
    return states.approval(world["synced"], "clear_monday")


def guarded(world: World, answer: str) -> Callable[[Client], Any]:
    act = pending_approval(world)
    return in_inbox(answer, f"approval:{act.pk}")


def refused_item(world: World) -> Callable[[Client], Any]:
    row = IgnoredItem.objects.create(entity_type="contact", item_id="77", reason="why")
    return ticked("/admin/sync/ignoreditem/", "consider_again", row.pk)


def unmatched_row(world: World) -> UnmatchedItem:
    return UnmatchedItem.objects.create(entity_type="contact", item_id="78", name="Stranger", reason_code="no_key")


def item_linked(world: World) -> Callable[[Client], Any]:
    row, form = unmatched_row(world), choice(world)
    return lambda client: client.post(f"{UNMATCHED}{row.pk}/link/", form)


def choice(world: World) -> dict[str, str]:
    record = Contact.objects.create(name="Without an item")
    return {"record": str(record.pk), "confirmed": "yes"}


def linked_again(world: World) -> Callable[[Client], Any]:
    record = world["waiting"]
    IgnoredItem.objects.create(entity_type="contact", item_id="77", reason="x", left_alone=True, entity_id=record.pk)
    return record_act(world, "waiting", "link_again", confirmed="yes")


def in_inbox(act: str, key: str, **more: str) -> Callable[[Client], Any]:
    """An act of the inbox with an entry, its question answered."""
    form = {"action": act, "key": key, "confirmed": "yes", **more}
    return lambda client: client.post("/admin/home/act/", form)


def board_act(act: str) -> Callable[[Client], Any]:
    BoardLink.objects.filter(entity_type="contact").update(creates_held="Nobody can be recognized.")
    return in_inbox(act, "board:contact:creates_held")


def loop_retried(world: World) -> Callable[[Client], Any]:
    """A field that somebody on Monday rewrites, once more."""
    WriteLoop.objects.create(**states.ids_of(world["synced"]), key="phone", throttled_until="2999-01-01T00:00Z")
    return in_inbox("retry_field", f"blocked:contact:{world['synced'].pk}:phone")


def record_act(world: World, name: str, act: str, **form: str) -> Callable[[Client], Any]:
    page = contact_page(world, name, act)
    return lambda client: client.post(page, form)


def brought_back(world: World) -> Callable[[Client], Any]:
    world["dead"].delete()
    return ticked("/admin/sync/tombstone/", "bring_back", Tombstone.objects.get().pk)


def decision(world: World) -> Decision:
    record = states.contact("Undone", role_title="new")
    values = {"raw_before": {"role_title": "old"}, "raw_after": {"role_title": "new"}}
    return states.decided(record, "Role came from Monday.", key="role_title", values=values)


def undone(world: World) -> Callable[[Client], Any]:
    page = reverse("admin:sync_decision_undo", args=[decision(world).pk])
    return lambda client: client.post(page, {"confirmed": "yes"})


def board_saved(world: World, **changes: str) -> Callable[[Client], Any]:
    page = reverse("admin:sync_boardlink_change", args=[BoardLink.objects.get(entity_type="contact").pk])
    return saved(page, "boardlink_form", **changes)


def file_chosen(world: World) -> Callable[[Client], Any]:
    """Choose a file, then confirm what it does."""

    def chosen(client: Client) -> Any:
        page = preview(client, "Name,Email\nNew,new@x.org\n")
        return confirm(client, page) if page.status_code == 200 else page

    return chosen


@dataclass(frozen=True)
class Act:
    """What is done, by which door, and which of PEOPLE may do it."""

    words: str
    door: Callable[[World], Callable[[Client], Any]]
    group: str
    by_api: bool = False


RECORDS, OPERATE, RESOLVE, EDIT = ("change records", "operate", "resolve conflicts", "edit")
ACTS = (
    Act("Resolve a conflict", conflict_resolved, RESOLVE, by_api=True),
    Act("Retry a job", lambda w: ticked("/admin/sync/syncqueue/", "retry", failed_row(w).pk), OPERATE),
    Act("Retry a job", lambda w: api(f"sync/queue/{failed_row(w).pk}/retry"), OPERATE, by_api=True),
    Act("Retry a job", lambda w: in_inbox("retry", f"failed:{failed_row(w).pk}"), OPERATE),
    Act("Try again while sync is stopped", lambda w: lambda c: c.post("/admin/sync/syncqueue/try-again/"), OPERATE),
    Act("Cancel a job", lambda w: ticked("/admin/sync/syncqueue/", "cancel", waiting_row(w).pk), OPERATE),
    Act("Cancel a job", lambda w: api(f"sync/queue/{waiting_row(w).pk}/cancel"), OPERATE, by_api=True),
    Act("Discard a failed job", lambda w: ticked("/admin/sync/syncqueue/", "discard", failed_row(w).pk), OPERATE),
    Act("Discard a failed job", lambda w: in_inbox("discard", f"failed:{failed_row(w).pk}"), OPERATE),
    Act("Discard a failed job", lambda w: api(f"sync/queue/{failed_row(w).pk}/discard"), OPERATE, by_api=True),
    Act("Pause the sync", lambda w: lambda c: c.post(PAUSE_CONTACTS, {"confirmed": "yes"}), OPERATE),
    Act("Resume the sync", paused, OPERATE),
    Act("Approve bulk deletions", lambda w: guarded(w, "approve"), OPERATE),
    Act("Reject bulk deletions", lambda w: guarded(w, "reject"), OPERATE),
    Act("Consider an ignored item again", refused_item, OPERATE),
    Act("Ignore an unmatched item", lambda w: in_inbox("ignore", f"unmatched:{unmatched_row(w).pk}"), OPERATE),
    Act("Change a board's policies", lambda w: board_saved(w, removed_item_policy="unlink"), OPERATE),
    Act("Check a board's columns now", lambda w: board_act("check_column"), OPERATE),
    Act("Create new items though nobody can be recognized", lambda w: board_act("create_anyway"), OPERATE),
    Act("Set up the sync with the wizard", lambda w: lambda c: c.post("/admin/sync/boardlink/set-up/"), OPERATE),
    Act("Choose the country of phone numbers", region_chosen, OPERATE),
    Act("Change a record", lambda w: saved(contact_page(w), "contact_form", role_title="Head"), RECORDS),
    Act("Change a record", lambda w: api(f"contacts/{w['synced'].pk}/", {"name": "X"}, "patch"), RECORDS, True),
    Act("Add a record", lambda w: api("contacts/", {"name": "X"}), RECORDS, True),
    Act("Delete a record", lambda w: lambda c: c.post(contact_page(w, page="delete"), {"post": "yes"}), RECORDS),
    Act("Delete a record", lambda w: api(f"contacts/{w['synced'].pk}/", None, "delete"), RECORDS, True),
    Act("Sync now", lambda w: lambda c: c.post(contact_page(w, page="sync_now")), RECORDS),
    Act("Sync now", lambda w: api(f"contacts/{w['synced'].pk}/sync-to-monday"), RECORDS, True),
    Act("Turn a record's sync off", lambda w: ticked("/admin/npd/contact/", "turn_sync_off", w["synced"].pk), RECORDS),
    Act("Turn a record's sync on", lambda w: ticked("/admin/npd/contact/", "turn_sync_on", w["disabled"].pk), RECORDS),
    Act("Change a record's direction", direction_changed, RECORDS),
    Act("Unlink a record", unlinked, RECORDS),
    Act("Link a record again", linked_again, RECORDS),
    Act(
        "Try a blocked field again",
        lambda w: in_inbox("retry_field", f"blocked:contact:{w['invalid'].pk}:email"),
        RECORDS,
    ),
    Act("Send a field in an update loop again", loop_retried, RECORDS),
    Act("Restore a deleted record", brought_back, RECORDS),
    Act("Undo what the sync moved", undone, RECORDS),
    Act("Create a record of an unmatched item", record_created, RECORDS),
    Act("Link an unmatched item with a record", item_linked, RECORDS),
    Act("Import a file", file_chosen, RECORDS),
)


@pytest.fixture(autouse=True)
def nobody_works(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A click sends no task to a worker."""
    monkeypatch.setattr(current_app, "send_task", lambda name, **options: None)


class Member:
    """Somebody who has signed in, now of this group and now of that."""

    def __init__(self) -> None:
        self.user = User.objects.create_user("member", password="right", is_staff=True)
        self.client = Client()
        self.client.force_login(self.user)

    def acting_as(self, *names: str) -> Client:
        """Now somebody of these PEOPLE together."""
        ours = {RESOLVE: "Resolve", EDIT: "Edit"}
        groups = [Group.objects.get(name=ours[name]) for name in names if name in ours]
        own = {"view" if name == RECORDS else name for name in names} & OWN_GROUPS.keys()
        self.user.groups.set([*groups, *(own_group(name) for name in own)])
        acts, models = ("add", "change", "delete", "import"), ("contact", "organization")
        names = [f"{act}_{model}" for act in acts for model in models] if RECORDS in names else []
        self.user.user_permissions.set(Permission.objects.filter(codename__in=names))
        return self.client


@pytest.fixture
def member(nobody_works: None) -> Member:
    return Member()


def footprint() -> list[Any]:
    return [
        LogEntry.objects.count(),
        sorted(SyncQueue.objects.values_list("pk", "status", "causes", "priority", "attempts")),
        sorted(Contact.objects.values_list("pk", "name", "role_title", "monday_id", "sync_enabled")),
        sorted(ApprovalRequest.objects.values_list("pk", "state")),
        sorted(UnmatchedItem.objects.values_list("pk", "ignored_at")),
        BoardLink.objects.filter(removed_item_policy="unlink").count(),
        BoardLink.objects.filter(creates_held="").count(),
        sorted(FieldMapping.objects.values_list("pk", "column_id", "direction", "rule", "problem")),
    ]


@pytest.mark.parametrize("group", [OPERATE, RESOLVE, RECORDS])
def test_only_members_of_its_group_do_an_act_and_it_is_logged(world: World, member: Member, group: str) -> None:
    for act in (act for act in ACTS if act.group == group):
        with transaction.atomic():
            tell_apart({name: copy(value) for name, value in world.items()}, member, act)
            transaction.set_rollback(True)


def tell_apart(world: World, member: Member, act: Act) -> None:
    knock = act.door(world)
    before = footprint()
    # Rights only add up: what all others may not do together, none of them may.
    answer = knock(member.acting_as(*(person for person in PEOPLE if person != act.group)))
    # An action that somebody may not do isn't among those of the list: the list comes back, and nothing is done.
    not_offered = bool(answer.wsgi_request.POST.get("action"))
    assert answer.status_code == 403 or not_offered, (act, answer.status_code)
    assert footprint() == before, act
    answer = knock(member.acting_as(act.group))
    assert answer.status_code < 400, (act, answer.content[:500])
    lines = LogEntry.objects.filter(user=member.user)
    assert lines.exists(), act
    assert all(line.change_message or line.action_flag == 3 for line in lines), act


def batch_page(world: World) -> str:
    row = decision(world)
    Decision.objects.filter(pk=row.pk).update(batch_id=world["synced"].pk)
    return reverse("admin:sync_decision_undo_batch", args=[world["synced"].pk])


def import_page(world: World) -> str:
    client = signed_in(User.objects.create_superuser("owner"))
    confirm(client, preview(client, "Name\nNew\n"))
    return reverse("admin:sync_decision_undo_batch", args=[Decision.objects.get(kind="import", folded=False).batch_id])


QUESTIONS: tuple[tuple[Callable[[World], str], str], ...] = (
    (lambda w: reverse("admin:sync_decision_undo", args=[decision(w).pk]), RECORDS),
    (batch_page, RECORDS),
    (import_page, RECORDS),
)


def test_a_question_is_asked_of_those_alone_who_may_do_what_it_asks(world: World, member: Member) -> None:
    for address, person in QUESTIONS:
        with transaction.atomic():
            page = address(world)
            before = footprint()
            other_people = [name for name in PEOPLE if name != person]
            assert member.acting_as(*other_people).get(page).status_code == 403, page
            assert member.acting_as(person).get(page).status_code == 200, page
            assert footprint() == before
            transaction.set_rollback(True)


def test_the_documentation_says_the_same() -> None:
    table = PAGE.read_text().partition("### What each group may do")[2].partition("\n### ")[0]
    rows = re.findall(r"^\| ([a-z ]+) \| ([A-Z][^|]+) \|$", table, re.MULTILINE)
    assert {words: group for group, acts in rows for words in acts.split(" · ")} == {
        act.words: act.group for act in ACTS
    }
