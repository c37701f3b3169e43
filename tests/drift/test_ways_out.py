"""The page of blocked fields: each option is a button, and does on the board what it says."""

import re
from functools import partial
from html import unescape
from typing import Any

import pghistory
import pytest
import responses
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.management import call_command
from django.test import Client
from rest_framework.throttling import SimpleRateThrottle

from conflicts.models import SyncConflict
from conflicts.resolution import resolve
from npd.models import Contact
from sync.boards import board_columns
from sync.boards.mapping import remap
from sync.choices import Cause
from sync.models import BoardLink, Decision, FieldMapping, SyncMetadata, SyncQueue, WriteLoop
from sync.operations.decision_undo import is_undoable
from sync.operations.detect.sweep import sweep_due_boards
from sync.outbox import pauses
from tests.drift.conftest import Owner
from tests.support.people import staff_who_may
from tests.support.rows import queries_of
from tests.support.waiting import at_once
from tests.support.world import World

HELD = "/admin/sync/boardlink/blocked/"
BLOCKED, LOOPS = f"{HELD}?show=blocked", f"{HELD}?show=throttled"
RENAMED = "“Role” on “Contacts” is now “Position”. The field is still synced."


@pytest.fixture
def admin(world: World) -> Client:
    return world.browser(world.administrator("lead"))


def role() -> FieldMapping:
    """The mapping of the contacts' role."""
    return FieldMapping.objects.get(key="role_title", link__entity_type="contact")


def in_sync(name: str) -> Contact:
    """A contact with an item, whose last pass found nothing."""
    contact = Contact.objects.create(name=name, monday_id=name)
    SyncMetadata.objects.update_or_create(entity_type="contact", entity_id=str(contact.pk), system="monday")
    Contact.objects.filter(pk=contact.pk).update(sync_status="synced")
    SyncQueue.objects.all().delete()
    return contact


def words_of(response: Any) -> str:
    text = re.sub(r'<span class="(?:material-symbols|npd-hidden)[^>]*>[^<]*</span>', "", response.content.decode())
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text)))


def shown(client: Client, url: str = HELD) -> str:
    return words_of(client.get(url))


def posted(client: Client, url: str, **data: Any) -> str:
    return words_of(client.post(url, data, follow=True))


def gone(owner: Owner) -> None:
    owner.column("role_title", "delete")
    owner.sweep()


def test_a_renamed_column_is_told_once_somebody_called_it_fine_no_more(
    world: World, owner: Owner, admin: Client
) -> None:
    contact = world.linked(role_title="Analyst")
    assert "is now" not in shown(admin)
    owner.retitle("role_title", "Position")
    owner.sweep()
    assert RENAMED in shown(admin)
    assert RENAMED in shown(admin, "/admin/")
    world.edit(contact, "role_title", "Head")
    world.hear(contact)
    assert contact.role_title == "Head"
    form = {"link": world.link().pk, "column": "role_title", "title": "Position"}
    owner.retitle("role_title", "Rank")
    owner.sweep()
    assert "Nothing was done: the column was renamed again, to “Rank”." in posted(admin, f"{HELD}note/", **form)
    form["title"] = "Rank"
    assert "Noted: the column is now known as “Rank”" in posted(admin, f"{HELD}note/", **form)
    noted = LogEntry.objects.latest("id")
    assert "“Rank”" in noted.change_message
    assert "Nothing is left to do" in posted(admin, f"{HELD}note/", **form)
    assert LogEntry.objects.latest("id") == noted
    owner.sweep()
    assert "is now" not in shown(admin)


def test_a_renamed_column_is_told_with_the_next_edit_of_it(world: World, owner: Owner, admin: Client) -> None:
    contact = world.linked(role_title="Analyst")
    sweep_due_boards()  # which every minute begins
    owner.retitle("role_title", "Position")
    sweep_due_boards()
    assert RENAMED not in shown(admin, "/admin/"), "of the rename itself Monday sends nothing"
    world.edit(contact, "role_title", "Head")
    world.hear(contact)
    sweep_due_boards()
    assert RENAMED in shown(admin, "/admin/")


def test_a_sweep_that_read_the_link_before_a_person_called_it_fine_takes_nothing_back(mapped: Client) -> None:
    BoardLink.objects.update(known_titles={"role_title": "Role title"})
    link, older = BoardLink.objects.get(), BoardLink.objects.get()
    board_columns.accept_title(link, "role_title", "Role")
    board_columns.remember_titles(older, ["role_title", "position"], older.shape["columns"])
    link = BoardLink.objects.get()
    assert link.known_titles["role_title"] == "Role"
    assert not board_columns.renamed_columns(link)


