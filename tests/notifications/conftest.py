"""A mail server and a chat's webhook, with settings that lead to them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.receivers import Chat, MailServer, chat_server, mail_server


@pytest.fixture
def mail(settings: Any) -> Iterator[MailServer]:
    with mail_server() as found:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"  # pytest-django puts its own there
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", found.port
        settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
        yield found


@pytest.fixture
def chat(settings: Any) -> Iterator[Chat]:
    """It listens on this machine, which is a private address."""
    settings.NOTIFY_PRIVATE_ADDRESSES = True
    with chat_server() as found:
        yield found
