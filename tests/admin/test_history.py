"""A record's history, and where the id of Monday's request is shown."""

import re
import uuid
from collections.abc import Sequence
from itertools import pairwise
from typing import Any
from urllib.parse import urlencode

import pghistory
import pytest
from django.contrib.auth.models import User
from django.test import Client

from npd.models import Contact
from sync.admin.activity import ActLines
from sync.kernel.acts import answers_to
from sync.models import ActivityLine, MondayAccount, SyncQueue, Tombstone
from sync.models.activity_lines import fold_alike
from sync.words.message import Message
from tests.admin import states
from tests.admin.test_records import change_page, words_of
from tests.support.clock import move_clock
from tests.support.people import staff_who_may
from tests.support.words import said


def test_a_pull_stands_once_in_the_history(browser: Client, world: dict[str, Any]) -> None:
    record, look, other_look = world["synced"], uuid.uuid4(), uuid.uuid4()
    for batch, phone in ((look, "+46 7"), (other_look, "+46 8")):
        with pghistory.context(cause="sync", batch=str(batch)):
            Contact.objects.filter(pk=record.pk).update(phone=phone)
    states.decided(record, "Phone “+46 7” taken over from Monday.", batch_id=look)
    page = words_of(browser.get(change_page(record)).content.decode())
    assert page.count("Phone “+46 7” taken over from Monday.") == 1
    assert "to “+46 7”" not in page
    assert "Phone +46 7 → +46 8 NPD Sync," in page  # this pass wrote no decision


def entries(count: int, sentence: str = "Linked.", **values: Any) -> None:
    """Decisions folded as a pass writes them, each about another record."""
    about = {"entity_type": "contact", "kind": "link", "key": "", "actor": "", "batch_id": uuid.uuid4()} | values
    rows = [ActivityLine(sentence=said(sentence), entity_id=uuid.uuid4(), **about) for _ in range(count)]
    ActivityLine.objects.bulk_create(fold_alike(rows))


def listed(client: Client, query: str = "") -> str:
    return words_of(client.get(f"/admin/sync/activityline/{query}").content.decode())


def within(client: Client) -> str:
    """The query of the only folded line."""
    [query] = re.findall(r'href="(\?fold_id=[^"]+)"', client.get("/admin/sync/activityline/").content.decode())
    return str(query)


def test_what_one_person_did_alike_is_one_line_of_the_activity_in_however_many_passes_it_came(browser: Client) -> None:
    for _ in range(20):
        entries(3, actor="Maya Lind (Monday)")
    entries(1, actor="Tom (Monday)")
    entries(2, "Made.", kind="create")
    page = listed(browser)
    assert "By date of the change" in page
    assert re.findall(r"Linked\.|Made\.", page) == ["Made.", "Made.", "Linked.", "Linked."]
    assert "and 59 more records" in page
    inside = listed(browser, within(browser))
    assert (inside.count("Linked."), "60 lines of activity" in inside, "more records" in inside) == (50, True, False)
    # A search finds the same line, or those of the act's records that it is about.
    searched = listed(browser, "?q=Linked")
    assert (searched.count("Linked."), "and 59 more records" in searched) == (2, True)
    [first, *_, last] = ActivityLine.objects.filter(kind="link", fold_id__isnull=False)
    assert "more records" not in listed(browser, f"?q={last.entity_id}")
    for line in (first, last):
        Contact.objects.create(pk=line.entity_id, name=f"Linked {line.pk}")
    assert listed(browser, "?q=linked").count("Linked.") == 3