def test_a_column_that_was_restored_is_found_by_the_button_and_what_was_held_flows(
    world: World, owner: Owner, admin: Client
) -> None:
    contact = world.linked(role_title="Analyst")
    gone(owner)
    Contact.objects.filter(pk=contact.pk).update(role_title="Head")
    world.work()
    text = shown(admin)
    assert "Role on Contacts 1 record" in text
    assert owner.mapping().problem.split(".")[0] in text
    link = world.link().pk
    assert "nothing has changed. Still blocked: Role." in posted(admin, f"{HELD}check/", link=link)
    owner.column("role_title", "restore")
    assert "Role: the column is back. Its field is synced again." in posted(admin, f"{HELD}check/", link=link)
    world.work()
    assert world.values(contact)["role_title"] == "Head"
    assert "Nothing is blocked" in shown(admin)


@responses.activate
def test_monday_that_does_not_answer_is_said_and_nothing_changes(mapped: Client, settings: Any) -> None:
    FieldMapping.objects.filter(key="role_title").update(problem="Its column is gone.", problem_code="missing")
    responses.post(settings.MONDAY_API_URL, status=503)
    assert "503" in posted(mapped, f"{HELD}check/", link=BoardLink.objects.get().pk)
    assert role().problem_code == "missing"


def test_a_paused_board_is_not_asked_and_one_that_an_error_holds_is(world: World, owner: Owner, admin: Client) -> None:
    gone(owner)
    pauses.pause("anna", entity_type="contact", why="Moving")
    calls = world.calls()
    told = posted(admin, f"{HELD}check/", link=world.link().pk)
    assert "Monday was not asked: Paused by anna" in told
    assert world.calls() == calls
    pauses.resume("anna", entity_type="contact")
    BoardLink.objects.update(blocked_until="2999-01-01T00:00Z", blocked_reason="A column is refused.")
    assert "Still blocked: Role." in posted(admin, f"{HELD}check/", link=world.link().pk)
    assert world.calls() == calls + 1


def test_another_column_is_chosen_after_a_page_that_says_what_it_means(mapped: Client) -> None:
    in_sync("Ann")
    form = {"mapping": role().pk, "shown": "role_title", "column": "position"}
    asked = posted(mapped, f"{HELD}column/", **form)
    assert "Use the column “Position” for “Role”?" in asked
    assert "It counts for all records on “Contacts”; 1 has an item." in asked
    assert role().column_id == "role_title"
    assert "Role is in the column Position now" in posted(mapped, f"{HELD}column/", **form, confirmed="yes")
    assert role().column_id == "position"
    again = posted(mapped, f"{HELD}column/", **form, confirmed="yes")
    assert "Nothing was done. The column of “Role” was changed meanwhile" in again


def create_form(owner: Owner) -> dict[str, Any]:
    return {"mapping": owner.mapping().pk, "shown": "role_title"}


def test_a_new_column_is_created_by_a_button_and_filled_with_what_npd_holds(
    world: World, owner: Owner, admin: Client
) -> None:
    contact = world.linked(role_title="Analyst")
    gone(owner)
    assert f'action="{HELD}create/"' in admin.get(HELD).content.decode()
    posted(admin, f"{HELD}create/", **create_form(owner))
    assert owner.mapping().column_id == "role_title"
    from_record = {**create_form(owner), "confirmed": "yes", "record": f"contact:{contact.pk}"}
    answer = admin.post(f"{HELD}create/", from_record, follow=True)
    assert answer.request["PATH_INFO"] == f"/admin/npd/contact/{contact.pk}/change/"
    # The one that is gone has the same title, and is no more to be told apart from.
    assert "Role is in the column Role now" in words_of(answer)
    mapping = owner.mapping()
    assert mapping.column_id != "role_title"
    assert (mapping.problem, mapping.problem_code) == ("", "")
    world.work(contact)
    assert (contact.role_title, world.values(contact)[mapping.column_id]) == ("Analyst", "Analyst")
    assert (world.status(contact), world.ledger(contact).blocked_fields) == ("synced", {})
    # Once more by the page that stood open: nothing.
    posted(admin, f"{HELD}create/", **create_form(owner), confirmed="yes")
    assert owner.mapping().column_id == mapping.column_id


