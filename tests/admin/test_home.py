"""Home: what is wrong comes first, each board has a line, and what needs attention is grouped by cause."""

import re
import threading
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django_celery_beat.models import PeriodicTask

from conflicts.models import SyncConflict
from npd.models import Contact
from sync import attention
from sync.clock import sync_now
from sync.models import ApiQuota, BoardLink, Intent, NotificationReceiver, SyncQueue
from sync.outbox import pauses
from sync.registry import entities
from sync.state.record_view import RecordState
from tests.admin import states
from tests.admin.test_records import words_of
from tests.support.clock import move_clock, reset_clock
from tests.support.waiting import in_background
from tests.support.words import said

HOME = "/admin/"
ROWS = "/admin/home/rows/"
CONTACTS = "/admin/npd/contact/"


def html_of(client: Client) -> str:
    answer = client.get(HOME)
    assert answer.status_code == 200
    return answer.content.decode()


def text_of(client: Client) -> str:
    return words_of(html_of(client))


def state_of(client: Client) -> str:
    home = html_of(client).partition('id="npd-home"')[2]
    match = re.search(r'(?:class="npd-stop-causes"|id="npd-home-state")[^>]*>(.*?)</div>', home, re.DOTALL)
    return re.sub(r"\s+", " ", words_of(match[1])).strip() if match else ""


def badges_of(client: Client) -> list[str]:
    lines = sorted(client.get(HOME).context["boards"], key=lambda line: line.title, reverse=True)
    return [words_of(line.badge).split()[-1] for line in lines]


# The first line


def test_the_first_line_says_what_is_wrong_first(browser: Client, settings: Any) -> None:
    assert "Nothing is written before “Start”. NPD has no records yet." in state_of(browser)
    settings.MONDAY_CONTACTS_BOARD_ID = "70002"
    assert "The board 70002 of MONDAY_CONTACTS_BOARD_ID isn't set up yet: run manage.py monday_setup" in text_of(
        browser
    ).replace("`", "")
    settings.MONDAY_CONTACTS_BOARD_ID = ""
    states.boards()
    states.synced("Ina", "5000")
    assert state_of(browser).startswith("All is well")
    due = states.waiting("Due")
    retried = SyncQueue.objects.filter(entity_id=due.pk)
    waits = r"1 change waits for another attempt, in [45] minutes"
    assert re.fullmatch(rf"Sync runs; 1 record is pending {waits}\.", state_of(browser))
    states.conflicting("Ann", "5001")
    assert re.fullmatch(rf"1 thing needs attention; {waits} That holds up 1 record\.", state_of(browser))
    retried.update(error_message="", attempts=0, next_retry=sync_now())
    assert state_of(browser) == "1 thing needs attention; everything else syncs as usual That holds up 1 record."
    states.dead("Ben")
    assert state_of(browser) == "2 things need attention; everything else syncs as usual That holds up 2 records."
    SyncQueue.objects.filter(entity_id=due.pk).update(
        next_retry=sync_now() - timedelta(hours=2), created_at=sync_now() - timedelta(hours=2)
    )
    assert state_of(browser).startswith("Nothing is synced: changes have waited for 2 hours")
    assert "no worker has taken the board" in html_of(browser).lower()
    PeriodicTask.objects.filter(task="sync.sweep").update(enabled=False)
    assert state_of(browser).startswith("Changes may wait for ever")
    PeriodicTask.objects.update(enabled=True)
    pauses.pause("anna", why="Clean-up")
    assert re.match(r"Paused by anna ?, since .* Clean-up", state_of(browser))
    assert badges_of(browser) == ["Paused", "Paused"]
    pauses.resume("anna")
    states.stop_board(reason=said("Monday is not available (HTTP 503). Nothing is lost."))
    assert state_of(browser).startswith("Sync of Organizations is stopped: Monday is not available.")
    assert badges_of(browser) == ["Stopped", "Syncing"]


