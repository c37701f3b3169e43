"""How the admin looks, its sidebar, and its time zone: django-unfold's settings.

The zone is the browser's, which our script sends in a cookie. Only the admin's: the API speaks UTC, whoever
asks. For a browser that sends none, or an unknown one, it is the installation's (variable TIME_ZONE).
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, available_timezones

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Q
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.text import capfirst
from unfold.dataclasses import SearchResult

from sync.apps import LIVE_ROWS, NEW_ITEMS

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


# Django-unfold's settings: styles, sidebar and sections.


CONFLICTS, QUEUE, GUARD = "conflicts_syncconflict", "sync_syncqueue", "sync_guardedact"


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
    from sync.admin.board_pages import banner_context

    if not request.user.is_authenticated:
        return {"is_demo": settings.DEMO}
    return banner_context() | {"section": next((found for found in sections() if found.contains(request)), None)}


def sidebar_counts(request: HttpRequest) -> dict[str, int]:
    """Return the sidebar's counts: open conflicts, and pending approvals; one query."""
    from django.db.models import CharField, Count, Value

    from conflicts.models import SyncConflict
    from sync.models.state import GuardedAct

    if not hasattr(request, "waiting_for_people"):
        conflicts = SyncConflict.objects.filter(resolved_at=None).order_by()
        pending_approvals = GuardedAct.objects.filter(state="held").order_by()
        counted = [
            rows.annotate(model=Value(model, CharField())).values_list("model").annotate(number=Count("pk"))
            for rows, model in ((conflicts, CONFLICTS), (pending_approvals, GUARD))
        ]
        request.waiting_for_people = dict(counted[0].union(counted[1], all=True))  # type: ignore[attr-defined]
    found: dict[str, int] = request.waiting_for_people  # type: ignore[attr-defined]
    return found


@dataclass(frozen=True)
class Section:
    """A part of the site: its name in the sidebar, the heading and the window's title."""

    group: str | Promise
    title: str | Promise
    icon: str
    model: str
    query: str = ""

    @property
    def path(self) -> str:
        """Return the address of its first page."""
        return reverse(f"admin:{self.model}_changelist" if self.model else "admin:index")

    @property
    def link(self) -> str:
        """Return the address with the filters that the sidebar sets."""
        return f"{self.path}?{self.query}" if self.query else self.path

    def contains(self, request: HttpRequest) -> bool:
        """Whether the requested page belongs to it."""
        if not self.model:
            return request.path == self.path
        items = "what=items" in request.META.get("QUERY_STRING", "")
        is_own_queue = items == (self.query == NEW_ITEMS) if self.model == QUEUE else True
        return is_own_queue and request.path.startswith(self.path)

    def may_be_seen(self, request: HttpRequest) -> bool:
        """Whether this person may see the rows behind it."""
        app, _, model = self.model.rpartition("_")
        return not self.model or any(request.user.has_perm(f"{app}.{act}_{model}") for act in ("view", "change"))


HEALTH = Section("", "Sync health", "monitor_heart", "")
SECTIONS = (
    Section("Sync", "Conflicts", "call_split", CONFLICTS),
    Section("Sync", "Approvals", "gpp_maybe", GUARD, "state__exact=held"),
    Section("Sync", "Queue", "queue", QUEUE, LIVE_ROWS),
    Section("Sync", "Unmatched items", "fiber_new", QUEUE, NEW_ITEMS),
    Section("Sync", "Boards", "view_kanban", "sync_boardlink"),
    Section("Sync", "Monday account", "key", "sync_mondayaccount"),
    Section("Log", "Activity", "history", "sync_decision"),
    Section("Log", "Sync state", "menu_book", "sync_syncmetadata"),
    Section("Log", "API writes", "send", "sync_intent"),
    Section("Log", "Verification", "verified", "sync_syncaudit"),
    Section("Log", "Webhooks received", "webhook", "sync_webhookevent"),
    Section("Log", "Deleted records", "delete", "sync_tombstone"),
    Section("Log", "Ignored items", "block", "sync_refuseditem"),
    Section("Administration", "Users", "badge", "auth_user"),
    Section("Administration", "Groups", "group", "auth_group"),
    Section("Administration", "API tokens", "vpn_key", "knox_authtoken"),
    Section("Administration", "Schedule", "calendar_clock", "django_celery_beat_periodictask"),
)


