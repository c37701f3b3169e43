"""What would be sent of a pulled national number after its organization moved to another country."""

from npd.models import Contact, Organization
from sync.reconcile.field_values import stored_values
from sync.reconcile.lookups import load_board
from tests.support.world import World


def test_it(world: World) -> None:
    sydney = Organization.objects.create(name="Sydney", address_country="Australia")
    rome = Organization.objects.create(name="Rome", address_country="Italy")
    ann = world.contact("Ann", organization=sydney)
    for _ in range(3):
        world.hear(minutes=3)
    world.edit(ann, "phone", {"phone": "0412345678", "countryShortName": "AU"})
    for _ in range(3):
        world.hear(ann, minutes=3)
    world.save(ann, organization=rome)
    for _ in range(3):
        world.hear(ann, minutes=3)
    board = load_board(world.link())
    mapping = next(m for m in board.mappings if m.key == "phone")
    sent = board.converter(mapping, ann).to_remote(stored_values(ann, mapping), None)
    print(
        "PHONE",
        repr(ann.phone),
        world.status(ann),
        "a new item would get",
        sent,
        "board has",
        world.values(ann)["phone"],
    )
    # the item is deleted for good and made again
    world.sandbox.act("delete", item_id=ann.monday_id)
    for _ in range(4):
        world.hear(ann, minutes=12)
    print("AFTER THE ITEM WENT", world.status(ann), world.ledger(ann).note[:150])
    assert sent["phone"] == "+61412345678"


def moved_in_a_form(world: World, number: str, country: str, here: str, there: str) -> tuple[str, str]:
    one = Organization.objects.create(name="One", address_country=here)
    other = Organization.objects.create(name="Other", address_country=there)
    ann = world.contact("Ann", organization=one)
    for _ in range(3):
        world.hear(minutes=3)
    world.edit(ann, "phone", {"phone": number, "countryShortName": country})
    for _ in range(3):
        world.hear(ann, minutes=3)
    before = ann.phone
    ann.organization = other  # as the admin's form does: cleaned, then saved
    try:
        ann.full_clean()
    except Exception as refused:
        print("REFUSED", refused)
        return before, "refused"
    ann.save()
    for _ in range(3):
        world.hear(ann, minutes=3)
    item = world.sandbox.query(
        'query ($i: [ID!]) { items(ids: $i) { column_values(ids: ["phone"]) { value } } }', i=[ann.monday_id]
    )
    print("NPD NOW", repr(ann.phone), world.status(ann))
    return before, item["data"]["items"][0]["column_values"][0]["value"]


def test_who_changes_the_organization_in_a_form_doesnt_change_the_number(world: World) -> None:
    before, value = moved_in_a_form(world, "0412345678", "AU", "Australia", "Italy")
    print("FORM", repr(before), "->", value)
    assert "AU" in value
    assert Contact.objects.get().phone.replace(" ", "") in ("0412345678", "+61412345678")


def test_the_same_from_germany_to_austria(world: World) -> None:
    before, value = moved_in_a_form(world, "0301234567", "DE", "Germany", "Austria")
    print("FORM DE->AT", repr(before), "->", value)
    assert "DE" in value


def test_the_same_from_britain_to_ireland(world: World) -> None:
    before, value = moved_in_a_form(world, "02079460018", "GB", "United Kingdom", "Ireland")
    print("FORM GB->IE", repr(before), "->", value)
    assert "GB" in value


def test_the_country_of_the_organization_is_filled_in_later(world: World) -> None:
    firm = Organization.objects.create(name="Firm")
    ann = world.contact("Ann", organization=firm)
    for _ in range(3):
        world.hear(minutes=3)
    world.edit(ann, "phone", {"phone": "2015550123", "countryShortName": "US"})
    for _ in range(3):
        world.hear(ann, minutes=3)
    before = ann.phone
    Organization.objects.filter(pk=firm.pk).update(address_country="Germany")
    for _ in range(3):
        world.hear(ann, minutes=3)
    ann = Contact.objects.get()
    ann.role_title = "Boss"  # another field, in the form
    ann.full_clean()
    ann.save()
    for _ in range(3):
        world.hear(ann, minutes=3)
    print("FILLED IN", repr(before), "->", repr(ann.phone), world.status(ann), "board", world.values(ann)["phone"])
    assert ann.phone.replace(" ", "").replace("-", "") in (before, "+12015550123")
