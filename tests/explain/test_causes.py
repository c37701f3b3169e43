"""Every decision says what led to it: whose edit, which row, which webhook, which call, which rule."""

from datetime import timedelta
from typing import Any

import pghistory
import pytest
from django.contrib.auth.models import User

from conflicts.pages.rejections import answer_rejection
from conflicts.reports import FieldSelection
from npd.models import Contact
from sync.admin.activity import actor_of
from sync.clock import sync_now
from sync.models import (
    ActivityLine,
    BoardLink,
    FieldMapping,
    Intent,
    MondayAccount,
    SyncMetadata,
    SyncQueue,
    WebhookEvent,
)
from sync.models.activity_lines import reasons_of, triggers_of
from sync.operations.activity_undo import plan_undo
from sync.queue import push_record, retry_all
from sync.records.authors import SYNC_ACTOR, last_edits
from tests.admin.test_records import words_of
from tests.support.people import api_of, signed_in, unlink
from tests.support.world import TOM, World


def last(record: Any, kind: str, key: str = "role_title") -> ActivityLine:
    return ActivityLine.objects.filter(entity_id=record.pk, kind=kind, key=key).latest("id")


def test_a_push_names_the_person_who_edited_by_the_api_the_row_and_the_call(world: World) -> None:
    dora = User.objects.create_superuser("dora", "dora@example.com", "x", first_name="Dora", last_name="Demo")
    contact = world.linked(role_title="Boss")
    assert api_of(dora).patch(f"/api/v1/contacts/{contact.pk}/", {"role_title": "Chair"}).status_code == 200
    row = SyncQueue.objects.get(entity_id=contact.pk, status="pending")
    world.work()
    line = last(contact, "push")
    intent = Intent.objects.filter(entity_id=contact.pk).latest("created_at")
    assert line.actor == line.cause["npd"]["who"] == "Dora Demo"
    assert line.cause["npd"]["way"] == "by the API"
    assert "Dora Demo, by the API" in words_of(signed_in(dora).get("/admin/sync/activityline/").content.decode())
    assert (line.cause["rows"], line.cause["causes"]) == ([row.pk], ["save"])
    expected = (str(intent.pk), "changed in NPD", "push")
    assert (line.cause["intent"], line.cause["rule"], line.cause["action"]) == expected
    assert line.request_id == intent.request_id != ""
    edited, decided = reasons_of(line)
    assert edited.startswith("edited in NPD by Dora Demo by the API at ")
    assert decided == "decided by: changed in NPD"
    job, _read, written = triggers_of(line)
    assert job == f"job #{row.pk} (a save in NPD)"
    assert written == f"written to Monday [Monday request {line.request_id}, alias r0]"


def test_the_edit_that_is_named_is_the_one_of_that_field_and_the_syncs_own_is_named_once(world: World) -> None:
    contact = world.linked(role_title="Boss", notes="old")
    for cause, values in (("import", {"role_title": "Chair"}), ("api", {"notes": "new"}), ("sync", {"name": "Anna"})):
        with pghistory.context(cause=cause):
            Contact.objects.filter(pk=contact.pk).update(**values)
    world.work()
    edit = last(contact, "push").cause["npd"]
    # Not “by import by an import”.
    assert (edit["who"], edit["way"]) == ("import", "")
    assert last(contact, "push", "notes").cause["npd"]["way"] == "by the API"
    line = last(contact, "push", "name")
    assert (line.cause["npd"]["who"], line.cause["npd"]["way"]) == (SYNC_ACTOR, "")
    assert reasons_of(line)[0].startswith(f"edited in NPD by {SYNC_ACTOR} at ")


def test_a_pull_names_the_monday_user_the_webhook_and_the_read(world: World) -> None:
    contact = world.linked(role_title="Boss")
    MondayAccount.objects.update(users={"67210012": {"name": "Bea Board", "email": "bea@example.com"}})
    world.sandbox.act("edit", item_id=contact.monday_id, column_id="role_title", text="Chair", user_id=67210012)
    world.edit(contact, "notes", "another field's webhook")
    world.deliver()
    event = WebhookEvent.objects.filter(column_id="role_title").latest("id")
    world.work()
    line = last(contact, "pull")
    assert line.actor == "Bea Board on Monday"
    assert (line.cause["monday"]["who"], line.cause["events"]) == ("Bea Board", [event.pk])
    assert line.cause["read"] == line.request_id != ""
    assert "npd" not in line.cause
    assert reasons_of(line)[0].startswith("edited on Monday by Bea Board at ")
    webhook, _job, read = triggers_of(line)
    assert webhook == f"webhook #{event.pk}"
    assert read == f"Monday read [Monday request {line.request_id}]"


