"""The whole way from what needs attention to a mail server and a chat; and receivers that fail."""

import json
import random
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection

from sync import attention
from sync.attention import Kind
from sync.choices import UnmatchedReason
from sync.clock import sync_now
from sync.kernel.secret_texts import decrypt
from sync.models import BoardLink, Notification, NotificationReceiver, SyncMetadata, SyncQueue
from sync.models.attention import Frequency
from sync.operations import retention
from sync.operations.notifications import add_chat, choose, notify_people, send_test
from sync.tasks import notify
from tests.admin import states
from tests.notifications.conftest import SLACK, TOKEN, Chats
from tests.support.clock import reset_clock, stop_clock
from tests.support.receivers import MailServer
from tests.support.waiting import at_once, wait_for

pytestmark = pytest.mark.django_db(transaction=True)
MORNING = datetime(2026, 11, 26, 9, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def boards(db: None, settings: Any) -> Iterator[None]:
    """Set up the boards, and reset the clock afterwards."""
    settings.MONDAY_API_KEY = "a token"
    states.boards()
    stop_clock(MORNING)
    yield
    reset_clock()


def later(**span: float) -> None:
    stop_clock(sync_now() + timedelta(**span))


def notified_after(**span: float) -> None:
    later(**span)
    notify_people()


@pytest.fixture
def ada() -> User:
    return User.objects.create_superuser("ada", "ada@example.com", "x", first_name="Ada")


def fails(name: str, error: str = "Monday has no room for “x”.") -> SyncQueue:
    record = states.synced(name, f"5{SyncQueue.objects.count():03d}{name}")
    return SyncQueue.objects.create(
        entity_type="contact", entity_id=record.pk, direction="to_monday", status="failed", error_message=error,
        last_attempt=sync_now(),
    )  # fmt: skip


def subjects(mail: MailServer) -> list[str]:
    return [str(message["Subject"]) for message in mail.mails]


def text(mail: MailServer, number: int = -1) -> str:
    return mail.mails[number].get_content().replace("\r\n", "\n")


def test_each_thing_comes_once_by_its_cause_with_a_link(ada: User, mail: MailServer, settings: Any) -> None:
    settings.SITE_URL = "https://npd.example.org"
    jobs = [fails("Ann"), fails("Bob", "Monday has no room for “y”."), fails("Cid", "Another thing.")]
    choose(ada, Frequency.AT_ONCE)
    for _ in range(3):
        notify.apply().get()
        later(minutes=6)
    assert subjects(mail) == ["NPD Sync: 2 things need attention"]
    assert mail.recipients == ["ada@example.com"]
    assert mail.mails[0]["Auto-Submitted"] == "auto-generated"
    assert "2 changes fail: Monday has no room for" in text(mail)
    assert "1 change fails: Another thing." in text(mail)
    for job, name in zip(jobs, ("Ann", "Bob", "Cid"), strict=True):
        assert f"  - {name}: https://npd.example.org/admin/npd/contact/{job.entity_id}/change/\n" in text(mail)
    assert "https://npd.example.org/admin/notifications/" in text(mail)
    fails("Dan")
    notify_people()
    assert "1 change fails: Monday has no room for" in subjects(mail)[1]
    assert "Dan" in text(mail)
    assert "Ann" not in text(mail)


def test_what_follows_the_first_within_minutes_comes_in_one_message(ada: User, mail: MailServer) -> None:
    """A test message doesn't count as the first, and delays none."""
    receiver = choose(ada, Frequency.AT_ONCE)
    send_test(receiver)
    mail.mails.clear()
    fails("Ann")
    notify_people()
    for name in ("Bob", "Cid"):
        fails(name)
        notified_after(minutes=2)
    assert len(mail.mails) == 1
    notified_after(minutes=1)
    assert "2 changes fail" in subjects(mail)[1]


def test_each_thing_is_said_once_by_many_tasks(ada: User, mail: MailServer, chats: Chats) -> None:
    """Messages fail at random, yet all of it is said in the end."""
    dice = random.Random(2)
    choose(ada, Frequency.AT_ONCE)
    add_chat("ops", SLACK, Frequency.AT_ONCE)
    number = 0
    for _ in range(30):
        match dice.randrange(5):
            case 0:
                number += 1
                fails(f"Person{number:02}x", f"Cause {'abcdefghijklmnopqrstuvwxyz'[number % 26]}.")
            case 1:
                notify_people()
            case 2:
                at_once(notify_people, notify_people, notify_people)
            case 3:
                later(minutes=dice.choice((1, 6, 70)))
            case 4:
                mail.busy = dice.random() < 0.3
                chats.status = dice.choice((200, 200, 500))
    mail.busy = False
    chats.status = 200
    refused = len(chats.posted)
    for _ in range(2):
        notified_after(hours=2)
    names = Counter(name for index in range(len(mail.mails)) for name in text(mail, index).split() if "Person" in name)
    assert names == {f"Person{index:02}x:": 1 for index in range(1, number + 1)}
    assert len(chats.posted) - refused <= 1
    assert Notification.objects.count() == 2 * number


def test_what_comes_again_later_is_news_but_not_what_was_gone_for_a_moment(ada: User, mail: MailServer) -> None:
    job = fails("Ann")
    choose(ada, Frequency.AT_ONCE)
    notify_people()
    for minutes, number in ((5, 1), (20, 2)):
        SyncQueue.objects.filter(pk=job.pk).update(status="pending")
        notify_people()
        notified_after(minutes=minutes)
        SyncQueue.objects.filter(pk=job.pk).update(status="failed")
        notify_people()
        assert len(mail.mails) == number


def test_many_items_removed_by_one_person_are_one_line_or_none_if_back(ada: User, mail: MailServer) -> None:
    stop_clock(datetime.now(UTC))  # by which the states are made
    gone = [states.removed(f"Gone {number}", f"6{number:03}") for number in range(12)]
    choose(ada, Frequency.AT_ONCE)
    notify_people()
    assert not mail.mails
    items = SyncMetadata.objects.filter(entity_id__in=[str(contact.pk) for contact in gone])
    removal = items.values("removed_since", "remote_state").first()
    items.update(removed_since=None, remote_state="")
    notified_after(minutes=1)
    assert not mail.mails
    items.update(**removal)
    notified_after(minutes=3)
    assert subjects(mail) == ["NPD Sync: 12 removed items: Archived on the board by Maya Lind"]
    assert text(mail).count("and 8 more") == 1


def test_an_item_that_is_matched_by_itself_a_moment_later_is_no_news_but_one_that_needs_a_person_is(
    ada: User, mail: MailServer
) -> None:
    codes = (UnmatchedReason.NO_KEY_YET, UnmatchedReason.NO_KEY_YET, UnmatchedReason.INVALID)
    linked, waits, _wrong = [
        states.unmatched(f"80{number}", code, name=f"Item {number}", first_seen=MORNING)
        for number, code in enumerate(codes)
    ]
    choose(ada, Frequency.AT_ONCE)
    notify_people()
    assert "Item 2" in text(mail)
    assert "Item 0" not in text(mail)
    linked.delete()
    notified_after(minutes=6)
    assert [waits.name in text(mail), linked.name in text(mail)] == [True, False]


def test_a_stop_a_difference_and_an_approval_are_said(ada: User, mail: MailServer) -> None:
    choose(ada, Frequency.AT_ONCE)
    states.stop_account(sync_now() + timedelta(days=1), "Monday rejects the token. Enter another.", code="token")
    notify_people()
    assert not mail.mails  # it may go on by itself
    notified_after(minutes=2)
    assert subjects(mail) == ["NPD Sync: Sync is stopped: Monday rejects the token."]
    BoardLink.objects.filter(entity_type="contact").update(
        verified_at=sync_now(), verified_records=50, differed_records=2
    )
    states.approval(states.contact("Eve"), "items")
    notified_after(minutes=6)
    assert "A difference was found: Contacts: 2 of 50 checked records" in text(mail)
    assert "Approve: archive 1 item on Monday" in text(mail)
    assert len(mail.mails) == 2


def test_a_message_that_a_silent_server_has_is_not_sent_again_one_that_it_has_not_is(
    ada: User, mail: MailServer, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EMAIL_TIMEOUT = 0.2
    monkeypatch.setattr("sync.kernel.mails.ANSWER_SECONDS", 0.2)
    choose(ada, Frequency.AT_ONCE)
    fails("Ann")
    mail.hangs_at = "DATA"
    notify_people()
    assert "did not take the message" in NotificationReceiver.objects.get().problem
    mail.hangs_at = "END"
    for _attempt in range(3):
        notified_after(minutes=6)
    assert len(mail.mails) == 1
    assert NotificationReceiver.objects.get().problem == ""


@pytest.mark.parametrize(("hangs_at", "sent"), [("220", 0), ("DATA", 0), ("END", 1)])
def test_a_server_that_answers_byte_by_byte_is_given_up_and_so_is_its_thread(
    ada: User, mail: MailServer, monkeypatch: pytest.MonkeyPatch, hangs_at: str, sent: int
) -> None:
    monkeypatch.setattr("sync.kernel.mails.WHOLE_SECONDS", 0.4)
    choose(ada, Frequency.AT_ONCE)
    fails("Ann")
    mail.hangs_at = hangs_at
    mail.drips = True
    notify_people()
    wait_for("the thread ended", lambda: "within" not in [thread.name for thread in threading.enumerate()])
    assert ("too long to answer" in NotificationReceiver.objects.get().problem) is (not sent)
    notified_after(minutes=6)
    assert len(mail.mails) == sent


def test_once_a_day_means_at_eight_by_the_clock_of_the_site(ada: User, mail: MailServer) -> None:
    choose(ada, Frequency.DAILY)
    fails("Ann")
    notify_people()
    notified_after(hours=22, minutes=59)
    assert not mail.mails
    notified_after(minutes=1)
    assert "Ann" in text(mail)
    fails("Bob")
    notified_after(minutes=30)
    # A day without news; what comes after its hour waits for the next.
    notified_after(hours=24)
    assert len(mail.mails) == 2
    notified_after(hours=24)
    fails("Cid")
    notified_after(minutes=5)
    assert len(mail.mails) == 2


def test_a_person_is_notified_of_what_they_may_see_and_only_while_they_may_sign_in(mail: MailServer) -> None:
    fails("Ann")
    eve = User.objects.create_user("eve", "eve@example.com", is_staff=True)
    choose(eve, Frequency.AT_ONCE)
    notify_people()
    assert not mail.mails
    eve.user_permissions.add(Permission.objects.get(codename="view_syncqueue"))
    notify_people()
    assert "  - Ann" in text(mail)
    User.objects.filter(pk=eve.pk).update(is_active=False)
    fails("Bob")
    notified_after(minutes=6)
    assert len(mail.mails) == 1


def test_a_chat_gets_causes_and_a_link_and_nobodys_name(chats: Chats, settings: Any) -> None:
    settings.SITE_URL = "https://npd.example.org"
    for name in ("Ann", "Bob"):
        fails(name)
    fails("Cid", "Another thing.")
    add_chat("ops", SLACK, Frequency.AT_ONCE)
    notify_people()
    [body] = chats.posted
    message = json.dumps(body, ensure_ascii=False)
    for words in ("2 changes fail: Monday has no room", "1 change fails: Another thing.", "npd.example.org/admin/"):
        assert words in message
    for name in ("Ann", "Bob", "Cid"):
        assert name not in message


def test_the_longest_message_fits_what_teams_takes(chats: Chats) -> None:
    for letter in "abcdefghijkl":
        fails(f"Person {letter}", f"{letter} {'very long ' * 30}.")
    add_chat("ops", SLACK, Frequency.AT_ONCE)
    notify_people()
    assert "And 4 more causes." in chats.posted[0]["attachments"][0]["text"]
    assert len(chats.posted[0]["attachments"][0]["text"]) < 1_000 + 200


def test_a_failing_receiver_stops_no_other_and_is_tried_later(ada: User, mail: MailServer, chats: Chats) -> None:
    fails("Ann")
    choose(ada, Frequency.AT_ONCE)
    chat = add_chat("ops", SLACK, Frequency.AT_ONCE)
    chats.status = 500
    notify_people()
    assert len(mail.mails) == len(chats.calls) == 1
    chat.refresh_from_db()
    assert "Internal server error" in chat.problem
    [entry] = attention.entries(attention.waiting(attention.kinds_shown_to(ada), kinds=[Kind.NOTIFICATION]))
    expected = ("ops", "Notifications in a chat don't arrive", "/admin/notifications/")
    assert (entry.name, entry.title, entry.url) == expected
    assert "Internal server error" in entry.detail
    eve = User.objects.create_user("eve", is_staff=True)
    eve.user_permissions.set(Permission.objects.all())
    assert not attention.entries(attention.waiting(attention.kinds_shown_to(eve), kinds=[Kind.NOTIFICATION]))
    notify_people()
    assert len(chats.calls) == 1  # a minute's rest
    chats.status = 200
    notified_after(minutes=1, seconds=1)
    chat.refresh_from_db()
    assert (chat.failures, chat.failed_since, chat.problem) == (0, None, "")
    assert len(chats.calls) == 2
    assert len(mail.mails) == 1


def test_a_worker_that_ends_while_it_sends_loses_nothing(chats: Chats) -> None:
    fails("Ann")
    add_chat("ops", SLACK, Frequency.AT_ONCE)
    chats.status = SystemExit()
    with pytest.raises(SystemExit):
        notify_people()
    chats.status = 200
    notified_after(minutes=4)
    assert len(chats.calls) == 1
    notified_after(minutes=1)
    assert len(chats.calls) == 2


def test_nothing_is_locked_while_a_message_is_on_its_way_and_its_chat_may_be_removed(chats: Chats) -> None:
    fails("Ann")
    add_chat("ops", SLACK, Frequency.AT_ONCE)

    def remove() -> None:
        assert not connection.in_atomic_block
        at_once(lambda: NotificationReceiver.objects.all().delete())

    chats.before = remove
    notify_people()
    assert len(chats.calls) == 1
    assert not Notification.objects.exists()


def test_off_is_off_and_who_begins_again_hears_of_all_that_is_open(ada: User, mail: MailServer) -> None:
    fails("Ann")
    choose(ada, Frequency.AT_ONCE)
    notify_people()
    choose(ada, Frequency.OFF)
    fails("Bob")
    notified_after(days=2)
    assert len(mail.mails) == 1
    choose(ada, Frequency.AT_ONCE)
    notify_people()
    assert "2 changes fail" in text(mail)


def test_the_address_of_a_chat_is_encrypted_and_says_so_when_the_key_was_changed(chats: Chats, settings: Any) -> None:
    fails("Ann")
    chat = add_chat("ops", SLACK, Frequency.AT_ONCE)
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(one)::text FROM sync_notification_receivers AS one")
        [[stored]] = cursor.fetchall()
    assert TOKEN not in stored
    # Secrets are encrypted anew each night, so that an older key can go.
    old = settings.ENCRYPTION_KEYS
    settings.ENCRYPTION_KEYS = ["another-key", *old]
    retention.prune()
    settings.ENCRYPTION_KEYS = ["another-key"]
    chat.refresh_from_db()
    assert decrypt(chat.address) == SLACK
    settings.ENCRYPTION_KEYS = ["a third key"]
    notify_people()
    assert "Add the chat again" in NotificationReceiver.objects.get().problem
    assert not chats.calls
