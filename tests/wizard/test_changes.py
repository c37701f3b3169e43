"""Later changes of what is mapped go the same way: map, plan, run."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from npd.models import Contact
from sync.api.request_limits import SyncNowThrottle
from sync.boards.sync_filter import FilterSide
from sync.kernel.action_errors import Conflict
from sync.models import BoardLink, FieldMapping
from sync.operations.setup import draft as drafts
from sync.operations.setup.filter_choice import rows_of
from tests.api.conftest import user_who_may, with_token
from tests.support.waiting import wait_for
from tests.wizard.conftest import PEOPLE as COLUMNS
from tests.wizard.conftest import Wizard, a_board, draft, people, words_of


def set_up(wizard: Wizard) -> BoardLink:
    people()
    wizard.compared(a_board(wizard.monday, "CRM", *COLUMNS, ("position", "Position", "text")))
    wizard.apply()
    wizard.mark = wizard.last_call()
    return BoardLink.objects.get(entity_type="contact")


def page_of(link: BoardLink) -> str:
    return reverse("admin:sync_boardlink_change", args=[link.pk])


def change(wizard: Wizard, **changes: str) -> None:
    """Begin a change of the contacts' mapping, and have it compared."""
    drafts.begin_change(wizard.person, "contact")
    wizard.choose("contact", **changes)
    wizard.work()


def all_are_in_sync() -> bool:
    return set(Contact.objects.values_list("sync_status", flat=True)) == {"synced"}


def test_another_column_is_planned_before_it_is_written(wizard: Wizard) -> None:
    link = set_up(wizard)
    Contact.objects.filter(email="ann@x.org").update(role_title="Head")
    wizard.drain()
    assert "Edit mapping" in words_of(wizard.client.get(page_of(link)).content.decode())
    wizard.mark = wizard.last_call()
    change(wizard, column_role_title="position")
    assert draft().found["counts"]["linked"] == 2
    assert draft().found["fields"] == {"to_monday Role": 1}
    assert "Items to update on Monday 1 Ann Ångström (Role)" in wizard.get("plan/")
    assert not wizard.mutations()
    assert FieldMapping.objects.get(key="role_title").column_id == "job"
    wizard.apply()
    mapping = FieldMapping.objects.get(key="role_title")
    assert (mapping.column_id, mapping.version) == ("position", 2)
    assert "Role is now in the column position (as chosen)" in draft().outcome["done"]
    assert wizard.monday.item_named("Ann Ångström")["values"]["position"] == "Head"  # type: ignore[index]
    assert all_are_in_sync()


@pytest.mark.django_db(transaction=True)  # what a save leaves to the queue is told apart by its transaction
def test_a_field_that_is_left_out_keeps_its_values_on_both_sides(wizard: Wizard) -> None:
    set_up(wizard)
    change(wizard, direction_phone="none")
    wizard.apply()
    Contact.objects.filter(email="ann@x.org").update(phone="+12025550123")
    wizard.drain()
    assert wizard.monday.item_named("Ann Ångström")["values"]["tel"] == ""  # type: ignore[index]
    assert all_are_in_sync()


def test_a_field_needs_no_column_and_stays_at_its_first_version_when_it_gets_one(wizard: Wizard) -> None:
    """Nothing was agreed about a field without a column, so there is no base to end: as by the command."""
    people()
    wizard.compared(a_board(wizard.monday, "CRM", *COLUMNS), column_notes="")
    wizard.apply()
    assert FieldMapping.objects.get(key="notes").direction == "none"
    assert "Notes" not in {column["title"] for column in wizard.monday.boards()[0]["columns"]}
    assert all_are_in_sync()
    Contact.objects.filter(email="ann@x.org").update(notes="Met at the fair")
    change(wizard, column_notes="+", direction_notes="bidirectional")
    wizard.apply()
    mapping = FieldMapping.objects.get(key="notes")
    assert (mapping.direction, mapping.version) == ("bidirectional", 1)
    assert wizard.monday.item_named("Ann Ångström")["values"][mapping.column_id] == "Met at the fair"  # type: ignore[index]
    assert all_are_in_sync()


