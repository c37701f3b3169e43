"""How the admin looks, its sidebar, and its time zone: django-unfold's settings.

The zone is the browser's, which our script sends in a cookie. Only the admin's: the API speaks UTC, whoever
asks. For a browser that sends none, or an unknown one, it is the installation's (variable TIME_ZONE).
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, available_timezones

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils import timezone

from config.navigation import SECTIONS, diagnostics_tabs, navigation, section_of

if TYPE_CHECKING:  # the settings import this module, before Django is ready for more
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponseBase

    Respond = Callable[[HttpRequest], HttpResponseBase]


ZONE_COOKIE = "npd_zone"
ZONE_PAGES = "/admin/"


class ZoneMiddleware:
    """Activate the reader's time zone while a page of the admin is rendered."""

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        page = request.path_info.startswith(ZONE_PAGES)
        with timezone.override(zone_of(request)) if page else nullcontext():
            return self.get_response(request)


def zone_of(request: HttpRequest) -> ZoneInfo:
    """Return the zone that the browser sent, if it exists; else the installation's."""
    zone_name = request.COOKIES.get(ZONE_COOKIE, "")
    return ZoneInfo(zone_name if zone_name in _known_zones() else settings.PAGES_TIME_ZONE)


def check_zone(name: str) -> str:
    """Return the name of a zone. Raises ImproperlyConfigured where no zone has that name."""
    if name not in _known_zones():
        raise ImproperlyConfigured(
            f"TIME_ZONE is “{name}”, which no zone is called: set a name like Europe/Stockholm, or leave it out"
        )
    return name


@lru_cache(maxsize=1)
def _known_zones() -> frozenset[str]:
    # Looked up here, never on the disk: the name comes from outside.
    return frozenset(available_timezones())


def page_context(request: HttpRequest) -> dict[str, Any]:
    """Return what every page of the admin needs: its section, and which Monday the site talks to."""
    from sync.admin.connection_pages import banner_context

    if not request.user.is_authenticated:
        accounts = apps.get_model(settings.AUTH_USER_MODEL)._default_manager
        return {"is_demo": settings.DEMO, "has_accounts": settings.DEMO or accounts.exists()}
    return banner_context(request) | {"section": section_of(request)}


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "NPD Sync",
    "SITE_HEADER": "NPD Sync",
    "SITE_URL": None,
    "SITE_SYMBOL": "sync_alt",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("npd/favicon.svg")}],
    # At request time, when static files are known.
    "STYLES": [lambda request: static("npd/npd.css")],
    "SCRIPTS": [
        lambda request: static("npd/npd.js"),
        lambda request: static("npd/live.js"),
        lambda request: static("npd/search.js"),
    ],
    "GLOBAL_CALLBACK": "config.unfold.page_context",
    "DASHBOARD_CALLBACK": "config.navigation.dashboard",
    "SHOW_HISTORY": False,
    "TABS": diagnostics_tabs,
    "COLORS": {
        "primary": {
            "50": "oklch(97% .014 254.604)",
            "100": "oklch(93.2% .032 255.585)",
            "200": "oklch(88.2% .059 254.128)",
            "300": "oklch(80.9% .105 251.813)",
            "400": "oklch(70.7% .165 254.624)",
            "500": "oklch(62.3% .214 259.815)",
            "600": "oklch(54.6% .245 262.881)",
            "700": "oklch(48.8% .243 264.376)",
            "800": "oklch(42.4% .199 265.638)",
            "900": "oklch(37.9% .146 265.522)",
            "950": "oklch(28.2% .091 267.935)",
        }
    },
    "ACCOUNT": {
        "navigation": [
            {"title": one.title, "link": reverse_lazy(one.url)} for one in SECTIONS if one.block == "Your account"
        ]
    },
    "SIDEBAR": {"show_search": False, "show_all_applications": False, "navigation": navigation},
}
