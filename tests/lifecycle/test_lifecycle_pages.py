"""The pages on which a person unlinks, links again, brings back, and considers an item again."""

import re
import uuid
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client

from npd.models import Contact, Organization
from sync.models import ActivityLine, BoardLink, Tombstone
from sync.models.activity_lines import fold_alike
from sync.records.item_links import ignore_item
from sync.records.tombstones import restore_by_person
from tests.admin import states
from tests.admin.test_records import words_of
from tests.support.cases import each_once
from tests.support.words import said
from tests.support.world import World

CONTACTS = "/admin/npd/contact/"
DELETED = "/admin/sync/tombstone/"


@pytest.fixture
def away(transactional_db: None, client: Client) -> Client:
    """An administrator's browser; Monday isn't asked."""
    client.force_login(get_user_model().objects.create_superuser("ada", password="x"))
    return client


def test_several_that_were_deleted_at_once_are_restored_from_the_line_that_says_so(away: Client) -> None:
    contacts = [Contact(name=f"P{number}", email=f"p{number}@x.org") for number in range(13)]
    keys = [contact.pk for contact in Contact.objects.bulk_create(contacts)]
    form = {"action": "delete_selected", "_selected_action": [str(key) for key in keys[1:]], "post": "yes"}
    [message, _what_was_deleted] = away.post(CONTACTS, form, follow=True).context["messages"]
    undo = re.findall(r'href="([^"]+/restore/[^"]*)"', str(message))[0]
    question = away.get(undo)
    assert question.context["question"].button == "Restore 12 deleted records"
    assert Contact.objects.count() == 1
    assert away.post(undo, {"confirmed": "yes"}).headers["Location"] == CONTACTS
    assert set(Contact.objects.values_list("pk", flat=True)) == set(keys)
    Tombstone.objects.filter(entity_id=keys[1]).update(state="waiting")
    assert away.get(undo).context["question"].button == "Restore 1 deleted record"
    Tombstone.objects.update(state="restored")
    assert not away.get(undo).context["question"].button


def test_the_activitys_line_of_a_deletion_restores_the_records(away: Client) -> None:
    keys = [Contact.objects.create(name=name).pk for name in ("ann", "bob", "eve", "dan")]
    alike = {"entity_type": "contact", "actor": "ada", "sentence": "Deleted in NPD."}
    waits = {"kind": "approval", "values": {"reason": "pending_approval"}}
    # What becomes of the items differs.
    lines = [
        ActivityLine(**alike, **rest, entity_id=key, cause={"act": "one"})
        for key, rest in zip(keys, (waits, {"kind": "archived"}, waits), strict=False)
    ]
    lines.append(ActivityLine(**alike, **waits, entity_id=keys[3], cause={"act": "two"}))
    ActivityLine.objects.bulk_create(fold_alike(lines))

    def offers() -> list[tuple[str, str]]:
        rows = away.get("/admin/sync/activityline/").context["cl"].result_list
        return [(row.page_offer.label, row.page_offer.url) for row in rows if row.page_offer.url]

    assert offers() == []  # none is gone
    Contact.objects.filter(pk__in=keys).delete()
    [(label, one), (_, several)] = offers()
    page = words_of(away.get("/admin/sync/activityline/?kind=delete").content.decode())
    assert re.search(r"Deleted 3 contacts in NPD\. Show each Restore.* ada ", page)
    assert page.count("Lost on Monday") == 1, "kinds with the same words are one choice"
    assert label == "Restore…"
    assert away.get(one).context["question"].button == "Restore 1 deleted record"
    assert away.get(several).context["question"].button == "Restore 3 deleted records"
    assert away.post(one, {"confirmed": "yes"}).headers["Location"] == "/admin/sync/activityline/"
    assert Contact.objects.get().pk == keys[3]
    assert [url for _, url in offers()] == [several]
    Tombstone.objects.update(reason_code="erased")
    assert offers() == []


