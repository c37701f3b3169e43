"""The page where people choose how often they are emailed, and superusers choose chats."""

import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.sessions.models import Session
from django.test import Client

from sync.kernel.secret_texts import decrypt
from sync.models import ActivityLine, NotificationReceiver
from tests.notifications.conftest import SLACK, TOKEN, Chats
from tests.support.people import signed_in
from tests.support.receivers import MailServer

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = "/admin/notifications/"
CHAT = {"name": "Slack, channel ops", "address": SLACK, "frequency": "at_once"}


def words(answer: Any) -> str:
    html = re.sub(r"<(script|style).*?</\1>", " ", answer.content.decode(), flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", html)))


def send(browser: Client, act: str, **values: object) -> Any:
    return browser.post(PAGE, {"act": act} | values, follow=True)


def test_a_person_chooses_and_the_page_says_how_it_is(browser: Client, mail: MailServer) -> None:
    assert "They go to dora@example.com" in words(browser.get(PAGE))
    text = words(send(browser, "choose", frequency="daily"))
    assert "Your notifications were saved." in text
    assert "Once a day, at 08:00 UTC No message was sent yet." in text
    assert NotificationReceiver.objects.get().frequency == "daily"
    assert " Off No message" in words(send(browser, "choose", frequency="off"))


def test_a_test_says_in_words_whether_it_worked(browser: Client, mail: MailServer, chats: Chats) -> None:
    assert "The test was sent to dora@example.com." in words(send(browser, "test"))
    assert mail.mails[0]["Subject"] == "NPD Sync: test"
    mail.refuses["dora@example.com"] = 550
    assert "The test was not sent. The email server does not accept dora@example.com" in words(send(browser, "test"))
    send(browser, "add", **CHAT)
    chat = NotificationReceiver.objects.get(user=None)
    assert "The test was sent to “Slack, channel ops”." in words(send(browser, "test", chat=chat.pk))
    assert chats.posted[0]["attachments"][0]["title"] == "NPD Sync: test"
    chats.status = 404
    text = words(send(browser, "test", chat=chat.pk))
    assert "The test was not sent. Slack did not take the message. Failed to send to Slack: Page not found." in text
    assert "Failing Slack did not take" in text
    chats.status = 200
    assert "Failing Slack" not in words(send(browser, "test", chat=chat.pk))


def test_the_address_of_a_chat_is_written_once_and_never_shown(browser: Client, chats: Chats) -> None:
    pages = [send(browser, "add", **CHAT)]
    row = NotificationReceiver.objects.get()
    assert decrypt(row.address) == SLACK
    # A refused form doesn't show it either.
    pages.append(send(browser, "add", **CHAT | {"name": ""}))
    pages.append(send(browser, "add", **CHAT | {"address": f"{SLACK}?verify=no"}))
    assert "an option that it may not have" in words(pages[-1])
    chats.status = 500
    pages += [send(browser, "test", chat=row.pk), browser.get(PAGE), send(browser, "remove", chat=row.pk)]
    assert [page.status_code for page in pages] == [200, 400, 400, 200, 200, 200]
    for page in pages:
        assert TOKEN not in page.content.decode()
        assert row.address not in page.content.decode()
    assert not NotificationReceiver.objects.exists()
    entries = [f"{line.sentence} {line.values}" for line in ActivityLine.objects.all()]
    stored = " ".join([str(session.get_decoded()) for session in Session.objects.all()] + entries)
    assert stored.count("Slack, channel ops") >= 2
    assert TOKEN not in stored


def test_where_emails_are_files_the_page_says_so(browser: Client, settings: Any, tmp_path: Path) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = tmp_path
    text = words(send(browser, "test"))
    assert "Emails are only written as files into var/mail here" in text
    assert "The test was written into var/mail." in text
    assert "No email server" not in text


@pytest.mark.parametrize("problem", ["Your account has no email address.", "No email server is set up."])
def test_mail_needs_a_way_to_go(browser: Client, person: User, mail: MailServer, settings: Any, problem: str) -> None:
    if problem.startswith("Your"):
        User.objects.filter(pk=person.pk).update(email="")
    else:
        settings.EMAIL_HOST = ""
    answer = send(browser, "choose", frequency="at_once")
    assert answer.status_code == 400
    assert problem in words(answer)
    assert not NotificationReceiver.objects.exists()
    assert "The test was not sent." in words(send(browser, "test"))


def test_only_superusers_have_chats(browser: Client, client: Client, mail: MailServer, chats: Chats) -> None:
    send(browser, "add", **CHAT)
    chat = NotificationReceiver.objects.get()
    eve = User.objects.create_user("eve", "eve@example.com", is_staff=True)
    eve.user_permissions.set(Permission.objects.all())
    client.force_login(eve)
    assert "Chats of the site" not in words(client.get(PAGE))
    for act in ("add", "remove", "test"):
        assert send(client, act, **CHAT, chat=chat.pk).status_code == 403
    assert send(client, "choose", frequency="daily").status_code == 200
    for act, number in (("nonsense", ""), ("test", "x"), ("remove", "\0"), ("remove", "9" * 30)):
        client.force_login(User.objects.get(username="dora"))
        assert send(client, act, chat=number).status_code == 404
    assert not chats.calls
    assert set(NotificationReceiver.objects.values_list("user__username", flat=True)) == {None, "eve"}
    stranger = signed_in(User.objects.create_user("nobody"))
    assert stranger.get(PAGE).status_code == stranger.post(PAGE, {"act": "test"}).status_code == 302
    # Nobody can be given a right to them.
    assert not Permission.objects.filter(codename__contains="notification").exists()
