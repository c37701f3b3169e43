"""The traps of Apprise: which hosts an address calls, what is sent there, and what is said of a failure."""

import gzip
import logging
import tracemalloc
from collections.abc import Iterator
from threading import Event
from urllib.parse import urlsplit

import pytest
import requests
from django.conf import settings

from sync.kernel.mails import NotSent
from sync.operations.chats import AddressError, post, service_name
from tests.notifications.conftest import SLACK, TOKEN, Chats

FLOW = "3e9cbd5e0ed84d0b8c8f8d3d1e6f0a11"
SIGNED = "api-version=1&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=iXKeqYc0pUVzUGKfGnXcRoW1_pJxO5zvSDlXcV3uM_0"
INVOKED = f"triggers/manual/paths/invoke?{SIGNED}"
LOGIC = f"https://prod-01.westeurope.logic.azure.com:443/workflows/{FLOW}/{INVOKED}"
POWER = f"https://x.b4.environment.api.powerplatform.com/powerautomate/automations/direct/workflows/{FLOW}/{INVOKED}"
DISCORD = "https://discord.com/api/webhooks/4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js"
GOOGLE = (
    "https://chat.googleapis.com/v1/spaces/AAAAAAAAA/messages?key=AIzaSyDdI0hCZtE6vySjMmWEfRq3CPzqKqqsHI&token=abc%3D"
)
TELEGRAM = "tgram://123456789:abcdefg_hijklmnopqrstu/12315544"
BOMB = gzip.compress(bytes(60_000_000))
ADDRESSES = {
    SLACK: ("Slack", "hooks.slack.com"),
    LOGIC: ("Microsoft Teams", "prod-01.westeurope.logic.azure.com:443"),
    POWER: ("Microsoft Teams", "x.b4.environment.api.powerplatform.com"),
    DISCORD: ("Discord", "discord.com"),
    DISCORD.replace("discord.com", "discordapp.com"): ("Discord", "discord.com"),
    GOOGLE: ("Google Chat", "chat.googleapis.com"),
    TELEGRAM: ("Telegram", "api.telegram.org"),
}


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Forget the secrets that the tests register."""
    before = list(settings.SECRET_TEXTS)
    yield
    settings.SECRET_TEXTS[:] = before


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_chat_is_called_at_its_own_host_with_its_certificate_checked(chats: Chats, address: str) -> None:
    name, host = ADDRESSES[address]
    assert service_name(address) == name
    post(address, "A title", "A text")
    [call] = chats.calls
    assert (urlsplit(call.url).scheme, urlsplit(call.url).netloc) == ("https", host)
    assert call.req_kwargs["verify"]  # True, or the file of the certificates that the machine trusts
    assert max(call.req_kwargs["timeout"]) < 10


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize(
    "option", ["verify=no", "redirect=yes", "template=/etc/passwd", "VERIFY=no", "ver%69fy=no", "+x=y", "format=html"]
)
def test_an_address_has_no_options_of_apprise(address: str, option: str) -> None:
    """They disable certificate checks, follow redirects, or post a file of this server."""
    for separator in ("&" if "?" in address else "?", ";"):
        with pytest.raises(AddressError):
            service_name(f"{address}{separator}{option}")


@pytest.mark.parametrize(
    "address",
    [
        "",
        "json://127.0.0.1/x",
        "mailto://user:word@example.org",
        f"workflows://169.254.169.254/{FLOW}/iXKeqYc0pUVzUGKfGnXcRoW1_pJxO5zvSDlXcV3uM_0/",
        f"workflows://a.logic.azure.com@127.0.0.1/{FLOW}/iXKeqYc0pUVzUGKfGnXcRoW1_pJxO5zvSDlXcV3uM_0/",
        f"https://a.powerplatform.evil.example/workflows/{FLOW}/{INVOKED}",
        LOGIC.replace(":443", ":22"),
        LOGIC.replace("https://", "https://user:word@"),
        SLACK.replace("https:", "http:"),
        SLACK.replace("hooks.slack.com", "hooks.slack.com.evil.example"),
        f"slack://T1JJ3T3L2/A1BRTD4JD/{TOKEN}?verify=no",
        f"{SLACK}#x",
        f"{SLACK}\r\nHost: x",
        f"{SLACK} x",
        SLACK.removesuffix(TOKEN),
        "https://[::1/x",
        "tgram://123456789:abcdefg_hijklmnopqrstu",
    ],
)
def test_an_address_of_nothing_else_is_taken(chats: Chats, address: str) -> None:
    with pytest.raises(AddressError) as refused:
        service_name(address)
    # Checked again when sending: a row may have come another way.
    with pytest.raises(NotSent):
        post(address, "A title", "A text")
    assert not chats.calls
    assert TOKEN not in str(refused.value)


def test_a_redirect_is_not_followed(chats: Chats) -> None:
    chats.status = 302
    chats.headers = {"Location": "http://169.254.169.254/latest/meta-data"}
    for address in ADDRESSES:
        with pytest.raises(NotSent, match="302"):
            post(address, "A title", "A text")
    assert len(chats.calls) == len(ADDRESSES)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (404, "Slack did not take the message. Failed to send to Slack: Page not found., error=404."),
        (500, "Internal server error"),
        (requests.ConnectionError(f"Max retries exceeded with url: {SLACK}"), "A Connection error occurred"),
    ],
)
def test_why_a_chat_takes_no_message_is_said_without_its_address(
    chats: Chats, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], status: int, words: str
) -> None:
    caplog.set_level(logging.DEBUG)
    chats.status = status
    with pytest.raises(NotSent) as failed:
        post(SLACK, "A title", "A text")
    assert words in str(failed.value)
    printed = capfd.readouterr()
    assert TOKEN not in str(failed.value) + caplog.text + printed.out + printed.err


def test_of_a_chat_that_says_no_with_status_200_the_failure_is_seen(chats: Chats) -> None:
    chats.body = "no_service"
    with pytest.raises(NotSent):
        post(SLACK, "A title", "A text")


@pytest.mark.parametrize("address", ADDRESSES)
def test_what_others_wrote_mentions_nobody_and_links_nowhere_in_a_chat(chats: Chats, address: str) -> None:
    evil = "<b>Ann</b> <!here> @everyone <@123> <at>bob</at> <users/all> [x](http://evil) `c`"
    post(address, f"Title {evil}", f"Text {evil}")
    [call] = chats.calls
    text = call.body if isinstance(call.body, str) else call.body.decode()
    for mark in ("<!", "<@", "<at", "<users", "@everyone", "](", "github"):
        assert mark not in text
    if address == TELEGRAM:  # which reads HTML: the title's tag is Apprise's
        assert text.count("<b>") == 1
    else:
        assert "<b>" not in text


@pytest.mark.parametrize("address", ADDRESSES)
def test_of_an_answer_without_end_no_more_than_a_megabyte_is_read(chats: Chats, address: str) -> None:
    chats.status = 500
    chats.body = BOMB
    chats.headers = {"Content-Encoding": "gzip"}
    tracemalloc.start()
    with pytest.raises(NotSent, match="500"):
        post(address, "A title", "A text")
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def test_a_chat_that_keeps_its_answer_back_is_given_up(chats: Chats, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sync.operations.chats.WHOLE_SECONDS", 0.1)
    answers = Event()
    chats.before = answers.wait
    with pytest.raises(NotSent, match="Slack did not answer in time"):
        post(SLACK, "A title", "A text")
    answers.set()
