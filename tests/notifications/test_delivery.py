"""A message on its way: what arrives by mail and in a chat, and what is said of a receiver that fails."""

from __future__ import annotations

import json
import logging
import socket
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sync.kernel import outgoing_calls
from sync.kernel.outgoing_calls import NOT_PUBLIC, TOO_SLOW, AddressError, check_address
from sync.models.followers import Medium
from sync.operations.notifications.letters import (
    MAX_ENTRIES,
    MAX_GROUPS,
    Entry,
    Group,
    Letter,
    chat_body,
    clean,
    is_email_configured,
    send_chat,
    send_email,
)
from tests.support.receivers import SECRET, Chat, MailServer
from tests.support.waiting import beside

LETTER = Letter(
    subject="NPD Sync: 3 things need attention",
    sentence="3 things need attention.",
    groups=[
        Group("1 conflict: Phone changed on both sides", [Entry("Ann <b>&amp;</b> *Bo*", "http://npd/c?a=1&b=2")]),
        Group("2 failed jobs: Monday’s “…”", [Entry("@channel <!here> [x](http://evil)", "http://npd/q")], 1, "http://npd/i"),
    ],
    link=Entry("Open the inbox", "http://npd/inbox"),
    settings_url="http://npd/notifications",
)  # fmt: skip


def test_a_mail_says_all_as_text_and_as_html_in_which_names_are_mere_text(mail: MailServer) -> None:
    assert send_email("ada@example.com", LETTER, "<one@npd>").is_sent
    [message] = mail.mails
    assert mail.recipients == ["ada@example.com"]
    assert (message["Subject"], message["Message-ID"]) == (LETTER.subject, "<one@npd>")
    assert message["Auto-Submitted"] == "auto-generated"
    text, html = (message.get_body((kind,)).get_content() for kind in ("plain", "html"))  # type: ignore[union-attr]
    for words in ("1 conflict: Phone changed", "http://npd/c?a=1&b=2", "and 1 more: http://npd/i", "Open the inbox"):
        assert words in text
    assert "Ann &lt;b&gt;&amp;amp;&lt;/b&gt; *Bo*</a>" in html
    assert 'href="http://npd/c?a=1&amp;b=2"' in html
    assert "<script" not in html
    # A dark mail program shows it dark: no text has a colour of its own but the button's.
    assert 'name="color-scheme" content="light dark"' in html
    assert html.count("color:") == html.count("background:#1d4ed8;color:#ffffff")


def test_a_name_with_the_end_of_a_line_makes_no_header(mail: MailServer) -> None:
    assert clean("Ann\r\nBcc: eve@example.com\u202e\x9b\u061c") == "Ann Bcc: eve@example.com"
    assert send_email("ada@example.com", replace(LETTER, subject="A\nBcc: eve@example.com"), "<1@npd>").is_sent
    assert mail.recipients == ["ada@example.com"]
    assert mail.mails[0]["Bcc"] is None


@pytest.mark.parametrize(("code", "is_final"), [(550, True), (450, False)])
def test_a_recipient_whom_the_server_does_not_know_is_said_so(mail: MailServer, code: int, is_final: bool) -> None:
    mail.refuses["ada@example.com"] = code
    outcome = send_email("ada@example.com", LETTER, "<1@npd>")
    assert (outcome.is_sent, outcome.is_final, outcome.is_ours) == (False, is_final, False)
    assert str(code) in outcome.problem


def test_a_mail_server_that_fails_is_nobodys_fault_who_is_written_to(mail: MailServer, settings: Any) -> None:
    mail.busy = True
    assert send_email("ada@example.com", LETTER, "<1@npd>").is_ours
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        settings.EMAIL_PORT = nobody.getsockname()[1]
        outcome = send_email("ada@example.com", LETTER, "<1@npd>")
    assert (outcome.is_sent, outcome.is_ours) == (False, True)


def test_without_a_mail_server_nothing_is_sent_and_it_is_said(settings: Any) -> None:
    settings.EMAIL_BACKEND, settings.EMAIL_HOST = "django.core.mail.backends.smtp.EmailBackend", ""
    assert not is_email_configured()
    assert send_email("ada@example.com", LETTER, "<1@npd>").is_ours


def texts(value: Any) -> list[str]:
    """Every text of a message, at any depth."""
    if isinstance(value, dict):
        return [found for one in value.values() for found in texts(one)]
    if isinstance(value, list):
        return [found for one in value for found in texts(one)]
    return [value] if isinstance(value, str) else []


