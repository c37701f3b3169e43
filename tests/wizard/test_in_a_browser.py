"""The set-up in a real browser: an empty account by keyboard; a board with foreign titles and 120 items on a phone."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from npd.models import Contact, Organization
from sync.operations.setup.plan import make_plan
from sync.operations.setup.run import advance_setups
from sync.queue import SyncQueueService
from tests.support.clock import move_clock, reset_clock
from tests.support.pages import barriers
from tests.support.sandbox import Sandbox
from tests.support.waiting import beside
from tests.wizard.conftest import mail

pytestmark = [pytest.mark.django_db(transaction=True)]


def by_a_worker(work: Callable[[], Any]) -> None:
    """Do it in another thread with a connection of its own, as a worker does."""
    beside(work).result(120)


@pytest.fixture(autouse=True)
def clock_put_back() -> Iterator[None]:
    """No transaction takes the moved clock back here."""
    yield
    reset_clock()


@pytest.fixture
def plan_tokens(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tokens of the plans that pages have asked for."""
    tokens: list[str] = []
    monkeypatch.setattr("sync.operations.setup.plan.send_task", lambda task, *args: tokens.extend(args))
    return tokens


FOREIGN = (
    ("correo", "Correo electrónico", "email"), ("telefono", "Teléfono", "phone"), ("cargo", "Cargo", "text"),
    ("empresa", "Empresa", "text"), ("notas", "Notas", "long_text"),
)  # fmt: skip


def test_a_foreign_board_of_120_items_on_a_phone(open_page: Any, monday: Sandbox, plan_tokens: list[str]) -> None:
    board = monday.add_board("Contactos", *FOREIGN)
    for number in range(120):
        address = f"p{number}@example.com"
        values = {"correo": mail(address), "empresa": f"Empresa {number % 12}", "cargo": "Directora"}
        monday.act("add", board_id=board, name=f"Persona {number}", values=values)
        if number < 45:
            Contact.objects.create(name=f"Persona {number}", email=address)
    page, errors = open_page(390, "dark")
    page.goto("/admin/sync/boardlink/set-up/boards/")
    page.get_by_label("Board of Contacts").select_option(board)
    page.get_by_role("button", name="Next: Fields").click()
    page.get_by_role("button", name="Next", exact=True).click()
    page.get_by_role("heading", name="Contacts: which field is which column?").wait_for()
    chosen = {
        label: page.get_by_label(f"Column of {label}").input_value() for label in ("Email", "Phone", "Role", "Notes")
    }
    assert chosen == {"Email": "correo", "Phone": "telefono", "Role": "cargo", "Notes": "notas"}
    assert page.get_by_label("Column of Organization").input_value() == "empresa"  # its board is set up with it
    page.get_by_label("Create records from items").check()
    faults = barriers(page)
    page.get_by_role("button", name="Next", exact=True).click()
    page.get_by_role("heading", name="Both sides are being compared", exact=True).wait_for()
    by_a_worker(lambda: make_plan(plan_tokens[0]))
    page.get_by_text("120 records then need attention").wait_for()
    page.get_by_label("Create 12 organizations that NPD doesn't have").check()
    faults += barriers(page)
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_role("heading", name="The set-up is being applied").wait_for()
    by_a_worker(advance_setups)
    # The newest items, too, are older than the minute for which a new item is waited for.
    move_clock(90)
    monday.control("clock", offset_seconds=90)
    for _ in range(3):
        by_a_worker(lambda: SyncQueueService().process(seconds=60))
    assert (Contact.objects.filter(sync_status="synced").count(), Organization.objects.count()) == (120, 12)
    assert len({column["title"] for column in monday.boards()[0]["columns"]}) == len(FOREIGN) + 2
    assert not faults
    assert not errors
