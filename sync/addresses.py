"""The addresses of boards, items, records and pages."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.urls import NoReverseMatch, reverse

from sync.models import BoardLink
from sync.registry import entity, is_registered

MONDAY_HOST = "api.monday.com"


def board_url(link: BoardLink) -> str:
    return f"{monday_web_url()}/{'board' if is_sandbox() else 'boards'}/{link.board_id}"


def item_url(link: BoardLink, item_id: str) -> str:
    """Return the address of an item on Monday or in the sandbox."""
    return f"{board_url(link)}/pulses/{item_id}"


def monday_web_url() -> str:
    """Return the address of the boards for browsers."""
    if settings.MONDAY_WEB_URL:
        return str(settings.MONDAY_WEB_URL)
    if not is_sandbox():
        return "https://app.monday.com"
    parts = urlsplit(settings.MONDAY_API_URL)
    port = f":{parts.port}" if parts.port else ""
    # Host and port only: the API's address may contain a user and a password.
    return f"{parts.scheme}://{parts.hostname}{port}"


def is_sandbox() -> bool:
    """Whether calls go to an address other than Monday's own."""
    return urlsplit(settings.MONDAY_API_URL).hostname != MONDAY_HOST


def record_url(entity_type: str, entity_id: UUID | str) -> str:
    """Return the record's page in the admin, or an empty text if its model has none."""
    if not is_registered(entity_type):
        return ""
    opts = entity(entity_type).model._meta
    return page_url(f"{opts.app_label}_{opts.model_name}_change", entity_id)


def page_url(name: str, *args: Any, query: Mapping[str, str] | None = None) -> str:
    """Return the address of an admin page; empty if it doesn't exist, because its application isn't installed."""
    try:
        return reverse(f"admin:{name}", args=args, query=query)
    except NoReverseMatch:
        return ""