def test_the_activity_and_the_deleted_records_are_filtered_by_person_field_kind_and_day(away: Client) -> None:
    for number, (actor, kind, key) in enumerate((("ada", "push", "phone"), ("ben", "pull", "email"), ("", "link", ""))):
        ActivityLine.objects.create(
            entity_type="contact",
            entity_id=uuid.uuid4(),
            actor=actor,
            kind=kind,
            key=key,
            sentence=said(f"Line {number}."),
        )
    for query, sentences in (
        ("person=AD", ["Line 0."]), ("field=email", ["Line 1."]), ("kind=link", ["Line 2."]),
        ("person=ben&field=phone", []),
    ):  # fmt: skip
        rows = away.get(f"/admin/sync/activityline/?{query}").context["cl"].result_list
        assert [row.sentence for row in rows] == sentences, query
    keys = [Contact.objects.create(name=name, email=f"{name}@example.com").pk for name in ("ann", "bob")]
    away.post(CONTACTS, {"action": "delete_selected", "_selected_action": [str(keys[0])], "post": "yes"})
    Contact.objects.all().delete()
    for query, number in (
        ("q=ann@example", 1),
        ("person=ad", 1),
        ("person=zoe", 0),
        ("", 2),
        ("deleted_at__gte=2999-01-01+00:00:00%2B00:00", 0),
    ):
        assert len(away.get(f"/admin/sync/tombstone/?{query}").context["cl"].result_list) == number, query


def test_a_restored_record_names_who_deleted_and_who_restored_it(away: Client) -> None:
    key = Contact.objects.create(name="ann").pk
    away.post(CONTACTS, {"action": "delete_selected", "_selected_action": [str(key)], "post": "yes"})
    restore_by_person(Tombstone.objects.get(), "ben")
    lines = ActivityLine.objects.filter(entity_id=key).order_by("at").values_list("kind", "actor")
    assert list(lines) == [("delete", "ada"), ("restored", "ben")]


def test_what_was_unlinked_at_once_is_linked_again_from_the_activity_and_from_the_list(away: Client) -> None:
    contacts = [Contact.objects.create(name=name, sync_enabled=False) for name in ("ann", "bob", "eve")]
    alike = {"entity_type": "contact", "kind": "unlinked", "actor": "ada", "sentence": "Unlinked."}
    ActivityLine.objects.bulk_create(fold_alike([ActivityLine(**alike, entity_id=each.pk) for each in contacts]))

    def offer() -> str:
        [row] = away.get("/admin/sync/activityline/?kind=unlinked").context["cl"].result_list
        return str(row.page_offer.url)

    assert offer() == "", "there is no item to link"
    for number, contact in enumerate(contacts):
        ignore_item("contact", f"7{number}", contact.pk, "ada unlinked it.")
    undo = offer()
    assert away.get(undo).context["question"].button == "Link 3 contacts with their items again"
    form = {"action": "link_again", "_selected_action": [str(contacts[0].pk)], "index": "0"}
    assert [cells[1] for cells in away.post(CONTACTS, form).context["question"].tables[0].rows] == ["Item 70"]
    away.post(CONTACTS, form | {"confirmed": "yes"})
    assert away.post(undo, {"confirmed": "yes"}).headers["Location"].startswith("/admin/sync/activityline/")
    assert set(Contact.objects.values_list("monday_id", "sync_enabled")) == {("70", True), ("71", True), ("72", True)}
    assert offer() == ""
    # One act, not also the edit of each record that turned its sync on.
    listed = away.get("/admin/sync/activityline/?person=ada").context["cl"].result_list
    told = [(row.kind, row.page_folded_count) for row in listed if row.kind != "unlinked"]
    assert told == [("link", 2)]
    activity = away.get(f"/admin/npd/contact/{contacts[0].pk}/change/").context["activity"]
    assert [act.row.kind for act in activity["acts"]].count("edit") == 0


