"""The zone in which the admin's pages say their times: the browser's, which our script tells in a cookie.

Only the admin's: the API speaks UTC, whoever asks. A browser that hasn't told its zone yet, or tells one that nobody
knows, reads the installation's (the variable TIME_ZONE).
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, available_timezones

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

if TYPE_CHECKING:  # the settings import this module, before Django is ready for more
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponseBase

    Respond = Callable[[HttpRequest], HttpResponseBase]

COOKIE = "npd_zone"
PAGES = "/admin/"


class ZoneMiddleware:
    """Activate the reader's zone while a page of the admin is made."""

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        page = request.path_info.startswith(PAGES)
        with timezone.override(zone_of(request)) if page else nullcontext():
            return self.get_response(request)


def zone_of(request: HttpRequest) -> ZoneInfo:
    """The zone that the browser told, where there is one of that name; else the installation's."""
    told = request.COOKIES.get(COOKIE, "")
    return ZoneInfo(told if told in _known() else settings.PAGES_TIME_ZONE)


def checked(name: str) -> str:
    """Return the name of a zone. Raises ImproperlyConfigured where there is none of that name."""
    if name not in _known():
        raise ImproperlyConfigured(
            f"TIME_ZONE is “{name}”, which no zone is called: set a name like Europe/Stockholm, or leave it out"
        )
    return name


@lru_cache(maxsize=1)
def _known() -> frozenset[str]:
    """All zones' names; a name is looked up here, never on the disk: it comes from outside."""
    return frozenset(available_timezones())
