"""Emails to people, and the sentences about failures to send."""

import smtplib

from django.conf import settings
from django.core.mail import EmailMessage

from sync.kernel.humanize import one_line, shorten
from sync.kernel.secret_texts import without_secrets

SMTP = "django.core.mail.backends.smtp.EmailBackend"  # Django's default

NO_EMAIL_SERVER = "No email server is set up. Whoever runs NPD Sync can add one."
EMAILS_ARE_FILES = "Emails are only written as files into var/mail here, so nobody gets them."

MAX_SUBJECT = 160  # characters


class NotSent(Exception):
    """A message was not sent; the text says why, without secrets."""


def is_email_configured() -> bool:
    return bool(settings.EMAIL_HOST) or settings.EMAIL_BACKEND != SMTP


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