def test_who_has_a_record_synced_or_a_job_retried_is_no_author_of_what_others_edited(world: World) -> None:
    contact = world.linked(role_title="Boss", notes="old")
    for click in (
        lambda: push_record(contact, "admin"),
        lambda: retry_all(SyncQueue.objects.filter(entity_id=contact.pk), "admin"),
    ):
        number = ActivityLine.objects.count()
        world.edit(contact, "role_title", f"Chair {number}")  # its webhook doesn't come
        with pghistory.context(cause="api"):
            Contact.objects.filter(pk=contact.pk).update(notes=f"new {number}")
        click()
        world.work()
        pull, push = last(contact, "pull"), last(contact, "push", "notes")
        assert (pull.actor, actor_of(pull), push.actor) == ("", "Somebody on Monday", "api")
        assert last_edits(Contact.objects.get(), ["role_title"])["role_title"].who != "admin"


def test_an_edit_that_waited_keeps_its_time_beside_the_time_at_which_it_was_synced(world: World) -> None:
    contact = world.linked(role_title="Boss")
    ada = world.administrator("ada")
    assert api_of(ada).patch(f"/api/v1/contacts/{contact.pk}/", {"role_title": "Chair"}).status_code == 200
    edited_at = sync_now()
    world.work(minutes=20)
    browser = signed_in(ada)
    pages = (browser.get("/admin/sync/activityline/"), browser.get(f"/admin/npd/contact/{contact.pk}/change/"))
    line = last(contact, "push")
    assert abs(line.happened_at - edited_at) < timedelta(minutes=1)
    assert line.synced_at == line.at > edited_at + timedelta(minutes=19)
    assert [", synced" in words_of(page.content.decode()) for page in pages] == [False, True]
    assert "20 minutes ago synced" in words_of(pages[0].content.decode())


def shown_changes(person: Any, contact: Contact, key: str) -> list[tuple[list[tuple[str, str, bool]], ...]]:
    """The lines about a field that the activity and the record's page show: the values, and whether it has an undo."""
    browser = signed_in(person)
    listed = browser.get(f"/admin/sync/activityline/?q={contact.pk}").context["cl"].result_list
    page = browser.get(f"/admin/npd/contact/{contact.pk}/change/").context["activity"]["acts"]
    return [
        [
            (line.before, line.after, bool(act.offer.url))
            for act in acts
            for line in act.lines
            if line.row.key == key and line.is_value and line.row.kind != "link"
        ]
        for acts in ([row.page_act for row in listed], page)
    ]


def test_an_edit_that_was_made_with_sync_off_and_sent_later_is_one_line(world: World) -> None:
    contact = world.linked(role_title="Boss")
    ada = world.administrator("ada")
    for values in ({"sync_enabled": False}, {"role_title": "Chair"}, {"sync_enabled": True}):
        with pghistory.context(user=ada.pk):
            world.save(contact, **values)
    world.hear(contact)
    assert contact.sync_status == "synced"
    assert shown_changes(ada, contact, "role_title") == [[("Boss", "Chair", True)]] * 2


def test_a_corrected_value_that_was_sent_has_one_undo(world: World) -> None:
    contact = world.linked(email="good@example.com")
    ada = world.administrator("ada")
    with pghistory.context(user=ada.pk):
        world.save(contact, email="not/ok@example.com")
    seen = {"email": {"npd": "not/ok@example.com", "monday": "good@example.com"}}
    selections = {"email": FieldSelection("custom", "new@example.com")}
    with pghistory.context(user=ada.pk):
        answer_rejection(("contact", contact.pk, "email"), by=ada, selections=selections, seen=seen)
    world.work()
    world.hear(contact)
    assert contact.sync_status == "synced"
    assert (
        shown_changes(ada, contact, "email")
        == [[("good@example.com", "new@example.com", True), ("good@example.com", "not/ok@example.com", False)]] * 2
    )


