"""The people and boards with which several demo scripts begin."""

from collections.abc import Iterator

import pytest
from django.conf import settings

from npd.models import Contact, Organization
from tests.story.conftest import own_sandbox
from tests.support.child import Child
from tests.support.sandbox import Sandbox
from tests.support.site import Site

HEROINE = "Zoë Ångström"
STRANGER = "Somebody met at the fair"
FIRMS = {
    "Fjordlight AB": ("Storgatan 14", "Göteborg", "411 38", "Sweden"),
    "Müller & Söhne GmbH": ("Gänsemarkt 3", "Hamburg", "20354", "Germany"),
    "株式会社さくら": ("麻布台 1-3-1", "東京", "106-0041", "Japan"),
}
PEOPLE = (
    (HEROINE, "zoe.angstrom@fjordlight.example", 0, "Purchasing", "+46 31 701 23 45"),
    ("佐藤 さくら", "sakura.sato@sakura.example", 2, "営業部長", "+81 3 6441 0123"),
    ("محمد علي", "mohammed.ali@qalam.example", None, "مدير المشتريات", "+971 4 555 0188"),
    ("Łukasz Wiśniewski", "lukasz@wisniewski.example", 1, "Warehouse manager", "+48 22 555 01 77"),
    ("Nguyễn Thị Hương", "huong.nguyen@lotus.example", None, "Accountant", "+84 24 5550 1234"),
    ("Αθηνά Παπαδοπούλου", "athina@papadopoulou.example", 1, "Architect", "+30 21 0555 0142"),
    ("Олена Коваленко", "olena@kovalenko.example", None, "Editor", "+380 44 555 0119"),
    ("Søren Kjærgaard", "soren@kjaergaard.example", 0, "Site engineer", "+45 32 55 01 16"),
    ("José Martínez Núñez", "jose@martinez.example", None, "Head of logistics", "+34 915 550 173"),
    ("Grace Okonkwo", "grace@okonkwo.example", 2, "Legal counsel", "+44 20 7946 0812"),
)


@pytest.fixture
def sandbox(running_sandbox: list[Child]) -> Iterator[Sandbox]:
    """The sandbox as `make run` starts it: its items link to their records."""
    secret = ("--signing-secret", settings.MONDAY_SIGNING_SECRET)
    with own_sandbox(running_sandbox, "--npd-url", settings.SITE_URL, *secret) as simulator:
        yield simulator


def seed(site: Site) -> None:
    """Both sides are equal except for an email that Monday refuses, a record that is switched off, and a new item."""
    firms = [
        Organization.objects.create(
            name=name, address_street=street, address_city=city, address_zip=code, address_country=country
        )
        for name, (street, city, code, country) in FIRMS.items()
    ]
    for name, email, firm, role, phone in PEOPLE:
        organization = None if firm is None else firms[firm]
        notes = "Prefers e-mail. Orders in spring and autumn." if name == HEROINE else ""
        Contact.objects.create(
            name=name, email=email, organization=organization, role_title=role, phone=phone, notes=notes
        )
    site.wait_for("everybody is on the board", lambda: _count(Contact, "synced") == len(PEOPLE))
    site.wait_for("and every organization", lambda: _count(Organization, "synced") == len(FIRMS))
    _not_in_step("Grace Okonkwo", email='"grace okonkwo"@okonkwo.example')
    _not_in_step("Søren Kjærgaard", sync_enabled=False)
    board = next(board for board in site.sandbox.boards() if board["name"] == "Contacts")
    site.sandbox.act("add", board_id=int(board["id"]), name=STRANGER)
    site.wait_for("an e-mail is held", lambda: _count(Contact, "pending") == 1)


def _count(model: type[Contact] | type[Organization], status: str) -> int:
    return model.objects.filter(sync_status=status).count()


def _not_in_step(name: str, **values: object) -> None:
    contact = Contact.objects.get(name=name)
    for field, value in values.items():
        setattr(contact, field, value)
    contact.save()