def test_a_line_is_found_by_the_whole_name_of_who_did_it_on_either_side(browser: Client) -> None:
    User.objects.create_user("olga", first_name="Olga", last_name="Petrova")
    MondayAccount.objects.update_or_create(id=1, defaults={"users": {"7": {"name": "Maya Lind"}}})
    entries(1, "Done by a user.", actor="olga")
    entries(1, "Done by a name.", actor="Olga Petrova")
    entries(1, "Done on the board.", kind="pull", actor="Monday user 7")
    found = {"Olga Petrova": 2, "petrova  olga": 2, "Maya": 1, "lind maya": 1, "Olga Lind": 0}
    for parameter in ("q", "person"):
        pages = {name: listed(browser, f"?{parameter}={name}") for name in found}
        assert {name: page.count("Done ") for name, page in pages.items()} == found, parameter
    assert '<option value="Maya Lind">' in browser.get("/admin/sync/activityline/").content.decode()


def test_each_word_of_a_search_may_be_in_another_column(browser: Client) -> None:
    User.objects.create_user("olga", first_name="Olga", last_name="Petrova")
    entries(1, "Phone changed.", actor="olga")
    Contact.objects.create(pk=ActivityLine.objects.get().entity_id, name="Sophie O'Neil")
    entries(1, "Phone kept.", actor="olga")
    found = {"sophie phone": True, "phone O'Neil Petrova": True, "sophie kept": False, '"Sophie O\'Neil" changed': True}
    pages = {term: listed(browser, "?" + urlencode({"q": term})) for term in found}
    assert {term: "Phone changed." in page for term, page in pages.items()} == found
    assert not any("Phone kept." in page for page in pages.values())


def test_questions_left_alone_and_conflicts_resolved_are_two_acts(browser: Client) -> None:
    for choice in ("leave_alone", "npd"):
        entries(3, choice, kind="conflict_settled", values={"by": "dora", "choose": choice})
    page = listed(browser)
    assert "Left 3 items alone. Show each" in page
    assert page.count("and 2 more records") == 1


# The others have lines of their own that say what they did.
QUESTIONS_ANSWERED = ["archive_item", "delete_item", *answers_to("identity")]


@pytest.mark.parametrize("kind", ["conflict_chosen", "conflict_settled"])
def test_the_line_of_questions_answered_in_bulk_names_the_act_and_the_person(browser: Client, kind: str) -> None:
    User.objects.create_user("olga", first_name="Olga", last_name="Petrova")
    for code in QUESTIONS_ANSWERED:
        actor = "olga" if kind == "conflict_chosen" else ""
        entries(4, f"{code} of the first", kind=kind, actor=actor, values={"by": "olga", "choose": code})
    rows = browser.get("/admin/sync/activityline/").context["cl"].result_list
    assert [row.values["choose"] for row in rows] == QUESTIONS_ANSWERED[::-1]
    assert {row.page_by for row in rows} == {"Olga Petrova"}
    sentences = [row.page_act.line.sentence for row in rows]
    assert len(set(sentences)) == len(rows)
    assert all("4 " in sentence and "of the first" not in sentence for sentence in sentences), sentences
    assert any("deleted" in sentence.lower() for sentence in sentences) == (kind == "conflict_settled")


def test_acts_with_other_words_are_other_lines(browser: Client) -> None:
    copied = Message("who_is_this", question=Message("second_item_gone", item="Ann"))
    by_maya, by_tom = (Message("item_removed_by", name="Ann", state="archived", actor=who) for who in ("Maya", "Tom"))
    acts = [
        {"kind": "conflict_found", "values": {"what": copied}},
        {"kind": "conflict_found", "values": {"what": by_maya}},
        {"kind": "conflict_found", "values": {"what": by_tom}},
        {"kind": "create", "sentence": Message("record_created", item="Ann")},
        {"kind": "create", "sentence": Message("item_created", item="Ann"), "cause": {"made": True}},
        {"kind": "conflict_identity", "sentence": Message("second_item_gone", item="Ann")},
        *({"kind": kind} for kind in ("link", "unlinked", "restored", "delete")),
        *({"kind": "job", "cause": {"act": act}} for act in ("retried", "discarded")),
        *({"kind": kind, "batch_id": uuid.uuid4()} for kind in ("import", "undo")),
    ]
    for about in acts:
        values = {"sentence": said("One."), "entity_type": "contact", "actor": "ada"} | about
        if about["kind"].startswith("conflict"):
            values["actor"] = ""
        lines = [ActivityLine(entity_id=uuid.uuid4(), **values) for _ in range(3)]
        ActivityLine.objects.bulk_create(fold_alike(lines))
    rows = browser.get("/admin/sync/activityline/").context["cl"].result_list
    assert [(row.kind, row.page_folded_count) for row in rows] == [(about["kind"], 2) for about in acts[::-1]]
    assert [row.page_act.line.sentence for row in rows if "Deleted" in row.page_act.line.sentence] == [
        "Deleted 3 contacts in NPD."
    ]