@pytest.mark.parametrize("way", ["unlink", "sync off", "direction none", "delete"])
def test_a_conflict_that_a_persons_act_ends_names_that_person(world: World, way: str) -> None:
    pat = User.objects.create_superuser("pat", "pat@example.com", "x")
    contact = world.linked(role_title="Old")
    world.edit(contact, "role_title", "Theirs")
    world.save(contact, role_title="Ours")
    if way == "unlink":
        unlink(contact)
    elif way == "delete":
        assert signed_in(pat).post(f"/admin/npd/contact/{contact.pk}/delete/", {"post": "yes"}).status_code == 302
    else:
        values = {"sync_enabled": False} if way == "sync off" else {"sync_direction": "none"}
        with pghistory.context(user=pat.pk):
            world.save(contact, **values)
    world.work()
    assert last(contact, "conflict_over", key="role_title").actor == "pat"


def test_an_edit_of_an_empty_field_can_be_undone(world: World) -> None:
    contact = world.linked(role_title="")
    world.save(contact, role_title="Chair")
    line = last(contact, "push")
    assert (line.values["raw_before"], line.values["raw_after"]) == ({"role_title": ""}, {"role_title": "Chair"})
    assert not plan_undo([line])[0].refusal


def test_a_value_that_an_empty_cell_gets_first_is_no_edit_of_an_empty_field(world: World) -> None:
    contact = world.linked(role_title="Boss")
    ada = world.administrator("ada")
    world.edit(contact, "role_title", "")
    world.deliver()
    SyncMetadata.objects.of("contact", [contact.pk]).update(base={})
    world.run_pass(contact)
    line = last(contact, "push")
    acts = signed_in(ada).get(f"/admin/npd/contact/{contact.pk}/change/").context["activity"]
    [act] = [act for act in acts["acts"] if any(shown.row.pk == line.pk for shown in act.lines)]
    shown = next(shown for shown in act.lines if shown.row.pk == line.pk)
    assert (shown.is_value, shown.offer.url, line.sentence.params["way"].code) == (False, "", "way_sent")


def test_a_new_item_is_the_act_of_who_saved_the_record_though_somebody_else_retried(world: World) -> None:
    with pghistory.context(cause="api"):
        contact = world.contact("Ann")
    retry_all(SyncQueue.objects.filter(entity_id=contact.pk), "admin")
    world.work()
    assert last(contact, "create", "").actor == "api"


def test_a_rule_that_lets_a_side_win_names_both_who_edited(world: World) -> None:
    contact = world.linked(role_title="Boss")
    FieldMapping.objects.filter(key="role_title", link__entity_type="contact").update(rule="npd_wins")
    with pghistory.context(cause="import"):
        Contact.objects.filter(pk=contact.pk).update(role_title="From NPD")
    world.edit(contact, "role_title", "From Monday")
    world.hear()
    cause = last(contact, "push").cause
    decided = ("npd_wins_by_rule", "changed_on_both", "import")
    assert (cause["rule"].code, cause["rule"].params["reason"].code, cause["npd"]["who"]) == decided
    assert cause["monday"]["who"]
    assert sorted(cause["causes"]) == ["save", "webhook"]


def test_a_record_made_from_an_item_names_its_row_and_its_webhooks(world: World) -> None:
    BoardLink.objects.filter(entity_type="contact").update(creates_records=True)
    values = {"email": "new@example.com"}
    world.sandbox.act("add", board_id=world.board_id(), name="New", values=values)
    world.hear(minutes=6)
    line = ActivityLine.objects.get(kind="create", entity_id=Contact.objects.get(name="New").pk)
    assert line.cause["rows"]
    assert line.cause["events"]
    assert line.cause["read"] == line.request_id != ""


NAMES = ("Ann", "Bea", "Cleo", "Dan", "Eve", "Fay")


def listed(browser: Any, kind: str) -> list[tuple[str, int]]:
    """The first words of each line of this kind, and how many more records it covers."""
    rows = browser.get("/admin/sync/activityline/").context["cl"].result_list
    return sorted(
        (row.values["after"], row.page_folded_count) for row in rows if row.kind == kind and "made" not in row.cause
    )


def test_monday_tells_of_no_act_so_one_value_that_one_person_gave_one_column_is_one(world: World) -> None:
    browser = world.browser(world.administrator("dora"))
    people = [world.linked(name, role_title="Boss") for name in NAMES]
    for number, person in enumerate(people):
        role = "Lead" if number < 3 else f"Role {number}"
        world.sandbox.act("edit", item_id=person.monday_id, column_id="role_title", text=role, user_id=TOM)
    world.hear(times=len(people))
    assert listed(browser, "pull") == [("Lead", 2), ("Role 3", 0), ("Role 4", 0), ("Role 5", 0)]