# The same by API.


BOARD = "/api/v1/sync/boards/contact/"


def test_a_program_drafts_a_change_reads_its_plan_and_applies_just_that(wizard: Wizard) -> None:
    set_up(wizard)
    api = with_token(wizard.person)
    Contact.objects.filter(email="ann@x.org").update(role_title="Head")
    wizard.drain()
    columns = {one["column_id"]: one for one in api.get(f"{BOARD}columns/").json()}
    assert (columns["job"]["field"], "role_title" in columns["position"]["fits"]) == ("role_title", True)
    wizard.mark = wizard.last_call()
    asked = {"fields": {"role_title": {"column_id": "position"}}, "filter": {"items": []}}
    begun = api.put(f"{BOARD}draft/", asked)
    assert (begun.status_code, begun.json()["state"], begun.json()["plan_token"]) == (202, "comparing", "")
    assert api.post(f"{BOARD}draft/apply", {"plan_token": "x"}).status_code == 409
    wizard.work()
    planned = api.get(f"{BOARD}draft/").json()
    assert (planned["state"], planned["counts"]["to_monday"], planned["owner"]) == ("compared", 1, "dora")
    assert [(one["field"], one["what"]) for one in planned["changes"]] == [("Role", "Column")]
    assert api.put(f"{BOARD}draft/", {"fields": {"phone": {"direction": "none"}}}).status_code == 409
    assert api.post(f"{BOARD}draft/apply", {"plan_token": "x"}).status_code == 409
    assert not wizard.mutations()
    applied = api.post(f"{BOARD}draft/apply", {"plan_token": planned["plan_token"]})
    assert api.post(f"{BOARD}draft/compare").status_code == 409
    assert (applied.status_code, applied.json()["state"]) == (202, "running")
    wizard.work()
    wizard.drain()
    assert FieldMapping.objects.get(key="role_title").column_id == "position"
    assert api.get(f"{BOARD}draft/").json()["done"]
    assert wizard.monday.item_named("Ann Ångström")["values"]["position"] == "Head"  # type: ignore[index]


def test_what_a_board_can_not_become_is_refused_and_a_draft_is_discarded(wizard: Wizard) -> None:
    set_up(wizard)
    api = with_token(wizard.person)
    for body in (
        {"fields": {"nonsense": {"direction": "none"}}},
        {"fields": {"email": {"direction": "none"}}},
        {"fields": {"role_title": {"column_id": "nonsense"}}},
        {"filter": {"items": [{"field": "email", "op": "is", "values": ["no address"]}]}},
    ):
        assert api.put(f"{BOARD}draft/", body).status_code == 400, body
    begun = api.put(f"{BOARD}draft/", {"filter": {"records": [{"field": "phone", "op": "is_filled"}]}})
    assert begun.json()["filter"]["records"] == [{"field": "phone", "op": "is_filled", "values": []}]
    assert api.post(f"{BOARD}draft/compare").status_code == 202
    assert with_token(user_who_may("view_boardlink", "change_boardlink")).get(f"{BOARD}draft/").status_code == 403
    assert [api.delete(f"{BOARD}draft/").status_code for _ in range(2)] == [204, 404]
    assert BoardLink.objects.get(entity_type="contact").sync_filter == {}


def test_rules_policies_and_columns_of_a_board_are_changed_for_what_was_seen(wizard: Wizard) -> None:
    link = set_up(wizard)
    api = with_token(wizard.person)
    role = f"{BOARD}fields/role_title/"
    assert api.patch(role, {"rule": "npd_wins", "seen": "ask"}).json()["rule"] == "npd_wins"
    assert api.patch(role, {"rule": "monday_wins", "seen": "ask"}).status_code == 409
    assert (
        api.patch(role, {"direction": "monday_to_npd", "seen": "bidirectional"}).json()["direction"] == "monday_to_npd"
    )
    assert api.patch(role, {"column_id": "position", "seen": "job"}).status_code == 409
    for body in ({"seen": ""}, {"rule": "union", "seen": "npd_wins"}, {"direction": "bidirectional", "seen": "x"}):
        assert api.patch(role, body).status_code == 400, body
    assert api.patch(BOARD, {"item_gone": "unlink", "creates_records": True}).json()["item_gone"] == "unlink"
    assert api.patch(BOARD, {"match_key": "name"}).status_code == 400
    titles = link.known_titles | {"job": "Job"}
    BoardLink.objects.filter(pk=link.pk).update(known_titles=titles)
    checked = api.put(f"{BOARD}columns/")
    assert [one["known_as"] for one in checked.json()["columns"] if one["column_id"] == "job"] == ["Job"]
    accept = f"{BOARD}columns/job/accept-title"
    assert api.post(accept, {"title": "else"}).status_code == 409
    assert api.post(accept, {"title": "Role"}).json()["known_as"] == ""