def test_slack_gets_rich_text_in_which_names_mention_and_format_nothing(chat: Chat) -> None:
    assert send_chat(Medium.SLACK, chat.address, LETTER).is_sent
    [body] = chat.posted
    assert [block["type"] for block in body["blocks"]] == ["header", "rich_text"]
    assert "mrkdwn" not in json.dumps(body["blocks"])
    parts = body["blocks"][1]["elements"]
    items = [item["elements"][0] for one in parts if one["type"] == "rich_text_list" for item in one["elements"]]
    assert {"type": "link", "url": "http://npd/q", "text": "@channel <!here> [x](http://evil)"} in items
    assert "http://npd/inbox" in json.dumps(parts)
    assert len(body["blocks"][0]["text"]["text"]) <= 150
    assert "<" not in body["text"]


def test_teams_gets_one_adaptive_card_in_which_names_are_runs_of_text(chat: Chat) -> None:
    assert send_chat(Medium.TEAMS, chat.address, LETTER).is_sent
    [body] = chat.posted
    assert body["type"] == "message"
    [attachment] = body["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    card = attachment["content"]
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.2")
    # A TextBlock would read Markdown.
    assert {block["type"] for block in card["body"]} == {"RichTextBlock"}
    assert "@channel <!here> [x](http://evil)" in texts(card)
    assert [action["url"] for action in card["actions"]] == ["http://npd/inbox", "http://npd/notifications"]


def test_the_longest_message_fits_what_slack_and_teams_take() -> None:
    entry = Entry("y" * 100, "http://npd/" + "z" * 120)
    group = Group("x" * 180, [entry] * MAX_ENTRIES, 99, "http://npd/more")
    long = replace(LETTER, groups=[group] * MAX_GROUPS, more_groups=30)
    shown = sum(len(one) for one in texts(chat_body(Medium.SLACK, long)["blocks"]))
    assert shown < 13_000
    assert len(json.dumps(chat_body(Medium.TEAMS, long))) < 28_000


@pytest.mark.parametrize(
    ("status", "says", "is_final", "words"),
    [
        (404, b"no_service", True, "the webhook was removed"),
        (410, b"channel_is_archived", True, "the channel is archived"),
        (403, b"action_prohibited", False, "the workspace does not allow it"),
        (500, b"<html>secret page</html>", False, "HTTP 500"),
        (302, b"", False, "redirect is not followed"),
    ],
)
def test_what_a_webhook_answers_is_said_in_words_of_ours(
    chat: Chat, status: int, says: bytes, is_final: bool, words: str
) -> None:
    chat.status, chat.says = status, says
    chat.headers = {"Location": "http://127.0.0.1:1/"} if status == 302 else {}
    outcome = send_chat(Medium.SLACK, chat.address, LETTER)
    assert (outcome.is_sent, outcome.is_final) == (False, is_final)
    assert words in outcome.problem
    assert "html" not in outcome.problem
    assert len(chat.posted) == 1


@pytest.mark.parametrize(
    ("asked", "wait"),
    [
        ("120", 120),
        ("99999999", outgoing_calls.LONGEST_WAIT),
        ("Fri, 01 Jan 99999 00:00:00 GMT", 0),
        ("Fri, 01 Jan 9999999999999999999 00:00:00 GMT", 0),
        ("soon", 0),
    ],
)
def test_a_receiver_that_asks_for_rest_gets_it_but_not_until_what_can_not_be(
    chat: Chat, asked: str, wait: float
) -> None:
    chat.status, chat.headers = 429, {"Retry-After": asked}
    outcome = send_chat(Medium.SLACK, chat.address, LETTER)
    assert (outcome.is_sent, outcome.wait) == (False, wait)


def test_a_receiver_that_answers_a_byte_now_and_then_is_left_at_the_deadline(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing_calls, "CALL_SECONDS", 0.2)
    chat.status = None
    outcome = send_chat(Medium.TEAMS, chat.address, LETTER)
    assert (outcome.is_sent, outcome.problem) == (False, "It did not answer in time.")


def own_certificate(folder: Path) -> str:
    """A file with a key and a certificate of 127.0.0.1 that nobody but itself vouches for."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    signed = made.add_extension(names, critical=True).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    plain = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = folder / "certificate.pem"
    file.write_bytes(plain + signed.public_bytes(pem))
    return str(file)


def test_the_deadline_ends_a_call_over_tls_too(chat: Chat, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    certificate = own_certificate(tmp_path)
    chat.speak_tls(certificate)
    assert "certificate isn't valid" in send_chat(Medium.TEAMS, chat.address, LETTER).problem
    monkeypatch.setattr(requests.adapters, "DEFAULT_CA_BUNDLE_PATH", certificate)
    assert send_chat(Medium.TEAMS, chat.address, LETTER).is_sent
    monkeypatch.setattr(outgoing_calls, "CALL_SECONDS", 0.3)
    chat.status = None
    # Without the deadline it would end after this, by an answer that breaks off.
    end = threading.Timer(5, chat.over.set)
    end.start()
    outcome = send_chat(Medium.TEAMS, chat.address, LETTER)
    end.cancel()
    assert (outcome.problem, chat.over.is_set()) == (TOO_SLOW, False)


def test_the_search_for_a_name_is_within_the_deadline(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing_calls, "CALL_SECONDS", 0.05)
    ask, over = socket.getaddrinfo, threading.Event()

    def slow(*args: Any, **kwargs: Any) -> Any:
        over.wait(0.3)
        return ask(*args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    assert send_chat(Medium.SLACK, chat.address, LETTER).problem == TOO_SLOW
    assert not chat.posted


def test_of_a_name_with_many_addresses_three_are_tried(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def nobody(place: tuple[str, int], timeout: float) -> None:
        tried.append(place)
        raise OSError

    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{number}", 9)) for number in range(1, 20)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)
    monkeypatch.setattr(socket, "create_connection", nobody)
    assert not send_chat(Medium.SLACK, "http://hooks.example.org/x", LETTER).is_sent
    assert len(tried) == 3


def test_an_answer_that_is_no_http_brings_the_address_into_no_log_line(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.NOTIFY_PRIVATE_ADDRESSES = True
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            asking, _ = server.accept()
            with asking:
                asking.recv(65_536)
                asking.sendall(b"HTTP/1.1 200 OK\r\nX-\xff: 1\r\nContent-Length: 2\r\n\r\nok")

        answering = beside(answer)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/{SECRET}"
        send_chat(Medium.SLACK, address, LETTER)
        answering.result(60)
    assert SECRET not in caplog.text


def test_the_address_is_in_no_log_line_and_in_no_sentence(chat: Chat, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    chat.status = 500
    addresses = (chat.address, chat.address.replace("http:", "https:"), f"http://127.0.0.1:1/{SECRET}")
    problems = [send_chat(Medium.SLACK, address, LETTER).problem for address in addresses]
    assert all(problems)
    assert SECRET not in " ".join(problems) + caplog.text


@pytest.mark.parametrize(
    "address",
    [
        "http://hooks.example.org/x",
        "https://user:word@hooks.example.org/x",
        "https://hooks.example.org:22/x",
        "https:///x",
        "https://hooks.example.org/a b",
        "https://hooks.example.org/\r\nHost: x",
        "javascript:alert(1)",
        "https://[::1/x",
        "https://127.0.0.1/x",
        "https://10.0.0.8/x",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:10.0.0.8]/x",
        "https://[64:ff9b::a00:8]/x",
        "https://[2002:a00:8::1]/x",
        "https://[fd00::1]/x",
        "https://[fec0::1]/x",
        "https://0.0.0.0/x",
        "https://224.0.0.1/x",
        "https://100.64.0.1/x",
        "https://192.0.0.192/x",
        "https://192.88.99.1/x",
    ],
)
def test_an_address_to_which_nothing_may_be_sent_is_not_taken(address: str) -> None:
    with pytest.raises(AddressError):
        check_address(address)


def test_a_public_https_address_is_taken() -> None:
    check_address("https://hooks.slack.com/services/T0/B0/x")
    check_address("https://prod-01.westeurope.logic.azure.com:443/workflows/x?sig=y")


def test_a_name_that_leads_into_a_private_network_is_not_called(
    chat: Chat, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is resolved for the very connection: a name that led elsewhere when it was typed helps nobody."""
    settings.NOTIFY_PRIVATE_ADDRESSES = False
    port = chat.server.server_address[1]
    # The usual port of https, at which nobody listens here; only the name's place is asked about.
    for place in ("127.0.0.1", "10.1.2.3", "::ffff:192.168.0.1"):
        found = (socket.AF_INET, socket.SOCK_STREAM, 6, "", (place, port))
        public = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", 443))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, found=found, public=public, **kw: [public, found])
        outcome = send_chat(Medium.SLACK, f"https://hooks.example.org/{SECRET}", LETTER)
        assert (outcome.problem, outcome.is_final) == (NOT_PUBLIC, True)
    assert not chat.posted
