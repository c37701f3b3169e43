"""Who may do each act, by each door, and its audit line; ACTS is compared with docs/howto/people.md."""

import re
from collections.abc import Callable
from copy import copy
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
    ActivityLine,
    ApprovalRequest,
    BoardLink,
    FieldMapping,
    IgnoredItem,
    SyncQueue,
    Tombstone,
    UnmatchedItem,
    WriteLoop,
)
from sync.outbox import pauses
from sync.registry import entities
from tests.admin import states
from tests.admin.forms import values_of
from tests.files.conftest import confirm, preview
from tests.support.people import OWN_GROUPS, own_group
from tests.support.words import said

pytestmark = pytest.mark.django_db
PAGE = Path(__file__).resolve().parents[2] / "docs/howto/people.md"
# Resolve, two groups made by an administrator, and a member of “view” who may also change records.
PEOPLE = ("view", "resolve conflicts", "operate", "change records")
World = dict[str, Any]
Knock = Callable[[Client], Any]
CONTACTS, QUEUE, SET_UP = "/admin/npd/contact/", "/admin/sync/syncqueue/", "/admin/sync/boardlink/set-up/"


def post(path: str, **form: Any) -> Knock:
    return lambda client: client.post(path, {"confirmed": "yes", **form})


def ticked(path: str, action: str, row: Any, **form: str) -> Knock:
    return post(path, action=action, _selected_action=str(row.pk), **form)


def on_home(act: str, key: str) -> Knock:
    return post("/admin/home/act/", action=act, key=key)


def on_board(act: str) -> Knock:
    BoardLink.objects.filter(entity_type="contact").update(creates_held=said("Nobody can be recognized."))
    return on_home(act, "board:contact:creates_held")


def api(path: str, body: Any = None, method: str = "post") -> Knock:
    return lambda client: getattr(client, method)(f"/api/v1/{path}", body, content_type="application/json")


def saved(page: str, form: str, **changes: str) -> Knock:
    """Change a field of a form as a browser does; who can't save has no form to send."""

    def save(client: Client) -> Any:
        return client.post(page, {**values_of(client.get(page), form), **changes})

    return save


def page_of(world: World, page: str = "change", name: str = "synced") -> str:
    return reverse(f"admin:npd_contact_{page}", args=[world[name].pk])


def board_page() -> str:
    return f"/admin/sync/boardlink/{BoardLink.objects.get(entity_type='contact').pk}/change/"


def failed(world: World) -> SyncQueue:
    return SyncQueue.objects.get(entity_id=world["dead"].pk, status="failed")


def waiting(world: World) -> SyncQueue:
    return SyncQueue.objects.get(entity_id=world["waiting"].pk, status="pending")


def approval(world: World) -> str:
    return f"approval:{states.approval(world['synced'], 'clear_monday').pk}"


def unmatched() -> UnmatchedItem:
    return states.unmatched("78", "no_key", name="Stranger")


def ignored(**values: Any) -> IgnoredItem:
    return IgnoredItem.objects.create(entity_type="contact", item_id="77", reason=said("why"), **values)


def resolved(world: World) -> Knock:
    sides = {"phone": {"npd": "+44 20 7946 0812", "monday": "+44 20 7946 0018 ext. 4"}}
    return api(f"sync/conflicts/{world['conflict'].pk}/resolve", {"resolution_type": "keep_npd", "seen": sides})


def resumed(world: World) -> Knock:
    pauses.pause("somebody", entity_type="contact")
    return post(f"{QUEUE}resume/", entity_type="contact")


def unlinked(world: World) -> Knock:
    record = world["synced"]
    return ticked(CONTACTS, "unlink", record, asked=digest_of_rows([(record.pk, record.monday_id)]))


def item_linked(world: World) -> Knock:
    record = Contact.objects.create(name="Without an item")
    return post(f"/admin/sync/unmatcheditem/{unmatched().pk}/link/", record=str(record.pk))


def linked_again(world: World) -> Knock:
    ignored(left_alone=True, entity_id=world["waiting"].pk)
    return post(page_of(world, "link_again", "waiting"))


def loop_retried(world: World) -> Knock:
    """Retry a field that somebody on Monday keeps rewriting."""
    WriteLoop.objects.create(**states.ids_of(world["synced"]), key="phone", throttled_until="2999-01-01T00:00Z")
    return on_home("retry_field", f"blocked:contact:{world['synced'].pk}:phone")


