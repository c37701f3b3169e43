"""Characters that nobody sees, pasted along with an email address, a name or a label (community 56077, 85670 of phones)."""

import pytest
from django.core.exceptions import ValidationError

from npd.models import Contact
from tests.support.world import World, mail

INVISIBLE = {
    "zero width space": "\u200b",
    "pop direction": "\u202c",
    "byte order mark": "\ufeff",
    "word joiner": "\u2060",
    "soft hyphen": "\u00ad",
}


@pytest.mark.parametrize("which", INVISIBLE)
@pytest.mark.parametrize("where", ["end", "start"])
def test_npd_refuses_or_cleans_it(which: str, where: str) -> None:
    mark = INVISIBLE[which]
    address = f"ada@example.org{mark}" if where == "end" else f"{mark}ada@example.org"
    one = Contact(name="Ada", email=address)
    try:
        one.full_clean(exclude=["id"], validate_unique=False, validate_constraints=False)
        print(which, where, "ACCEPTED as", repr(one.email))
    except ValidationError as refused:
        print(which, where, "REFUSED", refused.message_dict)
        return
    assert one.email == "ada@example.org"


@pytest.mark.parametrize("which", INVISIBLE)
def test_an_item_with_the_clean_address_is_the_contacts(world: World, which: str) -> None:
    mark = INVISIBLE[which]
    world.add("Ada", email=mail("ada@example.org"))
    ada = world.contact("Ada", email=f"ada@example.org{mark}")
    for _ in range(4):
        world.hear(minutes=3)
    print(
        which,
        world.status(ada),
        len(world.sandbox.items()),
        Contact.objects.count(),
        world.held(ada, "email"),
        world.ledger(ada).altered,
    )
    assert len(world.sandbox.items()) == 1
    assert Contact.objects.count() == 1


@pytest.mark.parametrize(
    "ours",
    [
        "Acme\u200b Corp",
        "Acme Corp\ufeff",
        "Acme\u00a0Corp",
        "Acme  Corp",
        "Acme\u2009Corp",
        "Acme Corp\u00a0",
        "ACME CORP",
        "Acme Corp\u202c",
    ],
    ids=[
        "zero width space",
        "byte order mark",
        "no-break space inside",
        "two spaces",
        "thin space",
        "no-break space at the end",
        "capitals",
        "pop direction",
    ],
)
def test_an_organization_is_found_by_its_name(world: World, ours: str) -> None:
    from npd.models import Organization
    from sync.models import BoardLink

    # A board that people had: nothing there becomes a record by itself.
    BoardLink.objects.filter(entity_type="organization").update(creates_records=False)
    world.add("Acme Corp", "organization")
    firm = Organization.objects.create(name=ours)
    for _ in range(4):
        world.hear(minutes=3)
    items = [i["name"] for b in world.sandbox.boards() for i in b["items"] if i["state"] == "active"]
    print(repr(ours), "items", [ascii(i) for i in items], world.status(firm))
    assert len(items) == 1


@pytest.mark.parametrize("text", ["Germany\u200b", "Germany\ufeff", "Deutschland\u00a0", "\u202aGermany\u202c"])
def test_a_country_is_read(text: str) -> None:
    from sync.monday.columns.places import country_code

    print(ascii(text), country_code(text))
    assert country_code(text) == "DE"


def test_a_label_with_a_character_that_nobody_sees_is_the_label() -> None:
    from sync.monday.columns.labels import DropdownConverter, StatusConverter
    from sync.monday.conversion import ConverterOptions

    settings = {"labels": [{"id": 1, "index": 1, "label": "Won", "name": "Won"}]}
    status, dropdown = (
        StatusConverter(ConverterOptions(settings=settings)),
        DropdownConverter(ConverterOptions(settings=settings)),
    )
    for mark in INVISIBLE.values():
        print(ascii(mark), status.to_remote({"s": f"Won{mark}"}, None), dropdown.to_remote({"s": [f"Won{mark}"]}, None))
        assert status.local({"s": f"Won{mark}"}) == "Won"


@pytest.mark.parametrize(
    ("ours", "theirs"), [("Ann.Lee@example.com", "ann.lee@example.com"), ("ann.lee@example.com", "ANN.LEE@EXAMPLE.COM")]
)
@pytest.mark.parametrize("first", ["item"])
def test_a_person_is_found_by_an_address_in_other_capitals(world: World, ours: str, theirs: str, first: str) -> None:
    from sync.models import BoardLink

    if first == "item":
        BoardLink.objects.filter(entity_type="contact").update(creates_records=False)
        world.add("Ann Lee", email=mail(theirs))
        ann = world.contact("Ann Lee", email=ours)
    else:
        ann = world.contact("Ann Lee", email=ours, sync_enabled=False)
        world.add("Ann Lee", email=mail(theirs))
    for _ in range(4):
        world.hear(minutes=3)
    print(
        ours,
        theirs,
        first,
        "items",
        [(i["name"], i["values"]["email"]) for i in world.sandbox.items()],
        "records",
        list(Contact.objects.values_list("email", flat=True)),
    )
    assert len(world.sandbox.items()) == 1
    assert Contact.objects.count() == 1
