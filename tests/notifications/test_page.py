"""The page on which people choose how they are notified, and the administrators' list of receivers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html import unescape
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from sync.kernel.secret_texts import decrypt
from sync.models import NotificationReceiver, SyncQueue
from sync.models.followers import Frequency, Medium
from sync.operations import attention
from sync.operations.attention import AttentionKind
from sync.operations.notifications.incidents import waiting
from tests.admin import states
from tests.support.clock import move_clock, reset_clock
from tests.support.receivers import SECRET, Chat, MailServer

pytestmark = pytest.mark.django_db(transaction=True)
PAGE, TEST, LIST = "/admin/notifications/", "/admin/notifications/test/", "/admin/sync/notificationreceiver/"
OFF = {f"{medium}_{name}": value for medium in Medium for name, value in (("frequency", "off"), ("hour", "8"))}
FORM = {"zone": "Europe/Berlin", **OFF}


@pytest.fixture
def later() -> Iterator[Callable[[float], None]]:
    yield move_clock
    reset_clock()


@pytest.fixture
def person() -> User:
    return User.objects.create_superuser("ada", "ada@example.com", "x", first_name="Ada")


@pytest.fixture
def browser(person: User, client: Client) -> Client:
    client.force_login(person)
    return client


def words(answer: Any) -> str:
    html = re.sub(r"<(script|style).*?</\1>", " ", answer.content.decode(), flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", html)))


def save(browser: Client, **values: str) -> Any:
    return browser.post(PAGE, FORM | values, follow=True)


def test_a_person_chooses_and_the_page_says_how_it_is(browser: Client, mail: MailServer) -> None:
    assert "You get no notifications." in words(browser.get(PAGE))
    text = words(save(browser, email_frequency="daily", email_hour="7"))
    assert "Your notifications were saved." in text
    assert "Once a day, 07:00" in text
    assert "Goes to ada@example.com" in text
    row = NotificationReceiver.objects.get()
    assert (row.medium, row.frequency, row.hour, row.zone) == ("email", "daily", 7, "Europe/Berlin")
    save(browser)
    assert NotificationReceiver.objects.get().frequency == Frequency.OFF


def test_a_test_is_sent_at_once_and_what_came_of_it_is_said(browser: Client, mail: MailServer, chat: Chat) -> None:
    save(browser, email_frequency="daily", slack_frequency="at_once", slack_address=chat.address)
    assert "A test was sent by Email." in words(browser.post(TEST, {"medium": "email"}, follow=True))
    assert mail.mails[0]["Subject"] == "NPD Sync: test"
    assert "Wait 10 seconds" in words(browser.post(TEST, {"medium": "email"}, follow=True))
    assert len(mail.mails) == 1
    chat.status, chat.says = 404, b"no_service"
    assert "the webhook was removed" in words(browser.post(TEST, {"medium": "slack"}, follow=True))
    # What it can't reach is not shown as well.
    states_shown = [one for one in browser.get(PAGE).context["states"] if one.receiver.medium == "slack"]
    assert [one.receiver.failures for one in states_shown] == [1]
    assert "npd-badge-ok" not in states_shown[0].badge
    for medium in ("teams", "\0", "pigeon"):
        assert browser.post(TEST, {"medium": medium}).status_code == 404
    assert browser.get(TEST).status_code == 405


def test_a_test_that_fails_is_in_its_persons_inbox_until_one_arrives(
    browser: Client, chat: Chat, later: Callable[[float], None]
) -> None:
    def inbox_of(user: User) -> list[tuple[str, str]]:
        found = attention.entries(attention.scope_of(user))
        return [(one.name, one.cause_code) for one in found if one.kind is AttentionKind.NOTIFICATION]

    save(browser, slack_frequency="daily", slack_address=chat.address)
    chat.status, chat.says = 500, b"away"
    browser.post(TEST, {"medium": "slack"})
    person = User.objects.get(username="ada")
    assert inbox_of(person) == [("Slack", "failing")]
    colleague = User.objects.create_superuser("bo", "bo@example.com", "x")
    assert inbox_of(colleague) == []
    assert sum(one.causes for one in attention.tallies(attention.scope_of(colleague)).values()) == 0
    assert list(waiting(frozenset())) == []  # nobody is notified of what only its person can correct
    [entry] = attention.entries(attention.scope_of(person))
    later(60)
    browser.post("/admin/inbox/act/", {"one": f"send_test {entry.key}"})
    assert inbox_of(person) == [("Slack", "failing")]
    chat.status, chat.says = 200, b"ok"
    later(120)
    browser.post("/admin/inbox/act/", {"one": f"send_test {entry.key}"})
    assert inbox_of(person) == []
    assert NotificationReceiver.objects.get().failed_since is None


def test_the_address_of_a_chat_is_written_once_and_never_shown(browser: Client, chat: Chat) -> None:
    pages = [save(browser, slack_frequency="hourly", slack_address=chat.address)]
    stored = NotificationReceiver.objects.get().address
    assert decrypt(stored) == chat.address
    pages.append(save(browser, slack_frequency="daily"))  # empty: it stays
    assert decrypt(NotificationReceiver.objects.get().address) == chat.address
    # A form that is not taken does not bring it back either.
    pages.append(save(browser, slack_frequency="nonsense", slack_address=chat.address))
    pages += [browser.get(PAGE), browser.get(LIST)]
    pages.append(browser.get(f"{LIST}{NotificationReceiver.objects.get().pk}/change/"))
    assert {one.status_code for one in pages} == {200, 400}
    for page in pages:
        assert SECRET not in page.content.decode()
        assert stored not in page.content.decode()
    assert "an address at 127.0.0.1" in words(pages[1])
    kept = [str(row.get_decoded()) for row in Session.objects.all()] + [str(one) for one in LogEntry.objects.all()]
    assert SECRET not in " ".join(kept)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"slack_frequency": "at_once"}, "Enter the webhook address of Slack, or choose Off."),
        ({"teams_frequency": "at_once", "teams_address": "http://x.example.org"}, "must begin with https://"),
        ({"slack_frequency": "off", "slack_address": "https://10.0.0.1/x"}, "leads into a private network"),
        ({"zone": "Nowhere/Else"}, "Select a valid choice."),
        ({"email_hour": "24"}, "Select a valid choice."),
    ],
)
def test_what_can_not_be_is_said_at_its_field_and_nothing_is_stored(
    browser: Client, mail: MailServer, values: dict[str, str], says: str
) -> None:
    answer = save(browser, email_frequency="at_once", **values)
    assert answer.status_code == 400
    assert says in words(answer)
    assert not NotificationReceiver.objects.exists()


def test_mail_is_offered_only_where_it_can_arrive(
    browser: Client, person: User, mail: MailServer, settings: Any
) -> None:
    User.objects.filter(pk=person.pk).update(email="")
    assert "Your account has no email address." in words(save(browser, email_frequency="at_once"))
    settings.EMAIL_HOST = ""
    assert "No email server is set up." in words(save(browser, email_frequency="at_once"))
    assert not NotificationReceiver.objects.exists()


def test_the_preview_shows_only_what_the_person_may_see(browser: Client, client: Client) -> None:
    states.boards()
    states.dead("Zoe", "No room.")
    assert "NPD Sync: 1 change fails: No room." in words(browser.get(PAGE))
    client.force_login(User.objects.create_user("eve", is_staff=True))
    assert "No room." not in words(client.get(PAGE))


def test_everybody_who_signs_in_has_their_own_and_nobody_another_persons(
    browser: Client, client: Client, mail: MailServer
) -> None:
    save(browser, email_frequency="daily")
    eve = User.objects.create_user("eve", "eve@example.com", is_staff=True)
    client.force_login(eve)
    assert "You get no notifications." in words(client.get(PAGE))
    assert client.post(TEST, {"medium": "email"}).status_code == 404
    assert client.get(LIST).status_code == 403
    save(client, email_frequency="hourly")
    assert sorted(NotificationReceiver.objects.values_list("user__username", "frequency")) == [
        ("ada", "daily"),
        ("eve", "hourly"),
    ]
    stranger = Client()
    stranger.force_login(User.objects.create_user("nobody"))
    assert stranger.get(PAGE).status_code == stranger.post(PAGE, FORM).status_code == 302
    assert stranger.post(TEST, {"medium": "email"}).status_code == 302
    assert NotificationReceiver.objects.count() == 2


def test_administrators_see_whose_receivers_fail_and_why(browser: Client, client: Client, mail: MailServer) -> None:
    eve = User.objects.create_user("eve", "eve@example.com", is_staff=True, first_name="Eve")
    now = timezone.now()
    broken = {"failures": 12, "failed_since": now, "stopped_at": now, "problem": "It is gone."}
    NotificationReceiver.objects.create(user=eve, medium="slack", frequency="hourly", **broken)
    text = words(browser.get(LIST))
    for found in ("Eve", "Slack", "Switched off", "It is gone."):
        assert found in text
    client.force_login(eve)
    # Not her own row either, without the right: its page is for who sees everybody's.
    for page in (LIST, f"{LIST}{NotificationReceiver.objects.get().pk}/change/"):
        assert client.get(page).status_code == 403
    eve.user_permissions.add(Permission.objects.get(codename="view_notificationreceiver"))
    client.force_login(User.objects.get(pk=eve.pk))
    own = f"{LIST}{NotificationReceiver.objects.get().pk}/change/"
    assert {client.get(page).status_code for page in (LIST, own)} == {200}
    for codename in ("change", "add", "delete"):  # nobody has these rights, for each sets up their own
        assert not Permission.objects.filter(codename=f"{codename}_notificationreceiver").exists()
    assert client.post(own, {"problem": "none"}).status_code == 403


def test_the_page_is_usable_by_keyboard_and_accessible(
    open_page: Callable[..., Any], person: User, mail: MailServer
) -> None:
    from tests.support.pages import barriers

    states.boards()
    for name, reason in (("Ann", "No room."), ("Bob", "No room."), ("Cid", "Another reason.")):
        record = states.synced(name, f"50{name}")
        SyncQueue.objects.create(
            entity_type="contact", entity_id=record.pk, direction="to_monday", status="failed", error_message=reason
        )
    page, errors = open_page(390, "dark")
    page.goto(PAGE)
    page.get_by_label("How often").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.get_by_role("button", name="Save").press("Enter")
    page.locator("#npd-notify-state .npd-badge-ok", has_text="Every hour").wait_for()
    page.get_by_role("button", name="Send a test: Email").press("Enter")
    page.get_by_text("A test was sent by Email.").wait_for()
    assert len(mail.mails) == 1
    assert not barriers(page)
    assert not errors
