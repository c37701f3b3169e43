"""The engine's own pages (queue, boards, journal): what may be changed there and what may not."""

import re
from typing import Any

from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from conflicts.models import SyncConflict
from sync import addresses
from sync.admin.admin_base import ReadOnlyAdmin
from sync.attention import Kind, cause_of
from sync.clock import sync_now
from sync.kernel.acts import ACTS
from sync.models import ApiToken, BoardLink, IgnoredItem, Intent, SyncMetadata, SyncQueue
from tests.admin import states
from tests.admin.all_pages import furnish
from tests.admin.forms import answer_to_question
from tests.admin.test_records import words_of
from tests.support.people import signed_in, staff_who_may
from tests.support.words import said


def test_what_the_engine_writes_can_only_be_read(browser: Client, world: dict[str, Any], person: User) -> None:
    furnish(world, person)
    for model, model_admin in admin.site._registry.items():
        if isinstance(model_admin, ReadOnlyAdmin) and model not in (
            ApiToken,
            SyncConflict,
        ):  # made and resolved by people
            stem = f"admin:{model._meta.app_label}_{model._meta.model_name}"
            row = [model._default_manager.values_list("pk", flat=True)[0]]
            assert browser.post(reverse(f"{stem}_change", args=row), {"status": "completed"}).status_code == 403
            assert browser.post(reverse(f"{stem}_delete", args=row), {"post": "yes"}).status_code == 403
            assert browser.get(reverse(f"{stem}_add")).status_code == 403, stem


def test_sync_states_and_writes_name_their_records_and_only_deleted_ones_as_deleted(browser: Client) -> None:
    ann = states.synced("Ann", "5001")
    states.synced("Ben", "5002").delete()
    for record_id in SyncMetadata.objects.values_list("entity_id", flat=True):
        Intent.objects.create(entity_type="contact", entity_id=record_id, deadline=sync_now())
    for stem in ("syncmetadata", "intent"):
        html = browser.get(f"/admin/sync/{stem}/").content.decode()
        assert html.count("Deleted") == 1, stem
        assert f'href="{addresses.record_url("contact", ann.pk)}"' in html


def test_an_ignored_item_is_considered_again(browser: Client, world: dict[str, Any]) -> None:
    refused = IgnoredItem.objects.create(entity_type="contact", item_id="8001", reason=said("It has no name."))
    act = {"action": "consider_again", "_selected_action": [refused.pk]}
    address = reverse("admin:sync_ignoreditem_changelist")
    question = browser.post(address, act).content.decode()
    assert "It has no name." in words_of(question)
    assert IgnoredItem.objects.exists()
    answer = browser.post(address, answer_to_question(question), follow=True)
    assert "1 item will be checked again." in words_of(answer.content.decode())
    assert not IgnoredItem.objects.exists()
    assert SyncQueue.objects.get(remote_id="8001").status == "pending"


def test_who_may_not_change_a_board_reads_its_columns_by_their_titles(client: Client, world: dict[str, Any]) -> None:
    client.force_login(staff_who_may("view_boardlink", "view_fieldmapping"))
    link = BoardLink.objects.get(entity_type="contact")
    columns = {"role_title": {"title": "Position"}, "phone": {"title": "Tel", "gone": True}}
    BoardLink.objects.filter(pk=link.pk).update(shape={"columns": columns})
    html = client.get(f"/admin/sync/boardlink/{link.pk}/change/").content.decode()
    assert "Position" in html
    assert "Tel, deleted on the board" in html
    assert "role_title" not in html
    assert {"Column", "Direction", "If both changed"} <= set(re.findall(r'data-label="([^"]+)"', html))


def test_a_boards_page_has_what_waits_about_it_in_the_words_of_home(browser: Client, world: dict[str, Any]) -> None:
    link = BoardLink.objects.get(entity_type="contact")
    stop = {"reason": "Your plan has no more items.", "since": sync_now().isoformat()}
    problems_of_board = {
        "npd_id_problem": "NPD ID is gone.",
        "creates_held": "Nobody.",
        "webhooks_problem": "No webhook.",
    }
    BoardLink.objects.filter(pk=link.pk).update(stops={"create": stop}, **problems_of_board)
    link.mappings.filter(key__in=["email", "phone"]).update(problem=said("The column was deleted."))
    page = browser.get(f"/admin/sync/boardlink/{link.pk}/change/")
    problems = {entry.code: (entry.title, entry.own_detail) for entry, _, _ in page.context["problems"]}
    assert problems.keys() == {"npd_id", "creates_held", "webhooks", "refused_create", "column"}
    assert problems["webhooks"] == (cause_of(Kind.BOARD, "webhooks").title, "No webhook.")
    assert problems["refused_create"][1] == stop["reason"]
    labels = {entry.code: [button.label for button in buttons] for entry, _, buttons in page.context["problems"]}
    assert labels["creates_held"] == [ACTS["check_column"].label, "Create new ones anyway"]
    assert labels["column"] == [ACTS["check_column"].label]
    assert (labels["refused_create"], labels["webhooks"]) == (["Try again now"], [])
    assert page.content.decode().count(cause_of(Kind.BLOCKED, "column").sentence.partition("(")[0]) == 1
    looker = staff_who_may("view_boardlink", "view_fieldmapping")
    seen = signed_in(looker).get(f"/admin/sync/boardlink/{link.pk}/change/").context["problems"]
    assert [buttons for _, _, buttons in seen] == [[]] * 6
    # Without the right to view a record's blocked fields no act on them is offered.
    mapper = staff_who_may("view_boardlink", "change_boardlink", "change_fieldmapping", name="mapper")
    seen = signed_in(mapper).get(f"/admin/sync/boardlink/{link.pk}/change/").context["problems"]
    assert [len(buttons) for entry, _, buttons in seen if entry.kind is Kind.BLOCKED] == [0, 0]


def test_the_schedule_is_said_in_the_largest_unit_that_fits(browser: Client, db: None) -> None:
    PeriodicTask.objects.update_or_create(
        name="sync.test", defaults={"interval": IntervalSchedule.objects.create(every=600, period="seconds")}
    )
    for page in ("periodictask", "intervalschedule"):
        html = browser.get(f"/admin/django_celery_beat/{page}/").content.decode()
        assert ("every 10 minutes" in html, "600 seconds" in html) == (True, False)