def test_of_a_new_column_the_history_names_who_made_it_and_an_edit_keeps_its_line(
    world: World, owner: Owner, admin: Client
) -> None:
    contact, untouched = world.linked(role_title="Analyst"), world.linked("Bob", role_title="Buyer")
    gone(owner)
    with pghistory.context(cause="import"):
        Contact.objects.filter(pk=contact.pk).update(role_title="Head")
    world.work()
    posted(admin, f"{HELD}create/", **create_form(owner), confirmed="yes")
    world.work()
    edited, filled = (
        Decision.objects.filter(kind="push", key="role_title", entity_id=one.pk).latest("pk")
        for one in (contact, untouched)
    )
    assert (edited.values["before"], edited.values["after"]) == ("Analyst", "Head")
    assert (filled.actor, filled.values["before"]) == ("lead", "")
    assert filled.cause["by"] == "lead"
    assert "npd" not in filled.cause  # nobody's edit led to it
    assert not is_undoable(filled)

    def acts(record: Contact) -> Any:
        page = admin.get(f"/admin/npd/contact/{record.pk}/change/?activity=role_title")
        return page.context["activity"].acts

    [act] = [act for act in acts(contact) if act.line.after == "Head"]
    event = Contact.pgh_event_model.objects.filter(pgh_obj_id=contact.pk, role_title="Head").earliest("pgh_id")
    assert (act.line.before, act.line.actor, act.line.at) == ("Analyst", "import", event.pgh_created_at)
    assert [act.line.actor for act in acts(untouched)] == ["lead", "a script"]
    admin.post(act.undo_url, {"confirmed": "yes"})
    contact.refresh_from_db()
    assert contact.role_title == "Analyst"


def test_of_people_who_ask_for_a_new_column_at_once_one_gets_it(world: World, owner: Owner, admin: Client) -> None:
    gone(owner)
    form, lead = {**create_form(owner), "confirmed": "yes"}, world.administrator("second")
    # A session is a stage of the world, which moves the clock: one thread makes all three.
    windows = [world.browser(lead) for _ in range(3)]
    at_once(*[partial(window.post, f"{HELD}create/", form) for window in windows])
    found = world.sandbox.query("query ($b: [ID!]) { boards(ids: $b) { columns { id title } } }", b=[world.board_id()])
    columns = found["data"]["boards"][0]["columns"]
    assert [one["id"] for one in columns if one["title"] == "Role"] == [owner.mapping().column_id]


def test_a_new_and_so_empty_column_clears_nothing_in_npd(world: World, owner: Owner) -> None:
    contact = world.linked(role_title="Analyst")
    FieldMapping.objects.filter(pk=owner.mapping().pk).update(direction="monday_to_npd")
    gone(owner)
    call_command("monday_setup")
    world.work(contact)
    assert owner.mapping().column_id != "role_title"
    assert (contact.role_title, world.status(contact)) == ("Analyst", "synced")
    # What then is written into the new column counts.
    world.sandbox.act("edit", item_id=contact.monday_id, column_id=owner.mapping().column_id, value="Head")
    world.hear(contact)
    assert contact.role_title == "Head"


def test_a_conflict_on_a_replaced_column_is_asked_about_still_with_what_stood_on_monday(
    world: World, owner: Owner, admin: Client
) -> None:
    contact = world.linked(role_title="Analyst")
    world.edit(contact, "role_title", "Head")
    Contact.objects.filter(pk=contact.pk).update(role_title="Director")
    world.hear()
    assert SyncConflict.objects.get(resolved_at=None).monday_data == {"role_title": "Head"}
    gone(owner)
    asked = posted(admin, f"{HELD}create/", **create_form(owner))
    assert "1 conflict is open here." in asked
    assert "Director Head" in asked
    posted(admin, f"{HELD}create/", **create_form(owner), confirmed="yes")
    world.work()
    world.work(minutes=11)
    [conflict] = SyncConflict.objects.filter(resolved_at=None)
    assert (conflict.kind, conflict.npd_data, conflict.monday_data) == (
        "overwritten", {"role_title": "Director"}, {"role_title": "Head"},
    )  # fmt: skip
    assert world.values(contact)[owner.mapping().column_id] == "Director"
    user = get_user_model().objects.get(username="lead")
    resolve(
        conflict.pk, by=user, resolution_type="keep_monday", seen={"role_title": {"npd": "Director", "monday": "Head"}}
    )
    world.work(contact)
    assert (contact.role_title, world.values(contact)[owner.mapping().column_id]) == ("Head", "Head")


