"""A record's sync panel: sync on and off, direction, both sides by field, and what is open."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from npd.models import Contact
from sync.clock import sync_now
from sync.models import BoardLink, FieldMapping, SyncMetadata, WriteLoop
from tests.admin import states
from tests.admin.test_records import change_page, words_of
from tests.support.people import signed_in, staff_who_may


def act_url(record: Any, act: str) -> str:
    return reverse(f"admin:npd_{record._meta.model_name}_{act}", args=[record.pk])


def posted(client: Client, record: Any, act: str, **data: str) -> str:
    return words_of(client.post(act_url(record, act), data, follow=True).content.decode())


@pytest.mark.parametrize("act", ["turn_sync_off", "direction"])
def test_an_act_that_can_not_be_noted_is_not_done(
    browser: Client, world: dict[str, Any], monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    def full(*_args: Any, **_more: Any) -> None:
        raise OSError("No space is left.")

    monkeypatch.setattr(LogEntry.objects, "log_actions", full)
    record = world["synced"]
    form = {"direction": "npd_to_monday", "shown": "bidirectional", "confirmed": "yes"}
    form |= {"action": act, "_selected_action": str(record.pk)}
    address = act_url(record, act) if act == "direction" else reverse("admin:npd_contact_changelist")
    with pytest.raises(OSError, match="No space"):
        browser.post(address, form)
    record.refresh_from_db()
    assert (record.sync_enabled, record.sync_direction) == (True, "bidirectional")


def test_the_question_about_the_direction_names_the_values_that_it_may_overwrite(
    browser: Client, world: dict[str, Any]
) -> None:
    record = world["synced"]
    Contact.objects.filter(pk=record.pk).update(phone="+46 999")
    asked = browser.post(act_url(record, "direction"))
    text = words_of(asked.content.decode())
    assert "Which way are changes of “Zoë Ångström” synced?" in text
    assert "Phone +46 999 +46 812345" in text
    assert "Email zoe" not in text
    Contact.objects.filter(pk=record.pk).update(sync_direction="none")
    off = browser.post(act_url(record, "direction")).content.decode()
    assert "Phone +46 999 +46 812345" in words_of(off), "also of a record that is synced in no direction"
    Contact.objects.filter(pk=record.pk).update(sync_direction="bidirectional")
    assert dict(asked.context["hidden"]) == {"shown": "bidirectional", "confirmed": "yes"}
    posted(browser, record, "direction", direction="monday_to_npd", shown="bidirectional")
    record.refresh_from_db()
    assert record.sync_direction == "monday_to_npd"
    assert LogEntry.objects.latest("id").change_message == ("Direction: from “Both ways” to “Monday to NPD only”.")


def test_a_direction_that_does_not_exist_is_refused(browser: Client, world: dict[str, Any]) -> None:
    posted(browser, world["synced"], "direction", direction="sideways", shown="bidirectional")
    assert Contact.objects.get(pk=world["synced"].pk).sync_direction == "bidirectional"


@pytest.mark.parametrize("direction", ["none", "npd_to_monday"])
def test_a_direction_that_was_changed_meanwhile_is_left(browser: Client, world: dict[str, Any], direction: str) -> None:
    record = world["synced"]
    Contact.objects.filter(pk=record.pk).update(sync_direction="monday_to_npd")
    text = posted(browser, record, "direction", direction=direction, shown="bidirectional", confirmed="yes")
    assert "Nothing was changed: the direction of “Zoë Ångström” is now “Monday to NPD only”." in text
    record.refresh_from_db()
    assert record.sync_direction == "monday_to_npd"


def test_a_field_without_a_column_says_so_and_leads_whoever_may_choose_one_there(
    browser: Client, world: dict[str, Any]
) -> None:
    url = change_page(world["synced"])
    form = browser.get(url).context["adminform"].form
    assert not [name for name, field in form.fields.items() if "Only in NPD" in field.help_text]
    board = BoardLink.objects.get(mappings__key="phone")
    FieldMapping.objects.filter(key="phone").delete()
    form = browser.get(url).context["adminform"].form
    marked = {name: field.help_text for name, field in form.fields.items() if "Only in NPD" in field.help_text}
    assert list(marked) == ["phone"]
    assert reverse("admin:sync_boardlink_change", args=[board.pk]) in marked["phone"]
    browser.force_login(staff_who_may("view_contact", "change_contact"))
    assert "href" not in browser.get(url).context["adminform"].form.fields["phone"].help_text


def test_only_the_fields_that_differ_stand_beside_each_other(browser: Client, world: dict[str, Any]) -> None:
    record = states.synced("Ann", "6001", role_title="Buyer", notes="same")
    page = browser.get(change_page(record))
    assert page.context["sides"] == []
    assert "Both sides are the same." in words_of(page.content.decode())
    Contact.objects.filter(pk=record.pk).update(notes="ours")
    [side] = browser.get(change_page(record)).context["sides"]
    assert (side["field"].label, side["field"].local, side["field"].remote) == ("Notes", "ours", "same")
    assert "Changed in NPD" in side["badge"]


@pytest.mark.parametrize("change", [{"sync_enabled": False}, {}])
def test_what_is_not_read_any_more_is_not_shown_as_known(
    browser: Client, world: dict[str, Any], change: dict[str, Any]
) -> None:
    record = states.synced("Ann", "6001", notes="same", role_title="Buyer")
    sync_state = SyncMetadata.objects.get(entity_id=str(record.pk))
    base = sync_state.base
    del base["phone"]  # both had different numbers when they were matched, which was a conflict
    later = (sync_now() + timedelta(minutes=1)).isoformat()
    seen = {key: {"values": [[value, later]], "losses": []} for key, value in (("role_title", "Head"), ("phone", None))}
    seen["phone"]["values"][0][0] = {"phone": "46812345", "countryShortName": "SE"}
    SyncMetadata.objects.filter(pk=sync_state.pk).update(base=base, seen=seen)
    status = "disabled" if change else "pending"
    new = {"notes": "ours", "phone": "+46 999", "email": "x@x.org", "sync_status": status}
    Contact.objects.filter(pk=record.pk).update(**new, **change)
    page = browser.get(change_page(record))
    sides = {side["field"].key: side for side in page.context["sides"]}
    text = words_of(page.content.decode())
    assert ("isn't known" in sides["notes"]["detail"]) is bool(change)
    assert (", and not since" in text) is bool(change)
    assert "81 23 45" in sides["phone"]["field"].remote
    assert ("role_title" in sides) is bool(change), "what a conflict that is over had read"
    assert all(side["is_known"] for side in sides.values())
    SyncMetadata.objects.filter(pk=sync_state.pk).update(seen={})
    page = browser.get(change_page(record))
    [phone] = [side for side in page.context["sides"] if side["field"].key == "phone"]
    assert not phone["is_known"]
    assert "Phone +46 999 not known" in words_of(page.content.decode())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sync_enabled": False}, "Sync off Turned off by a script. Edits on both sides are kept."),
        ({"sync_direction": "none"}, "Sync off Its direction is “Sync off”."),
    ],
)
def test_a_record_with_its_sync_off_says_so_once(
    browser: Client, world: dict[str, Any], change: dict[str, Any], words: str
) -> None:
    Contact.objects.filter(pk=world["synced"].pk).update(**change, sync_status="disabled")
    for number in range(60):  # more than the activity shows
        Contact.objects.filter(pk=world["synced"].pk).update(notes=str(number))
    html = browser.get(change_page(world["synced"])).content.decode()
    state = html.split("data-live-status>")[1].split("</div>")[0]
    assert words_of(state).strip().startswith(words)


def test_a_records_page_shows_its_approvals_and_loops(browser: Client, world: dict[str, Any]) -> None:
    record = world["synced"]
    states.approval(record, "records")
    WriteLoop.objects.create(
        entity_type="contact", entity_id=record.pk, key="phone", by="Tidy",
        times=[{"at": "2026-07-01T10:00:00Z", "write": "1"}] * 5, throttled_until=sync_now() + timedelta(hours=1),
    )  # fmt: skip
    html = browser.get(change_page(record)).content.decode()
    text = words_of(html)
    assert "Records would be deleted in NPD." in text
    assert "Phone is in an update loop. Rewritten on the board by Tidy, so nothing is sent to it until" in text
    assert 'data-act="approve"' in html
    reader = signed_in(staff_who_may("view_contact"))
    assert 'data-act="approve"' not in reader.get(change_page(record)).content.decode()
    Contact.objects.filter(pk=record.pk).update(sync_status="pending")
    blocked_fields = {"email": {"reason": "It was emptied.", "code": "approval"}}
    SyncMetadata.objects.filter(entity_id=str(record.pk)).update(blocked_fields=blocked_fields)
    html = browser.get(change_page(record)).content.decode()
    assert "It was emptied." in html.split('id="npd-mark-email"')[1][:300]
    assert words_of(html).count("Records would be deleted in NPD.") == 1