def test_a_deletion_counts_and_restores_what_is_told_later_too(browser: Client) -> None:
    act = uuid.uuid4()
    keys = [uuid.uuid4() for _ in range(4)]
    for key in keys:
        Tombstone.objects.create(entity_type="contact", entity_id=key, context_id=act, data={"name": "Ann"})
    deletion = {"entity_type": "contact", "kind": "archived", "actor": "ada", "cause": {"act": str(act)}}
    lines = [ActivityLine(sentence=said("Gone."), entity_id=key, **deletion) for key in keys[:3]]
    ActivityLine.objects.bulk_create(fold_alike(lines))
    # The record of the listed line is back.
    Contact.objects.create(pk=ActivityLine.objects.get(folded=False).entity_id, name="Ann")
    [row] = [row for row in browser.get("/admin/sync/activityline/").context["cl"].result_list if row.pk]
    assert row.page_act.line.sentence == "Deleted 4 contacts in NPD."
    assert browser.get(row.page_offer.url).context["question"].button == "Restore 4 deleted records"


def test_edits_are_found_as_edits_whether_they_were_synced_or_not(browser: Client) -> None:
    edit = {"who": "Kevin", "at": "2026-11-30T12:00:00+00:00"}
    entries(1, "Sent.", kind="push", key="phone", actor="Kevin", cause={"npd": edit})
    entries(1, "Taken over.", kind="pull", key="phone", actor="Kevin", cause={"monday": edit})
    entries(1, "Not sent.", kind="edit", key="email", actor="Kevin")
    entries(1, "Sent with its item.", kind="push", key="phone", actor="Kevin", cause={"npd": edit, "made": True})
    entries(1, "Sent again.", kind="push", key="phone", actor="Kevin")
    page = listed(browser, "?kind=edit&person=Kevin")
    assert {
        text for text in ("Sent.", "Taken over.", "Not sent.", "Sent with its item.", "Sent again.") if text in page
    } == {"Sent.", "Taken over.", "Not sent."}


def test_an_edit_that_waits_is_listed_once(browser: Client, person: User, world: dict[str, Any]) -> None:
    record = world["synced"]
    move_clock(5)
    with pghistory.context(user=person.pk):
        Contact.objects.filter(pk=record.pk).update(phone="+46 6")
    [waiting] = waiting_entries(browser, "?kind=edit")
    ActivityLine.objects.create(
        **{name: getattr(waiting, name) for name in ("entity_type", "entity_id", "key", "kind", "sentence", "values")},
        actor=waiting.actor,
        at=waiting.at,
    )
    assert waiting_entries(browser, "?kind=edit") == []
    assert listed(browser, "?kind=edit").count("+46 6") == 1


def test_what_one_person_did_with_several_fields_of_many_records_is_one_line(browser: Client) -> None:
    rows = []
    for record in [uuid.uuid4() for _ in range(4)]:
        about = {"entity_type": "contact", "entity_id": record, "actor": "dora", "batch_id": record}
        rows += [ActivityLine(kind="push", key=key, values={"before": "a", "after": "b"}, **about) for key in KEYS]
    ActivityLine.objects.bulk_create(fold_alike(rows))
    ActivityLine.objects.bulk_create(
        fold_alike([ActivityLine(kind="link", entity_type="contact", entity_id=uuid.uuid4())])
    )
    page = browser.get("/admin/sync/activityline/").content.decode()
    assert len(re.findall(r'<tr class="data-row', page)) == 2
    assert "… and 3 more records" in page
    inside = browser.get(f"/admin/sync/activityline/{within(browser)}")
    assert len(inside.context["cl"].result_list) == 4