def test_a_choice_whose_column_is_replaced_before_it_is_applied_counts_still(
    world: World, owner: Owner, admin: Client
) -> None:
    contact = world.linked(role_title="Analyst")
    world.edit(contact, "role_title", "Head")
    Contact.objects.filter(pk=contact.pk).update(role_title="Director")
    world.deliver()
    world.work()
    conflict = SyncConflict.objects.get(resolved_at=None)
    gone(owner)
    seen = {"role_title": {"npd": "Director", "monday": "Head"}}
    lead = get_user_model().objects.get(username="lead")
    resolve(conflict.pk, by=lead, resolution_type="keep_monday", seen=seen)
    world.work()
    # Its page leads to what mends the column, and doesn't ask again.
    page = admin.get(f"/admin/npd/contact/{contact.pk}/change/").content.decode()
    assert re.findall(r'data-act="(\w+)"', page)[:2] == ["check_column", "open_board"]
    page = posted(admin, f"{HELD}create/", **create_form(owner))
    assert ("1 conflict is answered here." in page, "1 conflict is open here." in page) == (True, False)
    posted(admin, f"{HELD}create/", **create_form(owner), confirmed="yes")
    for _ in range(2):
        world.work()
        world.pass_time(minutes=11)
    contact.refresh_from_db()
    assert (contact.role_title, world.values(contact)[owner.mapping().column_id]) == ("Head", "Head")
    assert not SyncConflict.objects.filter(resolved_at=None).exists()
    conflict.refresh_from_db()
    assert {key: entry["choose"] for key, entry in conflict.merge_selections.items()} == {"role_title": "monday"}


def test_a_column_that_is_back_by_the_time_is_used_and_none_is_created(
    world: World, owner: Owner, admin: Client
) -> None:
    contact = world.linked(role_title="Analyst")
    gone(owner)
    owner.column("role_title", "restore")
    posted(admin, f"{HELD}create/", **create_form(owner), confirmed="yes")
    world.work()
    assert (owner.mapping().column_id, owner.mapping().problem) == ("role_title", "")
    assert world.values(contact)["role_title"] == "Analyst"


def test_a_column_that_was_restored_is_checked_from_the_record_and_from_the_inbox(
    world: World, owner: Owner, admin: Client
) -> None:
    contact, link = world.linked(role_title="Analyst"), world.link().pk
    gone(owner)
    inbox = admin.get("/admin/inbox/").content.decode()
    acts = [act for act in ("check_column", "create_column") if f'value="{act} blocked:contact:role_title"' in inbox]
    assert acts == ["check_column", "create_column"]
    assert f"/board/{world.link().board_id}" in inbox
    posted(admin, f"{HELD}check/", link=link, record=f"contact:{contact.pk}")
    assert owner.mapping().problem
    owner.column("role_title", "restore")
    admin.post("/admin/inbox/act/", {"one": "check_column blocked:contact:role_title"})
    assert owner.mapping().problem == ""


def test_who_may_not_change_mappings_creates_no_column(mapped: Client, client: Client) -> None:
    FieldMapping.objects.filter(key="role_title").update(problem="It was deleted.", problem_code="missing")
    client.force_login(staff_who_may("view_syncmetadata", "view_contact", "change_contact", "view_boardlink"))
    key = "blocked:contact:role_title"
    form = {"mapping": role().pk, "shown": "role_title", "confirmed": "yes"}
    assert client.post(f"{HELD}create/", form).status_code == 403
    client.post("/admin/inbox/act/", {"action": "create_column", "key": key, "confirmed": "yes"})
    assert role().column_id == "role_title"


def test_a_field_is_left_alone_from_then_on_and_its_record_is_in_sync(
    world: World, owner: Owner, admin: Client
) -> None:
    contact = world.linked(role_title="Analyst")
    gone(owner)
    assert world.status(contact) == "pending"
    form = {"mapping": owner.mapping().pk, "shown": "bidirectional", "direction": "none"}
    asks = posted(admin, f"{HELD}direction/", **form)
    assert "Stop syncing “Role”?" in asks
    assert "Nothing is blocked on it any more." in asks
    assert "is “No sync” now; it was “Both ways”" in posted(admin, f"{HELD}direction/", **form, confirmed="yes")
    world.work()
    assert (world.status(contact), world.ledger(contact).blocked_fields) == ("synced", {})
    assert "Nothing is blocked" in shown(admin)
    assert "was changed meanwhile, to “No sync”" in posted(admin, f"{HELD}direction/", **form, confirmed="yes")