def test_a_restore_says_beforehand_and_afterwards_that_the_board_gets_no_new_items(away: Client) -> None:
    states.boards()
    BoardLink.objects.filter(entity_type="contact").update(creates_held=said("Why."))
    for name, item in (("Ann", None), ("Bob", "71")):
        Contact.objects.create(name=name, monday_id=item).delete()
    stones = [str(key) for key in Tombstone.objects.order_by("deleted_at").values_list("pk", flat=True)]
    form = {"action": "restore_record", "_selected_action": stones}
    question = away.post("/admin/sync/tombstone/", form).context["question"]
    assert {row[0]: row[2] for row in question.tables[0].rows} == {"Ann": "New item, later", "Bob": "Linked again"}
    assert "Nothing new is created" in question.effects[0]
    answer = away.post("/admin/sync/tombstone/", {**form, "confirmed": "yes"}, follow=True)
    [message] = answer.context["messages"]
    assert "2 records restored. 1 of them stays pending without an item: Nothing new is created" in str(message)


def test_the_deletion_of_an_organization_says_who_loses_it_and_its_restore_gives_it_back(away: Client) -> None:
    acme, other = Organization.objects.create(name="Acme"), Organization.objects.create(name="Other")
    ann, bob, eve = (Contact.objects.create(name=name, organization=acme) for name in ("ann", "bob", "eve"))
    Organization.objects.filter(pk=other.pk).update(billing_contact=ann)
    Contact.objects.filter(pk=eve.pk).update(organization=None)  # by hand, before
    page = f"/admin/npd/organization/{acme.pk}/delete/"
    assert "2 contacts lose their organization. Restoring brings it back" in away.get(page).content.decode()
    away.post(page, {"post": "yes"})
    assert not Contact.objects.exclude(organization=None).exists()
    Contact.objects.filter(pk=bob.pk).update(organization=other)
    stone = Tombstone.objects.get(entity_id=acme.pk)
    BoardLink.objects.update_or_create(entity_type="organization", defaults={"creates_held": said("Nothing new now.")})
    question = away.get(f"/admin/sync/tombstone/{stone.pk}/restore/").content.decode()
    assert "Nothing new now." in question
    assert "Links to what is restored come back, unless they point elsewhere by now." in question
    assert "New item" in question
    restore_by_person(stone, by="ada")
    assert [Contact.objects.get(pk=contact.pk).organization for contact in (ann, bob, eve)] == [acme, other, None]
    question = away.get(f"/admin/npd/contact/{ann.pk}/delete/").content.decode()
    assert "1 organization loses its billing contact. Restoring" in question
    key = ann.pk
    ann.delete()  # as a script does
    restore_by_person(Tombstone.objects.get(entity_id=key), by="ada")
    billing = Organization.objects.get(pk=other.pk).billing_contact
    assert billing is not None
    assert billing.pk == key


@pytest.mark.parametrize(("deleted", "restored"), each_once(["acme ann", "ann acme"], ["acme ann", "ann acme"]))
def test_two_that_name_each_other_do_so_again_when_they_return(away: Client, deleted: str, restored: str) -> None:
    acme = Organization.objects.create(name="Acme")
    ann = Contact.objects.create(name="ann", organization=acme)
    Organization.objects.filter(pk=acme.pk).update(billing_contact=ann)
    pages = {"acme": f"/admin/npd/organization/{acme.pk}/delete/", "ann": f"/admin/npd/contact/{ann.pk}/delete/"}
    keys = {"acme": acme.pk, "ann": ann.pk}
    for name in deleted.split():
        away.post(pages[name], {"post": "yes"})
    assert not Contact.objects.exists()
    for name in restored.split():
        restore_by_person(Tombstone.objects.get(entity_id=keys[name]), by="ada")
    assert Contact.objects.get().organization == acme
    assert Organization.objects.get().billing_contact == ann