def test_an_act_ends_after_its_time_but_an_import_waits_for_its_quota(browser: Client) -> None:
    entries(8)
    move_clock(120)
    entries(8)
    assert "and 15 more records" in listed(browser)
    move_clock(240)
    entries(2)
    page = listed(browser)
    assert (page.count("Linked."), "and 15 more records" in page) == (3, True)
    move_clock(900)
    entries(8)
    assert re.findall(r"and (\d+) more", listed(browser)) == ["7", "15"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"kind": "removed", "values": {"reason": "archived"}}, {"kind": "removed", "values": {"reason": "deleted"}}),
        ({"kind": "archived", "cause": {"deletion": "Deleted by the undo."}}, {"kind": "archived"}),
        ({"kind": "conflict_settled", "values": {"by": "kim"}}, {"kind": "conflict_settled", "values": {"by": "ada"}}),
    ],
)
def test_what_is_not_of_one_act_is_two_lines(browser: Client, one: dict[str, Any], other: dict[str, Any]) -> None:
    entries(3, **one)
    entries(4, **other)
    lines = re.findall(r"and \d more records|Deleted \d contacts", listed(browser))
    assert lines in (["and 3 more records", "and 2 more records"], ["Deleted 4 contacts", "Deleted 3 contacts"])


def test_a_rejected_removal_leaves_the_deletion_its_own_line_and_time(browser: Client) -> None:
    deletion = {"actor": "ada", "cause": {"act": "one"}}
    entries(3, kind="approval", values={"reason": "pending_approval"}, **deletion)
    move_clock(30)
    entries(4, "The item stays.", kind="delete", values={"reason": "removal_rejected"}, **deletion)
    page = listed(browser)
    assert re.findall(r"Deleted \d contacts", page) == ["Deleted 3 contacts"]
    assert "The item stays. … and 3 more records" in page


def test_a_deletion_keeps_its_time_whatever_becomes_of_the_items_later(browser: Client) -> None:
    deletion = {"actor": "ada", "cause": {"act": "one"}}
    entries(3, kind="approval", values={"reason": "pending_approval"}, **deletion)
    [first] = ActivityLine.objects.filter(folded=False)
    for kind in ("archived", "delete", "archived"):
        move_clock(120)
        entries(2, kind=kind, **deletion)
    assert ActivityLine.objects.get(folded=False) == first
    assert re.findall(r"Deleted \d contacts", listed(browser)) == ["Deleted 9 contacts"]


# What waits to be synced


def waiting_entries(client: Client, query: str = "") -> list[Any]:
    rows = client.get(f"/admin/sync/activityline/{query}").context["cl"].result_list
    return [row for row in rows if row.pk is None]


def test_an_edit_is_in_the_activity_until_its_pass_tells_it(
    browser: Client, client: Client, person: User, world: dict[str, Any]
) -> None:
    record = world["synced"]
    move_clock(5)
    with pghistory.context(user=person.pk, cause="import", batch=str(uuid.uuid4())):
        Contact.objects.filter(pk=record.pk).update(notes="An import has an entry of its own.")
    query = f"?q={record.pk}"
    assert waiting_entries(browser, query) == []
    for phone in ("+46 6", "+46 7"):
        with pghistory.context(user=person.pk):
            Contact.objects.filter(pk=record.pk).update(phone=phone, role_title="Head", sync_direction="npd_to_monday")
    waiting = waiting_entries(browser, query)
    assert [(row.actor, line.label, line.before, line.after) for row in waiting for line in row.page_act.lines] == [
        ("Dora Demo", "Phone", "+46 6", "+46 7"),
        ("Dora Demo", "Phone", "+46 812345", "+46 6"),
        ("Dora Demo", "Role", "", "Head"),
        ("Dora Demo", "Direction", "Both ways", "NPD to Monday only"),
    ]
    assert waiting_entries(browser, "?p=2") == []
    move_clock(6)
    entries(1, "Later than the edit.")
    order = [row.at for row in browser.get("/admin/sync/activityline/").context["cl"].result_list]
    assert order == sorted(order, reverse=True)
    page = browser.get(change_page(record))
    assert {(line.label, line.is_unsent) for act in page.context["activity"]["acts"] for line in act.lines} >= {
        ("Phone", True),
        ("Direction", False),
    }
    client.force_login(staff_who_may("view_activityline"))
    assert len(waiting_entries(client, query)) == 2
    assert "Not synced yet" in client.get("/admin/sync/activityline/").content.decode()
    SyncQueue.objects.filter(entity_id=record.pk).update(status="completed")
    assert waiting_entries(client, query) == []
    client.force_login(person)
    assert not any(act.is_unsent for act in acts_of(client, record))


