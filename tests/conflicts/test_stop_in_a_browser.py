"""A batch is stopped by keyboard while its page asks how far it is; the button goes when nothing waits any more."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from conflicts import bulk_resolution
from conflicts.admin.bulk_pages import batch_url
from conflicts.models import ConflictBatch, SyncConflict
from conflicts.tasks import carry_on_batches
from npd.models import Contact
from tests.admin import states
from tests.conflicts.conftest import PHONE, finding, record
from tests.support.pages import barriers, press

pytestmark = [pytest.mark.django_db(transaction=True)]


@pytest.fixture
def batch(ada: User) -> ConflictBatch:
    """Confirmed, and not begun."""
    states.boards()
    made = Contact.objects.bulk_create(Contact(name=f"c{n}", monday_id=f"1{n}") for n in range(3))
    record(*(finding(contact, PHONE) for contact in made))
    found = bulk_resolution.prepare_batch(SyncConflict.objects.all(), "keep_npd", by=ada)
    bulk_resolution.confirm_batch(found, by=ada, expected_count=3)
    return found


def test_enter_on_stop_here_leaves_the_rest_open(open_page: Any, batch: ConflictBatch) -> None:
    page, errors = open_page(390, "dark")
    page.goto(batch_url(batch))
    page.get_by_role("button", name="Stop here").focus()
    assert not barriers(page)
    press(page, "Enter")
    page.get_by_text("Stopped. 3 conflicts are left as they were").wait_for()
    assert page.get_by_role("button", name="Stop here").count() == 0
    assert not SyncConflict.objects.filter(choice__isnull=False).exists()
    assert not errors


def test_a_batch_that_ends_while_the_button_is_on_its_way_does_not_cut_it_off(
    open_page: Any, batch: ConflictBatch
) -> None:
    page, errors = open_page()
    answered: list[tuple[Any, Any]] = []
    cut_off: list[str] = []
    page.on("requestfailed", lambda request: cut_off.append(request.method))

    def hold(route: Any) -> None:
        if route.request.method == "POST":
            answered.append((route, route.fetch(max_redirects=0)))
        else:
            route.continue_()

    page.route("**" + batch_url(batch), hold)
    page.goto(batch_url(batch))
    page.get_by_role("button", name="Stop here").focus()
    with page.expect_response(lambda told: bool(answered) and told.url.endswith("/progress/")) as told:
        press(page, "Enter")
    told.value.finished()
    [(route, answer)] = answered
    route.fulfill(response=answer)
    page.get_by_text("Stopped. 3 conflicts are left as they were").wait_for()
    assert not errors
    assert cut_off == []


def test_the_button_goes_by_itself_when_all_is_stored(open_page: Any, batch: ConflictBatch) -> None:
    page, errors = open_page()
    page.goto(batch_url(batch))
    button = page.get_by_role("button", name="Stop here")
    button.wait_for()
    carry_on_batches()
    button.wait_for(state="hidden")
    assert not errors