def test_what_a_person_emptied_since_stays_empty_when_what_it_named_comes_back(away: Client) -> None:
    acme = Organization.objects.create(name="Acme")
    ann = Contact.objects.create(name="ann")
    Organization.objects.filter(pk=acme.pk).update(billing_contact=ann)
    key = acme.pk
    for page in (f"/admin/npd/contact/{ann.pk}/delete/", f"/admin/npd/organization/{key}/delete/"):
        away.post(page, {"post": "yes"})
    restore_by_person(Tombstone.objects.get(entity_id=key), by="ada")
    bob = Contact.objects.create(name="bob")
    Organization.objects.filter(pk=key).update(billing_contact=bob)
    Organization.objects.filter(pk=key).update(billing_contact=None)
    restore_by_person(Tombstone.objects.get(entity_id=ann.pk), by="ada")
    assert Organization.objects.get().billing_contact is None


def test_a_deletion_leads_to_the_deleted_record_which_offers_its_restore_until_it_is_restored(away: Client) -> None:
    contact = Contact.objects.create(name="Ann Lind")
    deleted = away.post(f"{CONTACTS}{contact.pk}/delete/", {"post": "yes"}, follow=True)
    [message, _what_was_deleted] = deleted.context["messages"]
    assert f"/restore/?back={quote(CONTACTS, safe='')}" in str(message)
    assert str(message).startswith("Deleted by mistake? <a ")
    [lost] = away.get(f"{CONTACTS}{contact.pk}/change/", follow=True).context["messages"]
    assert f'<a class="npd-link" href="{DELETED}">Look under Deleted records</a>' in str(lost)
    page = away.get(DELETED).content.decode()
    assert f'href="{DELETED}{Tombstone.objects.get().pk}/restore/" aria-label="Restore Ann Lind"' in page
    assert "ada" in page[page.index("result_list") :]
    chosen = [str(Tombstone.objects.get().pk)]
    away.post(DELETED, {"action": "restore_record", "_selected_action": chosen, "index": "0", "confirmed": "yes"})
    assert 'aria-label="Restore Ann Lind"' not in away.get(DELETED).content.decode()


@pytest.mark.django_db
def test_every_type_of_a_selection_needs_permission(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sync.admin.confirmed_action.MAX_ROWS_SHOWN", 1)
    Contact.objects.create(name="Ann").delete()
    Organization.objects.create(name="Acme").delete()
    clerk = get_user_model().objects.create_user("clerk", password="x", is_staff=True)
    clerk.user_permissions.add(
        *Permission.objects.filter(codename__in=("view_tombstone", "view_contact", "add_contact", "view_organization"))
    )
    client.force_login(clerk)
    keys = list(Tombstone.objects.values_list("pk", flat=True))
    sent = {"action": "restore_record", "_selected_action": keys, "confirmed": "yes"}
    assert client.post(DELETED, sent).status_code == 403
    assert (Contact.objects.count(), Organization.objects.count()) == (0, 0)


def lines_of(client: Client, record: Any) -> list[tuple[str, str, str]]:
    acts = client.get(f"{CONTACTS}{record.pk}/change/").context["activity"]["acts"]
    return [(line.label or line.sentence, line.before, line.after) for act in acts for line in act.lines]


def test_what_somebody_edited_and_the_sync_sent_is_one_line(world: World, pat: Any) -> None:
    contact, browser = world.linked("Ann", role_title="Buyer", phone="+442079460018"), world.browser(pat)
    before = lines_of(browser, contact)
    world.save(contact, role_title="Head")
    world.edit(contact, "phone", {"phone": "+442079460099", "countryShortName": "GB"})
    world.hear(contact)
    new = lines_of(browser, contact)[: -len(before)]
    assert new == [("Phone", "+44 20 7946 0018", "+44 20 7946 0099"), ("Role", "Buyer", "Head")]
