"""The whole way: what needs attention, through the rows, to a mail server and a chat; and receivers that fail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.mail.backends.base import BaseEmailBackend
from django.db import connection, connections

from sync.choices import ApprovalKind, ApprovalState
from sync.clock import sync_now
from sync.kernel.messages import ActionError
from sync.kernel.secret_texts import decrypt
from sync.models import (
    ApprovalRequest,
    Incident,
    MondayAccount,
    Notification,
    NotificationReceiver,
    SyncMetadata,
    SyncQueue,
    Verification,
)
from sync.models.followers import Frequency, Medium
from sync.operations import notifications, retention
from sync.operations.notifications import MAX_FAILURES, Choice, choose, incidents, notify_people, send_test
from tests.admin import states
from tests.support.clock import reset_clock, stop_clock
from tests.support.receivers import SECRET, Chat, MailServer
from tests.support.waiting import at_once

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def boards(db: None, settings: Any) -> Iterator[None]:
    """They are set up; the clock is put back."""
    settings.MONDAY_API_KEY = "a token"
    states.boards()
    yield
    reset_clock()


def later(**span: float) -> None:
    """Move the one clock on."""
    stop_clock(sync_now() + timedelta(**span))


def notified_after(**span: float) -> None:
    """So much later people are notified again."""
    later(**span)
    notify_people()


@pytest.fixture
def ada() -> User:
    return User.objects.create_superuser("ada", "ada@example.com", "x", first_name="Ada")


def follow(
    user: User, medium: Medium = Medium.EMAIL, frequency: Frequency = Frequency.AT_ONCE, address: str = ""
) -> Any:
    choose(user, [Choice(medium, frequency, 8, "UTC", address)])
    return NotificationReceiver.objects.get(user=user, medium=medium)


def fails(name: str, error: str = "Monday has no room for “x”.") -> SyncQueue:
    """A job that failed."""
    record = states.synced(name, f"5{SyncQueue.objects.count():03d}{name}")
    return SyncQueue.objects.create(
        entity_type="contact", entity_id=record.pk, direction="to_monday", status="failed", error_message=error,
        last_attempt=sync_now(),
    )  # fmt: skip


def subjects(mail: MailServer) -> list[str]:
    return [str(one["Subject"]) for one in mail.mails]


def text(mail: MailServer, number: int = -1) -> str:
    return mail.mails[number].get_body(("plain",)).get_content().replace("\r\n", "\n")  # type: ignore[union-attr]


def test_each_thing_comes_once_by_its_cause_with_a_link_and_then_one_all_clear(
    ada: User, mail: MailServer, settings: Any
) -> None:
    settings.SITE_URL = "https://npd.example.org"
    jobs = [fails("Ann"), fails("Bob", "Monday has no room for “y”."), fails("Cid", "Another thing.")]
    follow(ada)
    for _ in range(3):
        notify_people()
        later(minutes=6)
    assert subjects(mail) == ["NPD Sync: 2 things need attention"]
    assert "2 changes fail: Monday has no room for" in text(mail)
    assert "1 change fails: Another thing." in text(mail)
    for job, name in zip(jobs, ("Ann", "Bob", "Cid"), strict=True):
        assert f"  - {name}\n    https://npd.example.org/admin/sync/syncqueue/{job.pk}/change/" in text(mail)
    late = fails("Dan")
    notify_people()
    assert "With those of earlier messages there are 2." in text(mail)
    SyncQueue.objects.filter(pk__in=[job.pk for job in (*jobs, late)]).delete()
    for _ in range(4):
        notify_people()
        later(minutes=3)
    assert subjects(mail)[2:] == ["NPD Sync: all clear"]


def test_sixty_items_that_one_person_removed_are_one_line_and_none_if_they_are_back_at_once(
    ada: User, mail: MailServer
) -> None:
    gone = [states.removed(f"Gone {number}", f"6{number:03}") for number in range(60)]
    follow(ada)
    notify_people()
    assert not mail.mails
    notified_after(minutes=3)
    assert subjects(mail) == ["NPD Sync: 60 items removed on Monday: Archived on the board by Maya Lind"]
    assert "1 thing needs attention." in text(mail)
    assert text(mail).count("and 56 more") == 1
    assert "/admin/inbox/?cause=removed%3Acontact%3Aarchived" in text(mail)
    SyncMetadata.objects.filter(entity_id__in=[str(one.pk) for one in gone]).update(removed_since=None, remote_state="")
    for _ in range(4):
        notify_people()
        later(minutes=3)
    assert subjects(mail)[1:] == ["NPD Sync: all clear"]


def test_the_same_thing_that_comes_again_later_is_a_new_one_but_not_one_that_was_gone_for_a_moment(
    ada: User, mail: MailServer
) -> None:
    job = fails("Ann")
    follow(ada)
    notify_people()
    SyncQueue.objects.filter(pk=job.pk).update(status="pending")
    notify_people()
    later(minutes=1)
    SyncQueue.objects.filter(pk=job.pk).update(status="failed")
    notify_people()
    notified_after(minutes=10)
    assert len(mail.mails) == 1
    SyncQueue.objects.filter(pk=job.pk).update(status="pending")
    notify_people()
    notified_after(minutes=10)
    SyncQueue.objects.filter(pk=job.pk).update(status="failed")
    notify_people()
    assert [("clear" in one) for one in subjects(mail)] == [False, True, False]


def test_stop_difference_and_approval_come_at_once_to_who_wants_one_message_a_day(ada: User, mail: MailServer) -> None:
    follow(ada, frequency=Frequency.DAILY)
    fails("Ann")
    notify_people()
    assert not mail.mails
    MondayAccount.objects.update(stop_reason="Monday rejects the token.", stopped_until=sync_now() + timedelta(days=1))
    notify_people()
    assert not mail.mails  # it may go on by itself
    notified_after(minutes=2)
    assert "Sync is stopped: Monday rejects the token." in subjects(mail)[0]
    assert "Ann" not in text(mail)
    Verification.objects.create(entity_type="contact", compared=50, differed=2)
    eve = states.contact("Eve").pk
    ApprovalRequest.objects.create(
        entity_type="contact", entity_id=eve, kind=ApprovalKind.ITEMS, state=ApprovalState.PENDING, label="Eve"
    )  # fmt: skip
    notify_people()
    assert "A difference was found: Contacts" in text(mail)
    assert "1 approval: " in text(mail)
    assert len(mail.mails) == 2


def test_a_person_is_notified_of_what_they_may_see_and_only_while_they_may_sign_in(mail: MailServer) -> None:
    fails("Ann")
    eve = User.objects.create_user("eve", "eve@example.com", is_staff=True)
    follow(eve)
    notify_people()
    assert not mail.mails
    eve.user_permissions.add(Permission.objects.get(codename="view_syncqueue"))
    notify_people()
    assert "1 change fails" in text(mail)
    assert "  - Ann" in text(mail)
    User.objects.filter(pk=eve.pk).update(is_active=False)
    fails("Bob")
    notified_after(minutes=6)
    assert len(mail.mails) == 1


def test_a_receiver_that_fails_stops_no_other_and_is_tried_again_later(ada: User, mail: MailServer, chat: Chat) -> None:
    fails("Ann")
    follow(ada)
    slack = follow(ada, Medium.SLACK, address=chat.address)
    chat.status = 500
    notify_people()
    assert len(mail.mails) == len(chat.posted) == 1
    slack.refresh_from_db()
    assert (slack.failures, slack.stopped_at) == (1, None)
    assert "HTTP 500" in slack.problem
    notify_people()
    assert len(chat.posted) == 1  # a minute's rest
    later(minutes=1, seconds=1)
    chat.status = 200
    notify_people()
    slack.refresh_from_db()
    assert (slack.failures, slack.failed_since, slack.problem) == (0, None, "")
    assert "Ann" in json.dumps(chat.posted[-1])
    assert len(mail.mails) == 1


def test_one_that_fails_for_a_day_is_switched_off_until_a_test_arrives(ada: User, chat: Chat) -> None:
    fails("Ann")
    slack = follow(ada, Medium.SLACK, address=chat.address)
    chat.status = 500
    while not NotificationReceiver.objects.get().stopped_at:
        notify_people()
        later(hours=1, seconds=1)
        assert len(chat.posted) < 40
    assert len(chat.posted) >= MAX_FAILURES
    posted = len(chat.posted)
    notified_after(days=1)
    assert len(chat.posted) == posted
    chat.status = 200
    send_test(slack)
    notify_people()
    assert "Ann" in json.dumps(chat.posted[-1])


def test_a_webhook_that_was_removed_is_switched_off_at_once_and_begins_again_with_another(
    ada: User, chat: Chat
) -> None:
    fails("Ann")
    follow(ada, Medium.SLACK, address=chat.address)
    chat.status, chat.says = 410, b"channel_is_archived"
    notify_people()
    row = NotificationReceiver.objects.get()
    assert row.stopped_at
    assert "archived" in row.problem
    chat.status = 200
    follow(ada, Medium.SLACK, address=chat.address)
    notify_people()
    row.refresh_from_db()
    assert (row.stopped_at, row.failures) == (None, 0)
    assert len(chat.posted) == 2


def test_a_mail_server_that_is_away_for_days_switches_nobody_off(ada: User, mail: MailServer) -> None:
    fails("Ann")
    follow(ada)
    mail.busy = True
    for _ in range(30):
        notify_people()
        later(hours=2)
    row = NotificationReceiver.objects.get()
    assert (row.failures, row.stopped_at) == (30, None)
    mail.busy = False
    notify_people()
    assert len(mail.mails) == 1


def test_a_worker_that_ends_between_sending_and_marking_sends_once_more_under_the_same_id(
    ada: User, mail: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails("Ann")
    follow(ada)
    with monkeypatch.context() as killed:
        killed.setattr(Notification.objects, "bulk_create", lambda *args, **more: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            notify_people()
    notified_after(minutes=6)
    notify_people()
    assert len(mail.mails) == 2
    assert len({one["Message-ID"] for one in mail.mails}) == 1


def test_a_run_has_a_total_limit_and_what_it_has_not_begun_is_sent_by_the_next(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifications, "AT_ONCE_SENT", 1)
    monkeypatch.setattr(notifications, "SEND_SECONDS", 0.5)
    fails("Ann")
    for number in range(8):
        follow(User.objects.create_superuser(f"user{number}"), Medium.SLACK, address=chat.address)
    chat.meanwhile = lambda: chat.over.wait(0.2)  # each of them for itself is quick enough
    notify_people()
    assert 0 < len(chat.posted) < 8
    assert not NotificationReceiver.objects.exclude(claimed_until=None).exists()
    assert NotificationReceiver.objects.exclude(last_sent=None).count() == len(chat.posted)
    chat.meanwhile = bool
    monkeypatch.setattr(notifications, "SEND_SECONDS", 60)
    notify_people()
    assert len(chat.posted) == 8


def test_a_message_of_which_nothing_is_known_at_the_end_of_its_run_is_not_sent_again_before_its_claim_ends(
    ada: User, mail: MailServer, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, limit in (("AT_ONCE_SENT", 1), ("SEND_SECONDS", 0.3), ("LAST_SECONDS", 0.1)):
        monkeypatch.setattr(notifications, name, limit)
    fails("Ann")
    slow, behind = follow(ada, Medium.SLACK, address=chat.address), follow(ada)
    chat.status = None
    notify_people()
    slow.refresh_from_db()
    behind.refresh_from_db()
    assert (slow.claimed_until is None, behind.claimed_until is None, mail.mails) == (False, True, [])
    notified_after(minutes=2)
    assert (len(chat.posted), len(mail.mails)) == (1, 1)
    later(minutes=4)
    chat.status = 200
    notify_people()
    assert (len(chat.posted), len(mail.mails)) == (2, 1)


@pytest.mark.parametrize("status", [200, 404])
def test_an_address_that_is_entered_while_a_message_is_on_its_way_to_the_old_one_hears_of_everything(
    ada: User, chat: Chat, status: int
) -> None:
    fails("Ann")
    row = follow(ada, Medium.SLACK, address=chat.address)

    def change() -> None:
        try:
            follow(ada, Medium.SLACK, address=chat.address.replace("B0", "B1"))
        finally:
            connections.close_all()

    chat.meanwhile, chat.status = change, status
    notify_people()
    row.refresh_from_db()
    assert (row.stopped_at, row.last_sent) == (None, None)
    chat.meanwhile, chat.status = bool, 200
    notify_people()
    notify_people()
    assert len(chat.posted) == 2


def test_two_workers_at_the_same_time_send_one_message(ada: User, mail: MailServer) -> None:
    fails("Ann")
    follow(ada)

    at_once(*[notify_people] * 8)
    assert len(mail.mails) == 1
    assert Incident.objects.count() == 1


def test_a_kind_of_which_there_are_too_many_is_one_thing_and_its_things_are_none_afterwards(
    ada: User, mail: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incidents, "MANY", 3)
    monkeypatch.setattr(incidents, "FEWER", 2)
    jobs = [fails(name) for name in ("Ann", "Bob", "Cid", "Dan", "Eve")]
    follow(ada)
    notify_people()
    assert "5 changes fail" in subjects(mail)[0]
    SyncQueue.objects.filter(pk__in=[job.pk for job in jobs[:4]]).delete()
    notified_after(minutes=6)
    notified_after(minutes=6)
    assert len(mail.mails) == 1
    fails("Fay")
    notify_people()
    assert "Fay" in text(mail)
    assert "Eve" not in text(mail)


def test_the_address_of_a_chat_is_encrypted_and_says_so_when_the_key_was_changed(
    ada: User, chat: Chat, settings: Any
) -> None:
    fails("Ann")
    follow(ada, Medium.SLACK, address=chat.address)
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(one)::text FROM sync_notification_receivers AS one")
        [[stored]] = cursor.fetchall()
    assert SECRET not in stored
    settings.ENCRYPTION_KEYS = ["another key"]
    notify_people()
    row = NotificationReceiver.objects.get()
    assert "Enter it again" in row.problem
    assert row.stopped_at
    assert not chat.posted


def test_nothing_is_computed_where_nobody_wants_to_be_notified(ada: User, django_assert_num_queries: Any) -> None:
    fails("Ann")
    with django_assert_num_queries(1):
        notify_people()


def test_the_number_of_queries_does_not_grow_with_what_needs_attention(
    ada: User, mail: MailServer, django_assert_max_num_queries: Any
) -> None:
    follow(ada, frequency=Frequency.HOURLY)
    for number in range(40):
        fails(f"P{number}", f"Cause {'abcdefgh'[number % 8]}.")
    with django_assert_max_num_queries(40):
        notify_people()


def test_what_is_gone_for_a_month_is_deleted_with_who_was_notified(ada: User, mail: MailServer) -> None:
    job = fails("Ann")
    follow(ada)
    notify_people()
    job.delete()
    notify_people()
    later(days=29)
    retention.prune()
    assert Notification.objects.count() == 1
    later(days=2)
    retention.prune()
    assert not Notification.objects.exists()
    assert not Incident.objects.exists()


class BrokenBackend(BaseEmailBackend):
    """Fails as no mail server does."""

    def send_messages(self, messages: Any) -> int:
        """Send nothing."""
        raise RuntimeError("a text that quotes https://hooks.example.org/secret")


def test_an_error_that_nobody_foresaw_is_of_one_receiver_and_the_others_are_written_to_once(
    ada: User, chat: Chat, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.EMAIL_BACKEND = f"{__name__}.BrokenBackend"
    fails("Ann")
    failing, well = follow(ada), follow(ada, Medium.SLACK, address=chat.address)
    for _ in range(2):
        notify_people()
    assert len(chat.posted) == 1
    failing.refresh_from_db()
    well.refresh_from_db()
    assert (failing.failures, well.failures, failing.stopped_at) == (1, 0, None)
    assert "RuntimeError" in caplog.text
    assert "quotes" not in caplog.text + failing.problem
    with pytest.raises(ActionError):
        send_test(failing)


def test_an_address_is_encrypted_anew_each_night_so_that_the_older_key_can_go(
    ada: User, chat: Chat, settings: Any
) -> None:
    row, old = follow(ada, Medium.SLACK, address=chat.address), settings.ENCRYPTION_KEYS
    lost = follow(ada, Medium.TEAMS, address=chat.address)
    NotificationReceiver.objects.filter(pk=lost.pk).update(address="of a key that nobody has")
    settings.ENCRYPTION_KEYS = ["another-key", *old]
    retention.prune()
    settings.ENCRYPTION_KEYS = ["another-key"]
    row.refresh_from_db()
    assert decrypt(row.address) == chat.address
    lost.refresh_from_db()
    assert lost.address == "of a key that nobody has"


@pytest.mark.parametrize("end", ["", "/", "/sync", "/?status"])
def test_of_an_address_only_what_is_long_enough_for_a_secret_is_hidden_in_logs(
    ada: User, settings: Any, end: str
) -> None:
    settings.SECRET_TEXTS = []
    follow(ada, Medium.TEAMS, address=f"https://hooks.example.org{end}")
    assert settings.SECRET_TEXTS == []
    follow(ada, Medium.TEAMS, address="https://hooks.example.org/workflows/0123456789?sig=abcdefghijklmnopq&v=1")
    assert settings.SECRET_TEXTS
    assert not any("example" in text or len(text) < 16 for text in settings.SECRET_TEXTS)