@pytest.mark.django_db(transaction=True)
def test_a_transaction_that_stays_open_is_said_for_those_who_read_changes(browser: Client) -> None:
    states.boards()
    stored, go_on = threading.Event(), threading.Event()

    def write_for_long() -> None:
        with transaction.atomic():
            Contact.objects.create(name="Bo")
            stored.set()
            go_on.wait(30)

    writing = in_background(write_for_long)
    stored.wait(30)
    before = state_of(browser)
    move_clock(timedelta(minutes=11))
    try:
        assert state_of(browser).startswith("A transaction has been open for 11 minutes")
    finally:
        reset_clock()
        go_on.set()
        writing.result(30)
    assert before.startswith("All is well")


@pytest.mark.parametrize("ahead", [180, -180])
def test_a_clock_far_from_mondays_is_said_before_edits_are_missed(browser: Client, ahead: int) -> None:
    states.boards()
    ApiQuota.objects.update_or_create(defaults={"monday_ahead": ahead})
    assert state_of(browser).startswith("A server's clock is wrong: edits may be missed until it is set")
    assert "clock is 3 minutes" in html_of(browser)
    ApiQuota.objects.update(monday_ahead=30)
    assert state_of(browser).startswith("All is well")


def test_sync_is_paused_from_home_while_it_is_stopped_too(browser: Client) -> None:
    states.boards()
    for spec in entities():
        states.stop_board(spec.entity_type, reason=said("Monday is not available (HTTP 503). Nothing is lost."))
    assert html_of(browser).count("Pause…") == 1
    pauses.pause("anna")
    assert "Pause…" not in html_of(browser)


def test_a_new_installation_has_one_button_that_is_its_next_step(browser: Client, settings: Any) -> None:
    def button() -> list[str]:
        state = html_of(browser).partition('aria-label="State"')[2].partition("</section>")[0]
        return re.findall(r'class="npd-button npd-button-main"\s+href="([^"]+)"', state)

    for key in ("", "token-that-no-page-may-show"):
        settings.MONDAY_API_KEY = key
        assert button() == [reverse("admin:sync_wizard_connect")]
        assert state_of(browser).startswith("Not set up")
        assert "npd-badge-bad" not in html_of(browser)
    states.boards()
    BoardLink.objects.update(board_id="", last_pass_at=sync_now())
    assert button() == [reverse("admin:sync_wizard_boards")]
    setup = {"state": "running", "started": sync_now().isoformat()}
    BoardLink.objects.filter(entity_type="contact").update(setup=setup)
    assert button() == [reverse("admin:sync_wizard_run")]


# The boards


def test_a_boards_line_counts_as_the_lists_behind_its_numbers(browser: Client, world: dict[str, Any]) -> None:
    html = html_of(browser)
    assert 'npd-badge-"' not in html, "a badge has a colour"
    urls = {unescape(url) for url in re.findall(r'href="(/admin/npd/contact/\?sync_state=[^"]+)"', html)}
    lines = {line.title: line for line in browser.get(HOME).context["boards"]}
    figures = {label: number for label, number, _url in lines["Contacts"].figures}
    states_of_labels = {state.label.lower(): state.value for state in RecordState}
    assert urls == {f"{CONTACTS}?sync_state={state}" for state in states_of_labels.values()}
    for label, state in states_of_labels.items():
        assert len(browser.get(f"{CONTACTS}?sync_state={state}").context["cl"].result_list) == figures[label]
    records = figures.pop("records")
    assert records == sum(figures.values()) == len(browser.get(CONTACTS).context["cl"].result_list)


