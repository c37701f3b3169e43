"""The tour: the demo is played, and each screen pictured. `make pictures` keeps them, and writes docs/tour.md."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.urls import reverse
from playwright.sync_api import Page, expect

from conflicts.models import SyncConflict
from npd.models import Contact
from sync.models import ApprovalRequest, BoardLink
from tests.story.conftest import worker_asleep
from tests.story.pictures import SIZES, WANTED, changed_since, dress, note
from tests.story.seed import HEROINE, sandbox, seed
from tests.story.tour_page import PAGE, PICTURES, SCREENS, Screen, text
from tests.support.site import Site

__all__ = ["sandbox"]

LARGEST = 200_000  # bytes of a picture
TOGETHER = 4_000_000
EDITS = (
    (HEROINE, "role_title", "Director of purchasing", "Chief buyer"),
    (HEROINE, "notes", "Prefers e-mail. Orders in spring.", "Prefers e-mail. Orders in spring and in June."),
    ("Łukasz Wiśniewski", "role_title", "Head of the warehouse", "Warehouse and transport"),
    ("Nguyễn Thị Hương", "role_title", "Senior accountant", "Controller"),
    ("Αθηνά Παπαδοπούλου", "role_title", "Partner", "Lead architect"),
)
FILE = (
    "Name,Email,Phone,Organization\n"
    "Zoë Ångström,zoe.angstrom@fjordlight.example,+46 31 701 99 00,Fjordlight AB\n"
    "Ingrid Halvorsen,ingrid@halvorsen.example,+47 22 55 01 00,Fjordlight AB\n"
    "Tomás Ó Briain,tomas.example,,\n"
)


def test_the_tour_shows_every_screen(site: Site, admin_page: Page, tmp_path: Path) -> None:
    folder = PICTURES if WANTED else tmp_path
    folder.mkdir(exist_ok=True)
    if WANTED:
        for old in folder.glob("*.png"):
            old.unlink()
    seed(site)
    both_sides_edit(site)
    many_fields_are_emptied(site)
    for number, screen in enumerate(SCREENS):
        WAYS[screen.name](site, admin_page)
        if WANTED or not number:  # one shows that pictures can be taken; the others would be thrown away
            picture(admin_page, screen, folder)
            assert {path.name for path in folder.glob(f"{screen.name}-*.png")} == set(screen.files())
        if WANTED:
            note(admin_page)
    if WANTED:
        PAGE.write_text(text())


def test_the_page_is_the_scripts_and_every_picture_is_there_and_small() -> None:
    assert PAGE.read_text() == text(), "run: make pictures"
    sizes = {path.name: path.stat().st_size for path in PICTURES.glob("*.png")}
    assert set(sizes) == {name for screen in SCREENS for name in screen.files()}
    assert not {name: size for name, size in sizes.items() if size > LARGEST}
    assert sum(sizes.values()) < TOGETHER


def test_the_pictured_pages_are_as_they_were_when_the_pictures_were_taken() -> None:
    assert not changed_since(), "these have changed since, so run: make pictures"


def both_sides_edit(site: Site) -> None:
    """The same fields on both sides, faster than the worker."""
    with worker_asleep(site):
        for name, field, here, there in EDITS:
            contact = Contact.objects.get(name=name)
            setattr(contact, field, here)
            contact.save()
            site.sandbox.act("edit", item_id=contact.monday_id, column_id=field, text=there)
    people = {name for name, *_ in EDITS}
    site.wait_for("all are in conflict", lambda: SyncConflict.objects.filter(resolved_at=None).count() == len(people))


def many_fields_are_emptied(site: Site) -> None:
    """As a script does that went wrong: it waits for approval. A worker whose limit is for so few people."""
    with site.processes.with_variables(SYNC_GUARD_RECORDS="3"):
        site.processes.work()
        with worker_asleep(site):
            number = Contact.objects.filter(sync_status="synced").exclude(phone="").update(phone="")
        site.wait_for("all wait", lambda: ApprovalRequest.objects.filter(state="pending").count() == number)


def opened(path: str) -> Callable[[Site, Page], None]:
    """A way to a screen that has an address of its own."""

    def go(site: Site, page: Page) -> None:
        page.goto(path)

    return go


def to_record(site: Site, page: Page) -> None:
    person = Contact.objects.get(name="José Martínez Núñez")
    page.goto(reverse("admin:npd_contact_change", args=[person.pk]))


def to_conflict(site: Site, page: Page) -> None:
    person = Contact.objects.get(name=HEROINE)
    conflict = SyncConflict.objects.get(entity_id=person.pk, resolved_at=None)
    page.goto(reverse("admin:conflicts_syncconflict_screen", args=[conflict.pk]))
    expect(page.locator(".cfl-current")).to_have_count(1)  # the page listens to keys
    page.keyboard.press("1")


def to_wizard(site: Site, page: Page) -> None:
    to_mapping(site, page)
    page.get_by_role("button", name="Set up…").click()
    page.wait_for_url("**/fields/contact/")


def to_import(site: Site, page: Page) -> None:
    page.goto("/admin/npd/contact/import/")
    file: Any = {"name": "fair.csv", "mimeType": "text/csv", "buffer": FILE.encode()}
    page.locator("input[type=file]").set_input_files(files=[file])
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("button", name="Import")).to_be_visible()


def to_mapping(site: Site, page: Page) -> None:
    link = BoardLink.objects.get(entity_type="contact")
    page.goto(reverse("admin:sync_boardlink_change", args=[link.pk]))


def to_board(site: Site, page: Page) -> None:
    board = next(board for board in site.sandbox.boards() if board["name"] == "Contacts")
    page.goto(f"{site.sandbox.url}/board/{board['id']}")


WAYS: dict[str, Callable[[Site, Page], None]] = {
    "health": opened("/admin/"),
    "inbox": opened("/admin/inbox/"),
    "contacts": opened("/admin/npd/contact/"),
    "record": to_record,
    "conflict": to_conflict,
    "import": to_import,
    "mapping": to_mapping,
    "wizard": to_wizard,
    "decisions": opened("/admin/sync/decision/"),
    "board": to_board,
}


def picture(page: Page, screen: Screen, folder: Path) -> None:
    """Take the pictures of a screen as it stands."""
    for look in screen.looks:
        width, scheme = look.split("-")
        dress(page, int(width), SIZES[int(width)], scheme)
        page.screenshot(path=folder / f"{screen.name}-{look}.png", animations="disabled")
    dress(page, 1280, SIZES[1280], "light")