def brought_back(world: World) -> Knock:
    world["dead"].delete()
    return ticked("/admin/sync/tombstone/", "restore_record", Tombstone.objects.get())


def decision(**more: Any) -> ActivityLine:
    record = states.contact("Undone", role_title="new")
    values = {"raw_before": {"role_title": "old"}, "raw_after": {"role_title": "new"}}
    return states.decided(record, "Role came from Monday.", key="role_title", values=values, **more)


def undo_page(world: World) -> str:
    return reverse("admin:sync_activityline_undo", args=[decision().pk])


def undo_page_of_a_batch(world: World) -> str:
    batch = world["synced"].pk
    decision(batch_id=batch)
    return reverse("admin:sync_activityline_undo_act", args=[batch])


def imported(client: Client) -> Any:
    page = preview(client, "Name,Email\nNew,new@x.org\n")
    return confirm(client, page) if page.status_code == 200 else page


RECORDS, OPERATE, RESOLVE, EDIT = ("change records", "operate", "resolve conflicts", "edit")
# Which of PEOPLE does what, by which door.
ACTS: dict[str, list[tuple[str, Callable[[World], Knock]]]] = {
    RESOLVE: [("Resolve a conflict", resolved)],
    OPERATE: [
        ("Retry a job", lambda w: ticked(QUEUE, "retry", failed(w))),
        ("Retry a job", lambda w: api(f"sync/queue/{failed(w).pk}/retry")),
        ("Retry a job", lambda w: on_home("retry", f"failed:{failed(w).pk}")),
        ("Try again while sync is stopped", lambda w: post(f"{QUEUE}try-again/")),
        ("Cancel a job", lambda w: ticked(QUEUE, "cancel", waiting(w))),
        ("Cancel a job", lambda w: api(f"sync/queue/{waiting(w).pk}/cancel")),
        ("Discard a failed job", lambda w: ticked(QUEUE, "discard", failed(w))),
        ("Discard a failed job", lambda w: on_home("discard", f"failed:{failed(w).pk}")),
        ("Discard a failed job", lambda w: api(f"sync/queue/{failed(w).pk}/discard")),
        ("Pause the sync", lambda w: post(f"{QUEUE}pause/?entity_type=contact")),
        ("Resume the sync", resumed),
        ("Approve bulk deletions", lambda w: on_home("approve", approval(w))),
        ("Reject bulk deletions", lambda w: on_home("reject", approval(w))),
        ("Consider an ignored item again", lambda w: ticked("/admin/sync/ignoreditem/", "consider_again", ignored())),
        ("Ignore an unmatched item", lambda w: on_home("ignore", f"unmatched:{unmatched().pk}")),
        ("Change a board's policies", lambda w: saved(board_page(), "boardlink_form", removed_item_policy="unlink")),
        ("Check a board's columns now", lambda w: on_board("check_column")),
        ("Create new items though nobody can be recognized", lambda w: on_board("create_anyway")),
        ("Set up the sync with the wizard", lambda w: post(SET_UP)),
        ("Choose the country of phone numbers", lambda w: post(SET_UP, phone_region="DE")),
    ],
    RECORDS: [
        ("Change a record", lambda w: saved(page_of(w), "contact_form", role_title="Head")),
        ("Change a record", lambda w: api(f"contacts/{w['synced'].pk}/", {"name": "X"}, "patch")),
        ("Add a record", lambda w: api("contacts/", {"name": "X"})),
        ("Delete a record", lambda w: post(page_of(w, "delete"), post="yes")),
        ("Delete a record", lambda w: api(f"contacts/{w['synced'].pk}/", None, "delete")),
        ("Sync now", lambda w: post(page_of(w, "sync_now"))),
        ("Sync now", lambda w: api(f"contacts/{w['synced'].pk}/sync-to-monday")),
        ("Turn a record's sync off", lambda w: ticked(CONTACTS, "turn_sync_off", w["synced"])),
        ("Turn a record's sync on", lambda w: ticked(CONTACTS, "turn_sync_on", w["disabled"])),
        (
            "Change a record's direction",
            lambda w: post(page_of(w, "direction"), direction="none", shown="bidirectional"),
        ),
        ("Unlink a record", unlinked),
        ("Link a record again", linked_again),
        ("Try a blocked field again", lambda w: on_home("retry_field", f"blocked:contact:{w['invalid'].pk}:email")),
        ("Send a field in an update loop again", loop_retried),
        ("Restore a deleted record", brought_back),
        ("Undo what the sync moved", lambda w: post(undo_page(w))),
        ("Create a record of an unmatched item", lambda w: on_home("create_record", f"unmatched:{unmatched().pk}")),
        ("Link an unmatched item with a record", item_linked),
        ("Import a file", lambda w: imported),
    ],
}


