"""A phone number that nobody touched keeps its meaning, whatever becomes of its contact's organization."""

import phonenumbers
import pytest

from npd.models import Contact, Organization
from sync.monday.columns import make_converter
from sync.monday.conversion import ConverterOptions
from sync.reconcile.field_values import stored_values
from sync.reconcile.lookups import load_board
from tests.support.world import World

MOVES = [
    *(("0412345678", "AU", "Australia", "Italy"), ("0301234567", "DE", "Germany", "Austria")),
    *(("02079460018", "GB", "United Kingdom", "Ireland"), ("0612345678", "FR", "France", "")),
    *(("2015550123", "US", "", "Germany"), ("0312345678", "JP", "Japan", "Switzerland")),
]


def organization(name: str, country: str) -> Organization:
    return Organization.objects.create(name=name, address_country=country)


def hear(world: World, *records: Contact) -> None:
    for _ in range(3):
        world.hear(*records, minutes=3)


@pytest.mark.parametrize("way", ["pulled", "written"])
@pytest.mark.parametrize("by", ["form", "query"])
@pytest.mark.parametrize(("number", "country", "here", "there"), MOVES)
def test_it_moves(world: World, number: str, country: str, here: str, there: str, by: str, way: str) -> None:
    first, second = organization("First", here), organization("Second", there)
    ann = world.contact("Ann", organization=first, phone=number if way == "written" else "")
    hear(world)
    if way == "pulled":
        world.edit(ann, "phone", {"phone": number, "countryShortName": country})
        hear(world, ann)
    meant = phonenumbers.format_number(phonenumbers.parse(number, country), phonenumbers.PhoneNumberFormat.E164)
    ann = Contact.objects.get()
    if by == "form":
        ann.organization = second
        ann.full_clean()
        ann.save()
    else:
        Contact.objects.update(organization=second)
    hear(world, ann)
    board = load_board(world.link())
    mapping = next(mapping for mapping in board.mappings if mapping.key == "phone")
    sent = board.converter(mapping, ann).to_remote(stored_values(ann, mapping), None)
    assert (world.status(ann), sent["phone"]) == ("synced", meant)
    assert ann.phone.replace(" ", "").replace("-", "").replace("(0)", "") == meant


@pytest.mark.parametrize("text", ["02079460018", "ask at the desk", "0171/123"])
def test_a_number_that_nobody_touched_stops_no_form(world: World, text: str) -> None:
    ann = world.contact("Ann", organization=organization("Firm", "Ireland"), sync_enabled=False)
    Contact.objects.update(phone=text)
    ann = Contact.objects.get()
    ann.role_title = "Boss"
    ann.full_clean()
    ann.organization = organization("Other", "Italy")
    ann.full_clean()
    assert ann.phone == text


def test_a_country_that_is_filled_in_later_changes_no_number(world: World) -> None:
    firm = organization("Firm", "")
    ann = world.contact("Ann", organization=firm)
    hear(world)
    world.edit(ann, "phone", {"phone": "2015550123", "countryShortName": "US"})
    hear(world, ann)
    Organization.objects.update(address_country="Germany")
    ann = Contact.objects.get()
    ann.role_title = "Boss"
    ann.full_clean()
    ann.save()
    hear(world, ann)
    assert (world.status(ann), ann.phone.replace("-", "").replace(" ", "")) == ("synced", "+12015550123")


def test_no_countrys_number_changes_when_it_is_pulled() -> None:
    """Of these 19 % meant another number once the record's country was another."""
    changed = []
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        example = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
        if example is None:
            continue
        whole = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
        bare = phonenumbers.national_significant_number(example)
        home = make_converter("phone", ConverterOptions(region=region))
        raw = {"phone": bare, "countryShortName": region}
        if home.remote(raw) != whole:
            continue
        pulled = home.to_local(raw, {"phone": ""})
        changed += [(region, other) for other in ("IT", "US", "DE", "AU") if _read(other).local(pulled) != whole]
    assert not changed


def _read(region: str) -> object:
    return make_converter("phone", ConverterOptions(region=region))