@pytest.mark.parametrize(
    ("field", "before", "wanted", "code"),
    [
        ("email", "bidirectional", "none", 400),
        ("name", "bidirectional", "none", 400),
        ("role_title", "bidirectional", "none", 400),
        ("phone", "bidirectional", "none", 200),
        ("phone", "none", "monday_to_npd", 409),
    ],
)
def test_a_field_that_is_needed_stays_synced_and_one_that_is_not_synced_is_drafted(
    wizard: Wizard, field: str, before: str, wanted: str, code: int
) -> None:
    link = set_up(wizard)
    by_role = {"records": [{"field": "role_title", "op": "is_filled", "values": [], "labels": []}]}
    BoardLink.objects.filter(pk=link.pk).update(sync_filter=by_role)
    mapping = FieldMapping.objects.filter(key=field)
    mapping.update(direction=before)
    answer = with_token(wizard.person).patch(f"{BOARD}fields/{field}/", {"direction": wanted, "seen": before})
    assert (answer.status_code, mapping.get().direction) == (code, wanted if code == 200 else before)


def test_a_plan_whose_settings_changed_meanwhile_is_shown_them_and_then_applied_under_one_key(wizard: Wizard) -> None:
    set_up(wizard)
    api = with_token(wizard.person)
    assert api.put(f"{BOARD}draft/", {"fields": {"role_title": {"column_id": "position"}}}).status_code == 202
    wizard.work()
    assert api.patch(f"{BOARD}fields/phone/", {"rule": "npd_wins", "seen": "ask"}).status_code == 200
    codes = []
    for _ in range(2):
        token = api.get(f"{BOARD}draft/").json()["plan_token"]
        answer = api.post(f"{BOARD}draft/apply", {"plan_token": token}, headers={"Idempotency-Key": "one"})
        codes.append(answer.status_code)
    assert codes == [409, 202]


def test_a_refused_draft_leaves_nothing_and_the_same_one_may_be_sent_again(wizard: Wizard) -> None:
    set_up(wizard)
    api = with_token(wizard.person)
    fields = {"fields": {"role_title": {"column_id": "position"}}}
    by_mail = {"filter": {"items": [{"field": "email", "op": "is", "values": ["no address"]}]}}
    by_phone = {"filter": {"records": [{"field": "phone", "op": "is_filled"}]}}
    assert api.put(f"{BOARD}draft/", fields | by_mail).status_code == 400
    assert draft().state == "done"
    assert [api.put(f"{BOARD}draft/", fields | by_phone).status_code for _ in range(2)] == [202, 202]
    for other in (by_phone, fields, {"fields": {}}, fields | {"filter": {}}):
        assert api.put(f"{BOARD}draft/", other).status_code == 409, other
    assert draft().sync_filter["records"][0]["field"] == "phone"
    assert api.delete(f"{BOARD}draft/").status_code == 204
    assert [api.put(f"{BOARD}draft/", by_phone).status_code for _ in range(2)] == [202, 202]
    assert api.put(f"{BOARD}draft/", fields).status_code == 409