def test_a_first_load_says_how_many_are_done_how_long_it_takes_and_how_many_calls_are_used(browser: Client) -> None:
    states.boards()
    started = sync_now() - timedelta(minutes=40)
    boards = BoardLink.objects.filter(entity_type="contact")
    boards.update(setup={"state": "running", "started": started.isoformat()})
    on_its_way = states.waiting("On its way")
    synced_before = started - timedelta(days=9)  # with the board before
    not_asked = states.synced("Synced before", "5200")
    held = states.waiting("Held back")  # its pass has ended, with a reason
    made = states.waiting("Made")  # its webhooks aren't checked yet
    Contact.objects.filter(pk=made.pk).update(monday_id="5300")
    SyncQueue.objects.filter(entity_id__in=[held.pk, made.pk]).delete()
    for record in (on_its_way, not_asked, held, made):
        Contact.objects.filter(pk=record.pk).update(created_at=started, monday_last_synced=synced_before)
    for number in range(19):
        states.synced(f"Done {number}", f"50{number}")
    assert "First load" not in html_of(browser), "the set-up isn't done"
    boards.update(setup={"state": "done", "started": started.isoformat()})
    assert "19 of 21" in text_of(browser)
    assert "left" not in text_of(browser), "too few are finished to say how long the others take"
    states.synced("The twentieth", "5100")
    limits = {"day_limit": 10_000, "day": sync_now().date(), "day_calls": 123}
    ApiQuota.objects.update_or_create(id=1, defaults=limits)
    text = re.sub(r"\s+", " ", text_of(browser))
    assert re.search(r"20 of 22 ?, about 4 minutes left", text)
    assert "123 of today's 10,000 calls to Monday are used." in text
    Contact.objects.filter(pk__in=[on_its_way.pk, made.pk]).update(monday_last_synced=sync_now())
    states.waiting("Added later")
    assert "First load" not in html_of(browser), "later edits and new records are no part of the load"


# What needs attention


def test_a_conflict_opens_from_its_groups_button_the_oldest_first(browser: Client) -> None:
    states.boards()
    _, first = states.conflicting("Ann", "5001")
    states.conflicting("Ben", "510")
    SyncConflict.objects.filter(pk=first.pk).update(detected_at=sync_now() - timedelta(days=2))
    screen = reverse("admin:conflicts_syncconflict_screen", args=[first.pk])
    [box] = browser.get(HOME).context["boxes"]
    [main, *menu] = box.buttons
    assert (main.label, main.url) == ("Resolve", screen)
    assert [button.code for button in menu] == ["keep_npd", "keep_monday"]


def test_a_boards_problem_opens_the_boards_page_from_its_group(browser: Client, world: dict[str, Any]) -> None:
    link = BoardLink.objects.get(entity_type="contact")
    BoardLink.objects.filter(pk=link.pk).update(
        silence=said("No webhook since Tuesday."), stops={"create": {"reason": said("No.")}}
    )
    entries = attention.entries(attention.waiting(kinds=[attention.Kind.BOARD]))
    assert [entry.url for entry in entries] == [f"/admin/sync/boardlink/{link.pk}/change/"] * 2
    assert f'href="/admin/sync/boardlink/{link.pk}/change/"' in html_of(browser)
    buttons = {box.group.code: [button.label for button in box.buttons] for box in browser.get(HOME).context["boxes"]}
    assert buttons["silence"] == ["Open the board"]
    assert buttons["refused_create"] == ["Open the board", "Try again now"], "somebody may have made room"
    assert "That holds up" not in state_of(browser), "how many pending records that are isn't counted"


def test_a_board_that_creates_nothing_is_one_thing_with_the_items_in_its_way(browser: Client) -> None:
    states.boards()
    BoardLink.objects.filter(entity_type="contact").update(creates_held=said("Nobody can be recognized."))
    for number in range(2):
        states.unmatched(f"70{number}", "creates_held")
    page = browser.get(HOME)
    [box] = page.context["boxes"]
    assert "1 thing needs attention" in text_of(browser)
    assert (box.group.count_text, len(box.rows)) == ("2 items", 3)
    codes = {button.code for button in box.buttons}
    assert {"check_column", "create_anyway", "create_record", "ignore"} <= codes


