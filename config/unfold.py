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
from django.core.cache.backends.locmem import LocMemCache
from django.core.exceptions import ImproperlyConfigured
from django.db.models import AutoField, Model, Q
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse
from django.utils import timezone
from django.utils.text import capfirst
from unfold.dataclasses import SearchResult

from config.navigation import found_pages, navigation, section_of

if TYPE_CHECKING:  # the settings import this module, before Django is ready for more
    from collections.abc import Callable, Sequence

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


# Django-unfold's settings: styles, sidebar and sections.


def own_styles(request: HttpRequest) -> str:
    """Return the address of our small style sheet; at request time, when static files are known."""
    return static("npd/npd.css")


def own_script(request: HttpRequest) -> str:
    """Return the address of our small script."""
    return static("npd/npd.js")


def live_script(request: HttpRequest) -> str:
    """Return the address of the script that keeps open pages up to date (config/live_updates.py)."""
    return static("npd/live.js")


def favicon(request: HttpRequest) -> str:
    """Return the address of the site's symbol."""
    return static("npd/favicon.svg")


def page_context(request: HttpRequest) -> dict[str, Any]:
    """Return what every page of the admin needs: its section, and which Monday the site talks to."""
    from sync.admin.connection_pages import banner_context

    if not request.user.is_authenticated:
        accounts = apps.get_model(settings.AUTH_USER_MODEL)._default_manager
        return {"is_demo": settings.DEMO, "has_accounts": settings.DEMO or accounts.exists()}
    return banner_context(request) | {"section": section_of(request)}


FOUND_PER_LIST = 8
FOUND_RECORDS = 50
"""Records of a type whose conflicts and jobs are found with them, also by what the records alone say."""

SEARCHED = (
    ("conflicts.SyncConflict", "call_split"),
    ("sync.SyncQueue", "queue"),
    ("sync.UnmatchedItem", "fiber_new"),
    ("sync.Tombstone", "delete"),
    ("sync.BoardLink", "view_kanban"),
)
"""What Ctrl+K searches besides the records, each with its icon."""


def find(request: HttpRequest, term: str) -> list[SearchResult]:
    """Return what Ctrl+K finds besides pages, by name, email or number: records, conflicts, jobs, deleted records,
    boards; of each what this person may see.
    """
    from django.contrib import admin

    from sync import registry

    searched = [(spec.model, spec.icon) for spec in registry.entities()]
    searched += [(apps.get_model(label), icon) for label, icon in SEARCHED]
    found: list[SearchResult] = found_pages(request, term)
    record_ids: list[Any] = []
    for model, icon in searched:
        model_admin = admin.site._registry.get(model)
        if model_admin is None or not model_admin.has_view_permission(request):
            continue
        rows = _found_rows(request, model_admin, term, record_ids)
        if registry.is_registered(model._meta.model_name or ""):
            record_ids += [row.pk for row in rows]
        found += _search_results(request, model, icon, rows[:FOUND_PER_LIST])
    nothing = f"No record, conflict, job or board is called “{term}”"
    return found or [SearchResult(nothing, NOT_FOUND_HINT, reverse("admin:index") + NOTHING_FOUND, "search_off")]


def _found_rows(request: HttpRequest, model_admin: Any, term: str, record_ids: Sequence[Any]) -> list[Any]:
    """The rows of one list that a search finds, with those about records that were found."""
    model = model_admin.model
    rows = model_admin.get_queryset(request).order_by(*model_admin.get_ordering(request))
    if model._meta.label == "sync.BoardLink":
        rows = rows.filter(Q(board_id=term) | Q(shape__name__icontains=term) | Q(entity_type__istartswith=term))
    else:
        named, _ = model_admin.get_search_results(request, rows, term)
        fields = {field.name for field in model._meta.concrete_fields}
        more = Q(pk__in=[])
        if "entity_id" in fields and record_ids:
            more |= Q(entity_id__in=record_ids)
        if isinstance(model._meta.pk, AutoField) and (number := term.removeprefix("#")).isdecimal():
            more |= Q(pk=int(number[:18]))
        rows = rows.filter(Q(pk__in=named.order_by().values("pk")) | more) if more else named
    if model._meta.label == "sync.SyncQueue":
        rows = rows.exclude(status="completed")
    return list(rows.distinct()[:FOUND_RECORDS])


def _search_results(request: HttpRequest, model: type[Model], icon: str, rows: Sequence[Any]) -> list[SearchResult]:
    from sync.registry import known_names, visible_types

    opts, found, types = model._meta, [], visible_types(request.user)
    names = known_names(types, ((row.entity_type, row.entity_id) for row in rows if hasattr(row, "entity_id")))
    for row in rows:
        if hasattr(row, "entity_id"):
            name = names.get((row.entity_type, row.entity_id))
            number = f" #{row.pk}" if isinstance(row.pk, int) else ""
        else:
            # A board is called as on Monday, where that is known.
            name, number = str(getattr(row, "shape", {}).get("name") or ""), ""
        link = reverse(f"admin:{opts.app_label}_{opts.model_name}_change", args=[row.pk])
        found.append(SearchResult(name or str(row), f"{capfirst(str(opts.verbose_name))}{number}", link, icon))
    return found


NOTHING_FOUND = "#nothing-found"
"""By this npd.css knows the line, below which unfold would count it as a result."""

NOT_FOUND_HINT = "names, email addresses, phone numbers and the numbers of items and jobs are searched"


class FreshSearchCache(LocMemCache):
    """The process's cache, without what a search found: unfold would show for five minutes what is gone by now, or what
    this person may not see any more.
    """

    def set(self, key: str, *args: Any, **kwargs: Any) -> None:
        """Keep a value, unless it is what a search found."""
        if not key.startswith("unfold_search_"):
            super().set(key, *args, **kwargs)


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "NPD Sync",
    "SITE_HEADER": "NPD Sync",
    "SITE_URL": None,
    "SITE_SYMBOL": "sync_alt",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": favicon}],
    "STYLES": [own_styles],
    "SCRIPTS": [own_script, live_script],
    "GLOBAL_CALLBACK": "config.unfold.page_context",
    "DASHBOARD_CALLBACK": "config.navigation.dashboard",
    "SHOW_HISTORY": True,
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
            {"title": "Notifications", "link": lambda request: reverse("npd-notifications")},
            {"title": "Change password", "link": lambda request: reverse("admin:password_change")},
        ]
    },
    "COMMAND": {"search_callback": "config.unfold.find"},
    "SIDEBAR": {"show_search": False, "show_all_applications": False, "navigation": navigation},
}