def test_what_an_applied_draft_did_outlives_a_refused_one(wizard: Wizard) -> None:
    set_up(wizard)
    api = with_token(wizard.person)
    assert api.put(f"{BOARD}draft/", {"fields": {"role_title": {"column_id": "position"}}}).status_code == 202
    wizard.work()
    wizard.apply()
    done = api.get(f"{BOARD}draft/").json()
    assert (done["state"], bool(done["done"])) == ("done", True)
    for body in (
        {"fields": {"role_title": {"column_id": "nonsense"}}},
        {"filter": {"items": [{"field": "email", "op": "is", "values": ["no address"]}]}},
    ):
        assert api.put(f"{BOARD}draft/", body).status_code == 400, body
    assert api.get(f"{BOARD}draft/").json() == done


def test_a_value_of_a_filter_may_hold_a_semicolon_by_api_and_on_the_page(wizard: Wizard) -> None:
    set_up(wizard)
    api = with_token(wizard.person)
    values = ["Sales; East", "Head", "a;;b", "End;"]
    asked = {"filter": {"records": [{"field": "role_title", "op": "is", "values": values}]}}
    assert api.put(f"{BOARD}draft/", asked).json()["filter"]["records"][0]["values"] == values
    [row] = rows_of(draft(), FilterSide.RECORD)
    form = {"record-field": row.field, "record-op": row.op, "record-text": row.text}
    wizard.post("filter/contact/", seen=drafts.filter_token(draft()), **form)
    assert draft().sync_filter["records"][0]["values"] == values


def test_a_group_is_taken_by_its_id_or_its_title(wizard: Wizard) -> None:
    set_up(wizard)
    api = with_token(wizard.person)
    shown = api.put(f"{BOARD}draft/", {"fields": {}}).json()
    [(group, title)] = [(one["id"], one["title"]) for one in shown["groups"] if one["title"] == "People"]
    for value in (group, title, title.upper()):
        assert api.delete(f"{BOARD}draft/").status_code == 204
        items = [{"field": "group", "op": "is", "values": [value]}]
        answer = api.put(f"{BOARD}draft/", {"filter": {"items": items}})
        assert (answer.status_code, answer.json()["filter"]["items"][0]["values"]) == (202, [group])
    unknown = {"filter": {"items": [{"field": "group", "op": "is", "values": ["Nobody"]}]}}
    assert api.delete(f"{BOARD}draft/").status_code == 204
    refused = api.put(f"{BOARD}draft/", unknown)
    assert refused.status_code == 400
    assert group in refused.json()["errors"][0]["detail"]


def test_the_columns_of_a_board_cost_no_query_a_field(wizard: Wizard) -> None:
    link = set_up(wizard)
    api = with_token(wizard.person)
    assert api.get(f"{BOARD}columns/").status_code == 200
    others = FieldMapping.objects.filter(link=link).exclude(key="email")
    with CaptureQueriesContext(connection) as all_fields:
        api.get(f"{BOARD}columns/")
    assert others.count() > 2
    others.delete()
    with CaptureQueriesContext(connection) as one_field:
        api.get(f"{BOARD}columns/")
    assert len(one_field) == len(all_fields)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_open", [False, True])
def test_of_two_changes_drafted_at_once_one_is_kept_and_the_other_refused(wizard: Wizard, is_open: bool) -> None:
    set_up(wizard)
    if is_open:
        drafts.begin_change(wizard.person, "contact")
    api, answers = with_token(wizard.person), dict[str, int]()

    def put(field: str, change: dict[str, Any]) -> None:
        answers[field] = api.put(f"{BOARD}draft/", {"fields": {field: change}}).status_code
        connection.close()

    asked = {"role_title": {"column_id": "position"}, "phone": {"direction": "none"}}
    both = [threading.Thread(target=put, args=one) for one in asked.items()]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [drafts.OWNER_LOCK])
        for one in both:
            one.start()
        wait_for("both have looked, and wait to write", _two_wait_for_the_owners)
    for one in both:
        one.join(60)
    assert sorted(answers.values()) == [202, 409]
    [kept] = [field for field, code in answers.items() if code == 202]
    changed = {one["field"] for one in api.get(f"{BOARD}draft/").json()["changes"]}
    assert changed == {{"role_title": "Role", "phone": "Phone"}[kept]}