def test_a_call_that_a_worker_is_making_is_no_failed_attempt(browser: Client) -> None:
    states.boards()
    due = states.waiting("Due")
    SyncQueue.objects.filter(entity_id=due.pk).update(error_message="", attempts=0, next_retry=sync_now())
    deadline = sync_now() + timedelta(minutes=2)
    Intent.objects.create(entity_type="contact", entity_id=due.pk, board_id="70002", deadline=deadline, state="open")
    assert "another attempt" in state_of(browser)
    SyncQueue.objects.create(entity_type="contact", entity_id=due.pk, status="in_progress")
    assert "another attempt" not in state_of(browser)


def test_one_decision_about_many_records_is_one_thing(browser: Client) -> None:
    states.boards()
    for name in ("Ann", "Ben", "Cid"):
        states.dead(name, error="Monday is out of order.")
    assert len(browser.get(HOME).context["boxes"]) == 1
    assert state_of(browser).startswith("1 thing needs attention;")
    assert "That holds up 3 records." in state_of(browser)


def test_each_group_says_how_long_ago_it_was(browser: Client) -> None:
    states.boards()
    for name, error in (("Ann", "Monday is out of order."), ("Ben", "Monday is out of order."), ("Cid", "No answer.")):
        states.dead(name, error=error)
    SyncQueue.objects.update(finished_at=sync_now() - timedelta(hours=8), last_attempt=sync_now() - timedelta(hours=8))
    assert len(browser.get(HOME).context["boxes"]) == 2
    assert text_of(browser).count(" ago") == 2


def test_each_row_says_how_long_ago_it_was_unless_its_heading_does(browser: Client) -> None:
    states.boards()
    _, oldest = states.conflicting("Ann", "5001")
    for number, name in enumerate(("Ben", "Cid")):
        states.conflicting(name, f"51{number}")
    SyncConflict.objects.update(detected_at=sync_now() - timedelta(hours=2))
    SyncConflict.objects.filter(pk=oldest.pk).update(detected_at=sync_now() - timedelta(hours=8))
    page = html_of(browser)
    assert (page.count(">8 hours ago<"), page.count(">2 hours ago<")) == (1, 2)
    [box] = browser.get(HOME).context["boxes"]
    rows = browser.get(ROWS, {"cause": box.group.cause}).content.decode()
    assert (rows.count(">8 hours ago<"), rows.count(">2 hours ago<")) == (0, 2)


def test_of_many_groups_home_lists_fifty_and_counts_all(browser: Client) -> None:
    states.boards()
    for number in range(52):
        states.dead(f"Dead {number}", error=f"Refused in way {chr(65 + number // 26)}{chr(65 + number % 26)}.")
    answer = browser.get(HOME)
    assert len(answer.context["boxes"]) == 50
    assert "52 things need attention" in text_of(browser)
    assert "2 more appear here as these are done." in text_of(browser)


def test_a_group_opens_to_its_rows_in_pages_of_fifty(browser: Client) -> None:
    states.boards()
    for number in range(61):
        states.dead(f"Dead {number:02}")
    [box] = browser.get(HOME).context["boxes"]
    assert (box.is_open, len(box.rows)) == (False, 0)
    first = browser.get(box.more_url).content.decode()
    assert first.count("data-row") == 50
    more = unescape(re.findall(r'hx-get="([^"]+)"', first)[0])
    last_page = browser.get(more).content.decode()
    assert (last_page.count("data-row"), "Show more" in last_page) == (11, False)
    for odd in ("", "?cause=x&p=9", "?cause=%00", "?p=-1"):
        assert "data-row" not in browser.get(f"{ROWS}{odd}").content.decode()
    # A cause named in the address is unfolded.
    assert "Dead 03" in browser.get(HOME, {"cause": box.group.cause}).content.decode()


def test_nobody_is_told_what_they_may_not_see(client: Client, world: dict[str, Any]) -> None:
    reader = User.objects.create_user("reader", password="x", is_staff=True)
    client.force_login(reader)
    NotificationReceiver.objects.create(
        user=reader, frequency="daily", failed_since=sync_now(), problem=said("It is gone.")
    )
    text = text_of(client)
    assert "There is nothing that you may see." in text
    assert not any(word in text for word in ("Contacts", "conflict", "Notifications by email"))
