"""A batch is stopped by keyboard while its page asks how far it is; the button goes when nothing waits any more."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from conflicts import batches
from conflicts.admin.batch import batch_url
from conflicts.models import ConflictBatch, SyncConflict
from conflicts.tasks import carry_on_batches
from npd.models import Contact
from tests.admin import states
from tests.conflicts.browsing import open_page, plain_files, press, serious
from tests.conflicts.conftest import PHONE, finding, record

__all__ = ["open_page", "plain_files"]

pytestmark = [pytest.mark.django_db(transaction=True)]


@pytest.fixture
def batch(ada: User) -> ConflictBatch:
    """Confirmed, and not begun."""
    states.boards()
    made = Contact.objects.bulk_create(Contact(name=f"c{n}", monday_id=f"1{n}") for n in range(3))
    record(*(finding(contact, PHONE) for contact in made))
    found = batches.prepare(SyncConflict.objects.all(), "keep_npd", by=ada)
    batches.confirm(found, by=ada, expect=3)
    return found


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_enter_on_stop_here_leaves_the_rest_open(
    open_page: Any, batch: ConflictBatch, width: int, scheme: str
) -> None:
    page, errors = open_page(width, scheme)
    page.goto(batch_url(batch))
    page.get_by_role("button", name="Stop here").focus()
    assert not serious(page)
    press(page, "Enter")
    page.get_by_text("Stopped. 3 conflicts are left as they were").wait_for()
    assert page.get_by_role("button", name="Stop here").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert not SyncConflict.objects.filter(choice__isnull=False).exists()
    assert not errors


def test_the_button_goes_by_itself_when_all_is_stored(open_page: Any, batch: ConflictBatch) -> None:
    page, errors = open_page()
    page.goto(batch_url(batch))
    button = page.get_by_role("button", name="Stop here")
    button.wait_for()
    carry_on_batches()
    button.wait_for(state="hidden")
    assert not errors