# One line a change, of every field or of one


def test_fields_of_one_act_are_one_line_that_unfolds(browser: Client, world: dict[str, Any]) -> None:
    """A save's fields or a conflict's answers are one act; another pass is another act."""
    ActivityLine.objects.all().delete()
    SyncQueue.objects.all().delete()
    moved = {"before": "a", "after": "b"}
    for batch, keys in ((uuid.uuid4(), ("email", "phone", "role_title")), (uuid.uuid4(), ("phone",))):
        for key in keys:
            states.decided(world["synced"], f"{key} sent.", kind="push", key=key, values=moved, batch_id=batch)
    for key in ("phone", "email"):
        states.decided(world["invalid"], f"Chose Monday for {key}.", kind="conflict_chosen", key=key, actor="dora")
    states.decided(world["invalid"], "Linked.", kind="link")
    page = browser.get("/admin/sync/activityline/").content.decode()
    acts = re.findall(r'<details class="npd-fields">(.*?)</details>', page, re.DOTALL)
    assert [act.count("<li>") for act in acts] == [2, 3]
    assert len(re.findall(r'<tr class="data-row', page)) == 4
    summaries = [words_of(act.split("</summary>")[0]).strip() for act in acts]
    assert summaries == ["Resolution: Email and Phone", "Email a → b and 2 more"]
    assert "4 lines of activity" in words_of(page)


def test_a_value_that_was_changed_again_offers_no_undo(browser: Client, world: dict[str, Any]) -> None:
    record = world["synced"]
    phones = ["+46 1", "+46 2", record.phone]
    for old, new in pairwise(phones):
        values = {"before": old, "after": new, "raw_before": {"phone": old}, "raw_after": {"phone": new}}
        states.decided(record, f"Phone {new}.", key="phone", values=values, batch_id=uuid.uuid4())
    acts = [act for act in acts_of(browser, record) if act.row.key == "phone" and act.row.pk]
    assert [(act.line.after, act.offer.label) for act in acts] == [(record.phone, "Undo…"), ("+46 2", "")]


def test_a_deleted_record_is_listed_by_name_with_a_link(browser: Client, client: Client, world: dict[str, Any]) -> None:
    record = world["synced"]
    states.decided(record, "The item was archived.", kind="delete")
    name = str(record)
    key = record.pk
    record.delete()
    page = browser.get("/admin/sync/activityline/").content.decode()
    tombstone = Tombstone.objects.get(entity_id=key)
    assert f'href="/admin/sync/tombstone/{tombstone.pk}/change/">{name}</a>' in page
    client.force_login(staff_who_may("view_activityline"))
    assert f"{name} <span" in client.get("/admin/sync/activityline/").content.decode()
    tombstone.delete()
    assert f"{name} <span" in browser.get("/admin/sync/activityline/").content.decode()


def acts_of(client: Client, record: Any) -> Sequence[ActLines]:
    return client.get(change_page(record)).context["activity"]["acts"]


KEYS = ("phone", "email")