def test_a_field_that_is_tried_again_while_all_is_paused_says_what_it_waits_for(mapped: Client) -> None:
    held_so(in_sync("Ann"))
    pauses.pause("eve")
    said = posted(mapped, f"{HELD}again/", mapping=role().pk, code="rejected")
    assert ("again now" in said, "It waits: Paused by eve" in said) == (False, True)


def held_so(contact: Contact, **more: Any) -> None:
    """The contact's role is held, as a look leaves it."""
    entry = {"reason": "Monday refused it.", "code": "rejected", "side": "monday", "local": {"role_title": ""}}
    ledger = SyncMetadata.objects.filter(entity_id=str(contact.pk))
    ledger.update(blocked_fields={"role_title": entry | {"column": "role_title", "version": 1} | more})


def test_values_that_are_blocked_for_reasons_of_one_code_stand_together_and_are_tried_again(mapped: Client) -> None:
    for name in ("Ann", "Bob"):
        held_so(in_sync(name), reason=f"Monday rejected “{name}”.")
    held_so(in_sync("Cy"), code="invalid", side="npd", reason="NPD can't take it.")
    text = shown(mapped)
    assert "Role on Contacts 2 records" in text
    assert "Role on Contacts 1 record NPD can't take it." in text
    off = in_sync("Off")
    held_so(off)
    held_so(in_sync("Left in NPD"), kept_by={"who": "Ada"})
    Contact.objects.filter(pk=off.pk).update(sync_enabled=False)
    form = {"mapping": role().pk, "code": "rejected"}
    said = posted(mapped, f"{HELD}again/", **form)
    assert "“Role” of 2 records is tried again now. 1 other record is left out: sync is off there." in said
    again = SyncQueue.objects.filter(status="pending", causes=Cause.PERSON).values_list("entity_id", flat=True)
    assert {Contact.objects.get(pk=one).name for one in again} == {"Ann", "Bob"}
    SyncMetadata.objects.update(blocked_fields={})
    assert "“Role” isn't blocked there any more" in posted(mapped, f"{HELD}again/", **form)


