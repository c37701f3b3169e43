"""Sends messages to a chat of the site, by Apprise; notifications.py writes them.

A person who enters an address makes this server call it. So only five services are allowed, at their own hosts: by
https with a checked certificate, without redirects and without Apprise's options. An address is a secret: it is stored
encrypted, and no sentence or log line contains it.
"""

import re
import sys
from collections.abc import Mapping
from functools import cache, partial
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests
from apprise import Apprise, AppriseAsset, NotifyFormat
from apprise.exception import AppriseImproperlyConfigured
from apprise.plugins.discord import NotifyDiscord
from apprise.plugins.google_chat import NotifyGoogleChat
from apprise.plugins.slack import NotifySlack
from apprise.plugins.telegram import NotifyTelegram
from apprise.plugins.workflows import NotifyWorkflows
from django.conf import settings

from sync.kernel.mails import NotSent
from sync.kernel.process import call_within, cut_off
from sync.kernel.secret_texts import without_secrets
from sync.limits import credentials

# Name, and the query options allowed in its address.
SERVICES: Mapping[Any, tuple[str, frozenset[str]]] = {
    NotifySlack: ("Slack", frozenset()),
    NotifyWorkflows: ("Microsoft Teams", frozenset({"api-version", "sp", "sv", "sig"})),
    NotifyDiscord: ("Discord", frozenset()),
    NotifyGoogleChat: ("Google Chat", frozenset({"key", "token"})),
    NotifyTelegram: ("Telegram", frozenset()),
}

# Teams addresses contain their own host, so it is checked; the others' hosts are fixed.
TEAMS_HOSTS = (".logic.azure.com", ".environment.api.powerplatform.com")

HTTPS_PORT = 443

# A chat that hangs must not use up the run's time for other receivers.
CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 8.0
WHOLE_SECONDS = 20.0

# Certificates, redirects and timeouts are Apprise's own options (`_service_at`). But it has none that limits an answer,
# takes no session and reads answers whole (seen in 2.3), so what its plugins know as `requests` is replaced.
_CALLS = {
    name: partial(getattr(requests, name), stream=True, hooks={"response": cut_off})
    for name in ("get", "post", "request")
}
for _kind in SERVICES:
    sys.modules[_kind.__module__].requests = SimpleNamespace(**(vars(requests) | _CALLS))  # type: ignore[attr-defined]

# Characters that a chat would read as a mention, a link or a format; names of columns come from the board.
PLAIN = str.maketrans({"<": "‹", ">": "›", "[": "(", "]": ")", "@": "＠", "`": "'"})


class AddressError(ValueError):
    """An address that isn't allowed; the text says why, without the address."""


NO_CHAT = (
    "This isn't the address of a webhook of Slack, Microsoft Teams, Discord or Google Chat, nor of a Telegram chat "
    "(tgram://bot token/chat ID). Copy the whole of it."
)


def service_name(address: str) -> str:
    """Return the name of the address's service; raises AddressError."""
    return SERVICES[type(_service_at(address))][0]


def post(address: str, title: str, text: str) -> None:
    """Send a message to a chat; raises NotSent."""
    try:
        service = _service_at(address)
    except AddressError as error:
        raise NotSent(str(error)) from None
    apprise = Apprise(asset=_asset())
    apprise.add(service)
    name = SERVICES[type(service)][0]
    message = {"title": title.translate(PLAIN), "body": text.translate(PLAIN)}
    try:
        result = call_within(WHOLE_SECONDS, apprise.notify, **message, body_format=NotifyFormat.TEXT.value)
    except TimeoutError:
        raise NotSent(f"{name} did not answer in time.") from None
    # An AppriseResult: false if the message failed, with a log that says why.
    if not result:
        reason = " ".join(entry.message for entry in result.logs())
        raise NotSent(f"{name} did not take the message. {without_secrets(reason)}")


def _service_at(address: str) -> Any:
    """Return Apprise's sender for an address; conceal its secret parts from logs. Raises AddressError."""
    # Not the host, which has a dot, nor words such as “services”, which are too short for `conceal`.
    credentials.conceal(*(part for part in re.split(r"[/?&=]", address) if "." not in part))
    # What Apprise might read in another way than the check of options below: to it a semicolon separates options too.
    if not address.isascii() or not address.isprintable() or set(address) & set(" ;#\\"):
        raise AddressError(NO_CHAT)
    for kind, (_name, options) in SERVICES.items():
        parsed = _parse_address(kind, address)
        if parsed is None:
            continue
        if {name for name, _value in parse_qsl(urlsplit(address).query, keep_blank_values=True)} - options:
            raise AddressError("The address has an option that it may not have. Copy it as the chat shows it.")
        try:
            service = kind(**parsed, asset=_asset())
        except AppriseImproperlyConfigured:
            raise AddressError(NO_CHAT) from None
        if kind is NotifyWorkflows and not (service.host.endswith(TEAMS_HOSTS) and service.port in (None, HTTPS_PORT)):
            raise AddressError("The address is not at Microsoft's hosts.")
        if kind is NotifyTelegram and not service.targets:
            # Apprise would write to the first person who wrote to the bot.
            raise AddressError("The address must end with the ID of a chat: tgram://bot token/chat ID.")
        service.verify_certificate = True
        service.redirects = False
        service.socket_connect_timeout = CONNECT_SECONDS
        service.socket_read_timeout = ANSWER_SECONDS
        return service
    raise AddressError(NO_CHAT)


def _parse_address(kind: Any, address: str) -> dict[str, Any] | None:
    """Return the parts of an address, or None if it isn't one of this service."""
    try:
        if address.startswith("tgram://"):
            return kind.parse_url(address) if kind is NotifyTelegram else None  # type: ignore[no-untyped-call]
        return kind.parse_native_url(address) if address.startswith("https://") else None
    except (LookupError, TypeError):  # the address is incomplete
        return None


@cache
def _asset() -> AppriseAsset:
    # Without images, because these are at github.com.
    return AppriseAsset(
        app_id="NPD Sync",
        app_desc="NPD Sync",
        app_url=settings.SITE_URL,
        image_url_mask="",
        image_url_logo="",
        http_redirects=False,
        async_mode=False,
    )
