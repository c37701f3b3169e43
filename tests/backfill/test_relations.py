"""Relations, labels and tags in a backfill: carried where a file surely can, left to the ordinary way where not."""

from npd.models import Contact, Organization
from sync.models import FieldMapping
from tests.backfill.conftest import Import
from tests.engine.test_relations import add_column, adopt


def related_column(bulk: Import) -> None:
    boards = [bulk.world.board_id("organization")]
    add_column(bulk.world, "contact", "Organization", "board_relation", boardIds=boards)
    adopt("contact")
    assert FieldMapping.objects.get(link__entity_type="contact", key="organization").converter == "relation"


def test_a_relation_to_an_organization_that_has_its_item_travels_in_the_file(bulk: Import) -> None:
    related_column(bulk)
    acme = Organization.objects.create(name="Acme")
    bulk.run("organization")
    contacts = bulk.contacts(3, organization=acme)
    before = bulk.world.calls("mutation")
    bulk.run()
    bulk.world.work()
    assert [bulk.world.values(contact)["organization"] for contact in contacts] == ["Acme"] * 3
    assert bulk.world.calls("mutation") == before + 1  # the import's start
    assert Contact.objects.filter(sync_status="synced").count() == 3


def test_a_relation_that_waits_for_its_organization_doesn_t_hold_up_its_record(bulk: Import) -> None:
    related_column(bulk)
    acme = Organization.objects.create(name="Acme")
    contact = bulk.contacts(1, organization=acme)[0]
    done = bulk.run()
    assert done[0].counts["linked"] == 1
    assert bulk.world.status(contact) == "pending"
    bulk.run("organization")
    bulk.world.work()
    assert bulk.world.values(contact)["organization"] == "Acme"
    assert bulk.world.status(contact) == "synced"


def test_a_column_that_imports_don_t_take_sends_only_records_with_a_value_the_ordinary_way(bulk: Import) -> None:
    add_column(bulk.world, "organization", "Aliases", "tags")
    adopt("organization")
    tagged = Organization.objects.create(name="Acme", aliases=["ACME Inc"])
    plain = Organization.objects.create(name="Novus")
    seen = bulk.preview("organization")
    assert (seen.create.ids, seen.one_by_one.ids) == ([plain.pk], [tagged.pk])
    assert "takes no columns of the type tags" in seen.one_by_one.samples[0]
    bulk.run("organization")
    bulk.world.work()
    assert bulk.world.values(tagged)["aliases"] == "ACME Inc"
    assert {bulk.world.status(tagged), bulk.world.status(plain)} == {"synced"}


def test_a_label_that_the_column_doesn_t_have_yet_goes_the_ordinary_way(bulk: Import) -> None:
    add_column(bulk.world, "organization", "Aliases", "dropdown", labels=[{"id": 1, "label": "Known"}])
    adopt("organization")
    known = Organization.objects.create(name="Acme", aliases=["Known"])
    new = Organization.objects.create(name="Novus", aliases=["New"])
    seen = bulk.preview("organization")
    assert (seen.create.ids, seen.one_by_one.ids) == ([known.pk], [new.pk])
    bulk.run("organization")
    bulk.world.work()
    assert (bulk.world.values(known)["aliases"], bulk.world.values(new)["aliases"]) == ("Known", "New")