def sections() -> list[Section]:
    """Return the sidebar's lines: the first page, every synced model that has an admin, and what is ours."""
    from django.contrib import admin

    from sync import registry

    synced = [(spec.model._meta, spec.icon) for spec in registry.entities() if admin.site.is_registered(spec.model)]
    records = [
        Section("Records", capfirst(str(opts.verbose_name_plural)), icon, f"{opts.app_label}_{opts.model_name}")
        for opts, icon in synced
    ]
    return [HEALTH, *sorted(records, key=lambda section: str(section.title)), *SECTIONS]


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the sidebar, with what this person may see."""
    groups = groupby(sections(), key=lambda section: section.group)
    return [
        {"title": title, "items": [_item(request, section) for section in sections], "separator": bool(title)}
        for title, sections in groups
    ]


def _item(request: HttpRequest, section: Section) -> dict[str, Any]:
    """Return one line of the sidebar."""
    here, seen = section.contains(request), section.may_be_seen(request)
    return {
        "title": section.title,
        "icon": section.icon,
        "link": section.link,
        "active": lambda request: here,
        "permission": lambda request: seen,
        **_badge(request, section),
    }


def _badge(request: HttpRequest, section: Section) -> dict[str, str]:
    may_count = section.model in (CONFLICTS, GUARD) and section.may_be_seen(request)
    count = sidebar_counts(request).get(section.model, 0) if may_count else 0
    return {"badge": f"{count}", "badge_variant": "warning"} if count else {}


def badges(request: HttpRequest) -> dict[str, str]:
    """Return the sidebar's counts as they are drawn, by the address of their line; empty texts where nothing waits."""
    counted = [section for section in SECTIONS if section.model in (CONFLICTS, GUARD)]
    template = "unfold/helpers/app_list_badge.html"
    return {one.path: render_to_string(template, {"item": _badge(request, one)}).strip() for one in counted}


FOUND_PER_LIST = 8
TOMBSTONES, BOARDS = "sync_tombstone", "sync_boardlink"


def find(request: HttpRequest, term: str) -> list[SearchResult]:
    """Return what Ctrl+K finds besides pages, by name or number: records, conflicts, jobs, deleted records, boards."""
    from django.contrib import admin

    from sync.registry import record_names

    found = []
    for section in sections():
        is_searched = section.group == "Records" or section.model in (CONFLICTS, QUEUE, TOMBSTONES, BOARDS)
        if not is_searched or section.query == NEW_ITEMS or not section.may_be_seen(request):
            continue
        model_admin = admin.site.get_model_admin(apps.get_model(section.model.replace("_", ".", 1)))
        rows = model_admin.get_queryset(request).order_by(*model_admin.get_ordering(request))
        if section.model == QUEUE:
            rows = rows.exclude(status="completed")
        if section.model == BOARDS:
            rows = rows.filter(Q(board_id=term) | Q(shape__name__icontains=term) | Q(entity_type__istartswith=term))
        else:
            rows = model_admin.get_search_results(request, rows, term)[0]
        page = list(rows.distinct()[:FOUND_PER_LIST])
        names = record_names([(row.entity_type, row.entity_id) for row in page if hasattr(row, "entity_id")])
        for row in page:
            key = (row.entity_type, row.entity_id) if hasattr(row, "entity_id") else None
            name = names.get(key) if key else getattr(row, "shape", {}).get("name")
            link = reverse(f"admin:{section.model}_change", args=[row.pk])
            found.append(SearchResult(name or str(row), str(section.title), link, section.icon))
    return found or [SearchResult(f"Nothing is called “{term}”", NOT_FOUND_HINT, reverse("admin:index"), "search_off")]


NOT_FOUND_HINT = "names, e-mail addresses, phone numbers and the numbers of items are searched"

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "NPD Sync",
    "SITE_HEADER": "NPD Sync",
    "SITE_URL": None,
    "SITE_SYMBOL": "sync_alt",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": favicon}],
    "STYLES": [own_styles],
    "SCRIPTS": [own_script, live_script],
    "GLOBAL_CALLBACK": "config.unfold.page_context",
    "DASHBOARD_CALLBACK": "config.first_page.dashboard",
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
    "COMMAND": {"search_callback": "config.unfold.find"},
    "SIDEBAR": {"show_search": False, "show_all_applications": False, "navigation": navigation},
}