@pytest.fixture(autouse=True)
def nobody_works(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(current_app, "send_task", lambda name, **options: None)


class Member:
    def __init__(self) -> None:
        self.user = User.objects.create_user("member", password="right", is_staff=True)
        self.client = Client()
        self.client.force_login(self.user)

    def acting_as(self, *names: str) -> Client:
        ours = {RESOLVE: "Resolve", EDIT: "Edit"}
        groups = [Group.objects.get(name=ours[name]) for name in names if name in ours]
        own = {"view" if name == RECORDS else name for name in names} & OWN_GROUPS.keys()
        self.user.groups.set([*groups, *(own_group(name) for name in own)])
        acts = ("add", "change", "delete", "import") if RECORDS in names else ()
        names = [f"{act}_{spec.entity_type}" for act in acts for spec in entities()]
        self.user.user_permissions.set(Permission.objects.filter(codename__in=names))
        return self.client


@pytest.fixture
def member(nobody_works: None) -> Member:
    return Member()


def footprint() -> list[Any]:
    return [
        LogEntry.objects.count() + ActivityLine.objects.count(),
        sorted(SyncQueue.objects.values_list("pk", "status", "causes", "priority", "attempts")),
        sorted(Contact.objects.values_list("pk", "name", "role_title", "monday_id", "sync_enabled")),
        sorted(ApprovalRequest.objects.values_list("pk", "state")),
        sorted(UnmatchedItem.objects.values_list("pk", "ignored_at")),
        sorted(BoardLink.objects.values_list("pk", "removed_item_policy", "creates_held")),
        sorted(FieldMapping.objects.values_list("pk", "column_id", "direction", "rule", "problem")),
    ]


@pytest.mark.parametrize("group", ACTS)
def test_only_members_of_its_group_do_an_act_and_it_is_logged(world: World, member: Member, group: str) -> None:
    for act, door in ACTS[group]:
        with transaction.atomic():
            tell_apart(door({name: copy(value) for name, value in world.items()}), member, act, group)
            transaction.set_rollback(True)


def tell_apart(knock: Knock, member: Member, act: str, group: str) -> None:
    before = footprint()
    # Rights only add up: what all the others together may not do, none of them may.
    answer = knock(member.acting_as(*(person for person in PEOPLE if person != group)))
    # A list ignores an action that it doesn't offer: it comes back, and nothing is done.
    not_offered = bool(answer.wsgi_request.POST.get("action"))
    assert answer.status_code == 403 or not_offered, (act, answer.status_code)
    assert footprint() == before, act
    answer = knock(member.acting_as(group))
    assert answer.status_code < 400, (act, answer.content[:500])
    lines = LogEntry.objects.filter(user=member.user)
    assert lines.exists() or ActivityLine.objects.filter(actor=member.user.username).exists(), act
    assert all(line.change_message or line.action_flag == 3 for line in lines), act


@pytest.mark.parametrize("address", [undo_page, undo_page_of_a_batch])
def test_a_question_is_asked_of_those_alone_who_may_do_what_it_asks(
    world: World, member: Member, address: Callable[[World], str]
) -> None:
    page = address(world)
    others = [name for name in PEOPLE if name != RECORDS]
    assert member.acting_as(*others).get(page).status_code == 403
    assert member.acting_as(RECORDS).get(page).status_code == 200


def test_the_documentation_says_the_same() -> None:
    table = PAGE.read_text().partition("### What each group may do")[2].partition("\n### ")[0]
    rows = re.findall(r"^\| ([a-z ]+) \| ([A-Z][^|]+) \|$", table, re.MULTILINE)
    assert {words: group for group, acts in rows for words in acts.split(" · ")} == {
        act: group for group, acts in ACTS.items() for act, _ in acts
    }
