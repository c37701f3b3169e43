"""The way of a message to a receiver: by SMTP, or by HTTPS to a chat's webhook; and what came of it."""

from __future__ import annotations

import json
import smtplib
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives

from sync.kernel.outgoing_calls import REDIRECTED, AddressError, CallFailed, post_json
from sync.models.notification import Medium
from sync.operations.notifications.message_formats import Letter, chat_body, clean, email_html, email_text


@dataclass(frozen=True)
class Outcome:
    """What came of a message: sent, or why not, as a sentence.

    `is_final`: another attempt would fail, too. `is_ours`: nobody's address is at fault, so nobody is switched off for
    it. `wait` is for how many seconds the receiver asks to be left alone.
    """

    is_sent: bool
    problem: str = ""
    is_final: bool = False
    is_ours: bool = False
    wait: float = 0.0


SENT = Outcome(True)


def _failed(problem: str, **more: Any) -> Outcome:
    return Outcome(False, problem, **more)


# Email, by Django's backend.


def is_email_configured() -> bool:
    """Whether this installation can send email at all."""
    return bool(settings.EMAIL_HOST) or not settings.EMAIL_BACKEND.endswith("smtp.EmailBackend")


NO_EMAIL = "Email isn't set up on this installation. An administrator sets EMAIL_HOST."


def send_email(address: str, letter: Letter, message_id: str) -> Outcome:
    """Send an email. The same message has the same id, by which mail programs know one that came twice."""
    if not is_email_configured():
        return _failed(NO_EMAIL, is_ours=True)
    headers = {"Message-ID": message_id, "Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "All"}
    mail = EmailMultiAlternatives(clean(letter.subject), email_text(letter), to=[address], headers=headers)
    mail.attach_alternative(email_html(letter), "text/html")
    try:
        mail.send()
    except (smtplib.SMTPException, OSError, ValueError) as error:
        return _mail_problem(error, address)
    return SENT


def _mail_problem(error: Exception, address: str) -> Outcome:
    match error:
        case smtplib.SMTPRecipientsRefused():
            code, text = next(iter(error.recipients.values()), (0, b""))
            said = clean(text.decode("utf-8", "replace"), 200)
            return _failed(f"The mail server does not accept {address} ({code} {said}).", is_final=500 <= code < 600)
        case smtplib.SMTPAuthenticationError():
            reason = "it does not accept EMAIL_HOST_USER and EMAIL_HOST_PASSWORD"
        case smtplib.SMTPResponseException():
            reason = f"it answered with code {error.smtp_code}"
        case TimeoutError():
            reason = "it did not answer in time"
        case smtplib.SMTPException() | OSError():
            reason = "it can't be reached"
        case _:
            return _failed(f"“{address}” is no email address.", is_final=True)
    return _failed(f"The mail server did not take the message: {reason}. An administrator checks it.", is_ours=True)


# Chat, by its webhook.


def send_chat(medium: Medium, address: str, letter: Letter) -> Outcome:
    """Post a message to a chat's webhook."""
    try:
        answer = post_json(address, json.dumps(chat_body(medium, letter)))
    except AddressError as why:
        return _failed(str(why), is_final=True)
    except CallFailed as why:
        return _failed(str(why))
    if answer.is_success:
        return SENT
    if answer.is_redirect:
        return _failed(REDIRECTED)
    status = answer.status
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return _failed("It asks for fewer messages.", wait=answer.wait)
    word = answer.body.decode("utf-8", "replace").strip()
    reason = _SLACK_SAYS.get(word, "") if medium == Medium.SLACK else ""
    is_gone = status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)
    if not reason:
        reason = "there is no such webhook any more" if is_gone else f"it answered with HTTP {status}"
    return _failed(f"{medium.label} did not take the message: {reason}.", is_final=is_gone)


_SLACK_SAYS = {
    "channel_is_archived": "the channel is archived",
    "channel_not_found": "the channel is gone",
    "no_service": "the webhook was removed",
    "no_active_hooks": "the webhook was removed",
    "invalid_token": "the webhook was removed",
    "action_prohibited": "the workspace does not allow it",
    "user_not_found": "the user is gone",
    "invalid_payload": "it does not understand the message",
}
"""What Slack answers with, as docs.slack.dev lists it; no other text of a receiver is shown or stored."""