def _two_wait_for_the_owners() -> bool:
    return _waiting_for_the_owners() == 2


def _waiting_for_the_owners() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'")
        return int(cursor.fetchone()[0])


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_open", [False, True])
def test_a_board_that_is_chosen_replaces_no_set_up_that_was_begun_or_changed_in_the_same_moment(
    wizard: Wizard, is_open: bool
) -> None:
    seen, begun, other = (a_board(wizard.monday, name, *COLUMNS) for name in ("Seen", "Begun", "Other"))
    if is_open:
        drafts.choose_boards(wizard.person, {"contact": seen})
    told = list[str]()

    def choose() -> None:
        try:
            drafts.choose_boards(wizard.person, {"contact": other})
        except Conflict as conflict:
            told.append(str(conflict))
        connection.close()

    one = threading.Thread(target=choose)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [drafts.OWNER_LOCK])
        one.start()
        wait_for("the other has looked, and waits to write", lambda: _waiting_for_the_owners() == 1)
        drafts.choose_boards(wizard.person, {"contact": begun})
    one.join(60)
    kept = drafts.draft_of("contact")
    assert kept is not None
    assert (kept.board_id, len(told)) == (begun, 1)
    drafts.choose_boards(wizard.person, {"contact": other})  # what is there was seen
    assert drafts.draft_of("contact").board_id == other  # type: ignore[union-attr]


def test_a_field_is_left_out_together_with_the_filter_that_used_it(wizard: Wizard) -> None:
    link = set_up(wizard)
    by_phone = {"records": [{"field": "phone", "op": "is_filled", "values": [], "labels": []}], "items": []}
    BoardLink.objects.filter(pk=link.pk).update(sync_filter=by_phone)
    api, without = with_token(wizard.person), {"fields": {"phone": {"direction": "none"}}}
    assert api.put(f"{BOARD}draft/", without).status_code == 400
    assert api.put(f"{BOARD}draft/", without | {"filter": {"records": by_phone["records"][:1]}}).status_code == 400
    answer = api.put(f"{BOARD}draft/", without | {"filter": {}})
    assert (answer.status_code, answer.json()["filter"]["records"]) == (202, [])
    assert [one["field"] for one in answer.json()["changes"]] == ["Phone"]


def test_drafts_ask_monday_only_so_often(wizard: Wizard, monkeypatch: pytest.MonkeyPatch) -> None:
    set_up(wizard)
    monkeypatch.setitem(SyncNowThrottle.THROTTLE_RATES, "sync-to-monday", "2/min")
    api, asked, codes = with_token(wizard.person), {"fields": {"role_title": {"column_id": "position"}}}, []
    for _ in range(3):
        codes.append(api.put(f"{BOARD}draft/", asked).status_code)
        api.delete(f"{BOARD}draft/")
    assert codes == [202, 202, 409]


def test_comparisons_ask_monday_only_so_often(wizard: Wizard, monkeypatch: pytest.MonkeyPatch) -> None:
    set_up(wizard)
    api = with_token(wizard.person)
    api.put(f"{BOARD}draft/", {"fields": {"role_title": {"column_id": "position"}}})
    monkeypatch.setitem(SyncNowThrottle.THROTTLE_RATES, "sync-to-monday", "3/min")
    assert [api.post(f"{BOARD}draft/compare").status_code for _ in range(3)] == [202, 202, 409]
    wizard.work()
    assert drafts.draft_of("contact").state == "compared"  # type: ignore[union-attr]
    assert "Nothing is compared: You have asked Monday very often" in wizard.post("match/", go="compare")
    assert drafts.draft_of("contact").state == "compared"  # type: ignore[union-attr]
    assert api.delete(f"{BOARD}draft/").status_code == 204  # asks nobody


def test_a_condition_that_takes_no_values_refuses_them(wizard: Wizard) -> None:
    set_up(wizard)
    filled = {"field": "phone", "op": "is_filled", "values": ["1"]}
    refused = with_token(wizard.person).put(f"{BOARD}draft/", {"filter": {"records": [filled]}})
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["pointer"].startswith("/filter/records/0")
