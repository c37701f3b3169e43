"""Emails to people, and the sentences about failures to send."""

import smtplib
import time
from contextlib import suppress
from socket import SHUT_RDWR
from typing import Any

import structlog
from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends import smtp

from sync.kernel.humanize import one_line, shorten
from sync.kernel.process import call_within
from sync.kernel.secret_texts import without_secrets

log = structlog.get_logger(__name__)

NO_EMAIL_SERVER = "No email server is set up. Whoever runs NPD Sync can add one."
EMAILS_ARE_FILES = "Emails are only written as files into var/mail here, so nobody gets them."

MAX_SUBJECT = 160  # characters

# A server may check a message for minutes (RFC 5321, 4.5.3.2.6), while other receivers wait.
ANSWER_SECONDS = 30
# All answers to one email: byte by byte, they outlast the timeouts of the socket.
WHOLE_SECONDS = 60


class NotSent(Exception):
    """A message was not sent; the text says why, without secrets."""


class PatientSMTP(smtplib.SMTP):
    """Counts a message as sent if the server has all of it and doesn't answer: it would come again at each attempt."""

    has_message = False

    def __init__(self, *args: Any, **options: Any) -> None:
        self.deadline = time.monotonic() + WHOLE_SECONDS
        super().__init__(*args, **options)

    def getreply(self) -> tuple[int, bytes]:
        try:
            return call_within(self.deadline - time.monotonic(), super().getreply)
        except TimeoutError as error:
            with suppress(OSError):
                if self.sock is not None:
                    self.sock.shutdown(SHUT_RDWR)  # ends the thread that reads, and would hold up `close`
            self.close()
            raise smtplib.SMTPServerDisconnected("it took too long to answer") from error

    def send(self, s: Any) -> None:
        super().send(s)
        self.has_message = s[-3:] == b".\r\n"

    def data(self, msg: Any) -> Any:
        if self.sock is not None:
            self.sock.settimeout(ANSWER_SECONDS)
        try:
            return super().data(msg)
        except smtplib.SMTPServerDisconnected as error:
            if not (self.has_message and isinstance(error.__context__, TimeoutError)):
                raise
            log.warning("the email server has a message and doesn't answer; it counts as sent")
            return 250, b""


class PatientSMTPOverTLS(PatientSMTP, smtplib.SMTP_SSL):
    """The same, by TLS from the first byte."""


class EmailBackend(smtp.EmailBackend):
    @property
    def connection_class(self) -> type[smtplib.SMTP]:
        return PatientSMTPOverTLS if self.use_ssl else PatientSMTP


def is_email_configured() -> bool:
    return bool(settings.EMAIL_HOST) or settings.EMAIL_BACKEND != "sync.kernel.mails.EmailBackend"


def writes_emails_to_files() -> bool:
    """Whether emails are written into var/mail, as in the demo, instead of being sent."""
    return settings.EMAIL_BACKEND.endswith("filebased.EmailBackend")


def send_email(address: str, subject: str, text: str) -> None:
    """Send an email; raises NotSent."""
    if not is_email_configured():
        raise NotSent(NO_EMAIL_SERVER)
    # The header prevents out-of-office replies.
    headers = {"Auto-Submitted": "auto-generated"}
    mail = EmailMessage(shorten(one_line(subject), MAX_SUBJECT), text, to=[address], headers=headers)
    try:
        mail.send()
    except smtplib.SMTPRecipientsRefused as error:
        code, answer = next(iter(error.recipients.values()))
        text = _in_short(answer.decode("utf-8", "replace"))
        raise NotSent(f"The email server does not accept {address} ({code} {text}).") from error
    except (smtplib.SMTPException, OSError, ValueError) as error:
        reason = _in_short(str(error))
        raise NotSent(f"The email server did not take the message: {reason}. An administrator checks it.") from error


def _in_short(text: str) -> str:
    return shorten(one_line(without_secrets(text)))