def test_a_column_that_is_changed_while_another_is_chosen_stays(
    mapped: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapping = role()

    def somebody_was_faster(*_args: Any) -> list[tuple[str, str]]:
        remap(mapping.pk, "rank", by="lead")
        return [("position", "Position")]

    monkeypatch.setattr("sync.admin.blocked_field_pages.column_choices", somebody_was_faster)
    form = {"mapping": mapping.pk, "shown": "role_title", "column": "position", "confirmed": "yes"}
    assert "Nothing was done. The column of Role was changed meanwhile." in posted(mapped, f"{HELD}column/", **form)
    assert role().column_id == "rank"
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize(
    ("act", "more"),
    [
        ("direction", {"shown": "bidirectional", "direction": "none"}),
        ("column", {"shown": "role_title", "column": "position"}),
    ],
)
def test_what_can_not_be_noted_is_not_done(
    mapped: Client, monkeypatch: pytest.MonkeyPatch, act: str, more: dict[str, str]
) -> None:
    def full(*_args: Any, **_more: Any) -> None:
        raise OSError("No space is left.")

    monkeypatch.setattr("sync.admin.blocked_field_pages.log_action", full)
    with pytest.raises(OSError, match="No space"):
        mapped.post(f"{HELD}{act}/", {"mapping": role().pk, "confirmed": "yes", **more})
    assert (role().direction, role().column_id) == ("bidirectional", "role_title")


def test_whoever_asks_for_the_board_again_and_again_waits(
    world: World, owner: Owner, admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SimpleRateThrottle.THROTTLE_RATES, "sync-to-monday", "1/min")
    link = world.link().pk
    assert "every mapped column is there" in posted(admin, f"{HELD}check/", link=link)
    calls = world.calls()
    assert "You have asked Monday very often just now." in posted(admin, f"{HELD}check/", link=link)
    assert (world.calls(), LogEntry.objects.count()) == (calls, 1)


def looping(world: World, settings: Any) -> Contact:
    """A record whose role an automation rewrites after each of our writes, until it was too often."""
    settings.LOOP_TIMES = 2
    contact = world.linked("Ann", role_title="Ours")
    FieldMapping.objects.filter(key="role_title").update(direction="npd_to_monday")
    for _ in range(4):
        world.sandbox.act("edit", item_id=contact.monday_id, column_id="role_title", value="AUTOMATIC", user_id=-4)
        world.hear()
    assert WriteLoop.objects.get().throttled_until is not None
    return contact


def test_a_loop_is_told_beside_other_kinds_and_sent_again_at_once(
    world: World, owner: Owner, admin: Client, settings: Any
) -> None:
    assert "Nothing is blocked" in shown(admin, LOOPS)
    contact = looping(world, settings)
    owner.retitle("phone", "Mobile")
    owner.sweep()
    text = shown(admin, LOOPS)
    assert "Role on Contacts 1 record After each of our writes, Monday user -4 writes another value" in text
    assert "Monday wins…" not in text
    assert "Renamed" not in text.split("All records with")[0].split("Update loops")[1]
    assert f"/admin/npd/contact/{contact.pk}/change/#npd-pause-record" in admin.get(LOOPS).content.decode()
    every = shown(admin)
    assert all(words in every for words in ("Update loop", "Renamed"))
    assert every.count("Role on Contacts") == 1
    assert "Role on Contacts" not in shown(admin, BLOCKED)
    mapping = role()
    form = {"mapping": mapping.pk, "kind": "throttled", "show": "throttled"}
    assert admin.post(f"{HELD}again/", form)["Location"] == LOOPS
    world.work()
    assert (world.values(contact)["role_title"], world.status(contact)) == ("Ours", "synced")
    assert not WriteLoop.objects.filter(throttled_until__isnull=False).exists()
    assert "“Role” isn't blocked there any more" in posted(admin, f"{HELD}again/", **form)


def test_monday_wins_is_offered_where_a_rule_decides(mapped: Client) -> None:
    throttled(in_sync("Ann"), "role_title")
    FieldMapping.objects.filter(key="role_title").update(rule="npd_wins")
    text = shown(mapped, LOOPS)
    assert "Monday wins…" in text
    assert "What the board shows still updates NPD" in text
    form = {"mapping": role().pk, "shown": "npd_wins"}
    assert "Let Monday win on “Role”?" in posted(mapped, f"{HELD}rule/", **form)
    assert "Monday wins from now on" in posted(mapped, f"{HELD}rule/", **form, confirmed="yes")
    assert role().rule == "monday_wins"
    assert "was changed meanwhile, to “Monday wins”" in posted(mapped, f"{HELD}rule/", **form, confirmed="yes")


def throttled(contact: Contact, key: str) -> None:
    """The field was rewritten on the board too often; nothing is sent to it for now."""
    WriteLoop.objects.create(
        entity_type="contact", entity_id=contact.pk, key=key, throttled_until="2999-01-01T00:00Z", by="X"
    )


def test_blocks_of_columns_are_for_who_may_see_boards(mapped: Client, client: Client) -> None:
    contact, problem = in_sync("Ann"), "The column “Role” was deleted"
    FieldMapping.objects.filter(key="role_title").update(problem=f"{problem}.", problem_code="missing")
    blocked = {"phone": {"reason": "Monday refused it.", "side": "monday"}}
    SyncMetadata.objects.filter(entity_id=str(contact.pk)).update(blocked_fields=blocked)
    reader = staff_who_may()
    client.force_login(reader)
    assert client.get(HELD).status_code == 403
    reader.user_permissions.add(Permission.objects.get(codename="view_syncmetadata"))
    text = shown(client)
    assert "Contact that you may not see" in text
    assert "Monday refused it." not in text
    assert problem not in text
    assert "Ann" not in text
    reader.user_permissions.add(*Permission.objects.filter(codename__in=("view_boardlink", "view_contact")))
    text = shown(client)
    assert problem in text
    assert "Monday refused it." in text
    assert "Ann" in text


def test_the_queries_of_the_page_do_not_grow_with_what_is_on_them(mapped: Client) -> None:
    def trouble(number: int) -> None:
        contact = in_sync(f"Held {number}")
        blocked = {"phone": {"reason": f"Refused {number}.", "side": "monday"}}
        SyncMetadata.objects.filter(entity_id=str(contact.pk)).update(blocked_fields=blocked)
        throttled(contact, "email")

    FieldMapping.objects.filter(key="role_title").update(problem="It was deleted.", problem_code="missing")
    trouble(0)
    mapped.get(HELD)
    few = queries_of(lambda: mapped.get(HELD))
    for number in range(1, 8):
        trouble(number)
    assert queries_of(lambda: mapped.get(HELD)) == few <= 18
