"""How the admin looks and what stands where: django-unfold's settings."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from sync.queue_views import LIVE_ROWS, NEW_ITEMS

CONFLICTS, QUEUE, GUARD = "conflicts_syncconflict", "sync_syncqueue", "sync_guardedact"


def own_styles(request: HttpRequest) -> str:
    """The address of our small style sheet; asked for at request time, when static files are known."""
    return static("npd/npd.css")


def own_script(request: HttpRequest) -> str:
    """The address of our small script."""
    return static("npd/npd.js")


def favicon(request: HttpRequest) -> str:
    """The address of the site's symbol."""
    return static("npd/favicon.svg")


def on_every_page(request: HttpRequest) -> dict[str, Any]:
    """What every page of the admin knows: its part of the site, and with which Monday the site talks."""
    from sync.admin.guide import banner

    if not request.user.is_authenticated:
        return {}
    return banner() | {"section": next((found for found in SECTIONS if found.holds(request)), None)}


def waiting_for_people(request: HttpRequest) -> dict[str, int]:
    """What the sidebar counts beside a section's name: open conflicts, and what waits for approval; one query."""
    from django.db.models import CharField, Count, Value

    from conflicts.models import SyncConflict
    from sync.models import GuardedAct

    if not hasattr(request, "waiting_for_people"):
        conflicts = SyncConflict.objects.filter(resolved_at=None).order_by()
        held = GuardedAct.objects.filter(state="held").order_by()
        counted = [
            rows.annotate(model=Value(model, CharField())).values_list("model").annotate(number=Count("pk"))
            for rows, model in ((conflicts, CONFLICTS), (held, GUARD))
        ]
        request.waiting_for_people = dict(counted[0].union(counted[1], all=True))  # type: ignore[attr-defined]
    found: dict[str, int] = request.waiting_for_people  # type: ignore[attr-defined]
    return found


@dataclass(frozen=True)
class Section:
    """A part of the site: what the sidebar, the heading and the window's title call it."""

    group: str | Promise
    title: str | Promise
    icon: str
    model: str
    query: str = ""

    @property
    def path(self) -> str:
        """The address of its first page."""
        return reverse(f"admin:{self.model}_changelist" if self.model else "admin:index")

    @property
    def link(self) -> str:
        """The address with the filters that the sidebar sets."""
        return f"{self.path}?{self.query}" if self.query else self.path

    def holds(self, request: HttpRequest) -> bool:
        """Whether the page asked for belongs to it."""
        if not self.model:
            return request.path == self.path
        items = "what=items" in request.META.get("QUERY_STRING", "")
        mine = items == (self.query == NEW_ITEMS) if self.model == QUEUE else True
        return mine and request.path.startswith(self.path)

    def may_be_seen(self, request: HttpRequest) -> bool:
        """Whether this person may see the rows behind it."""
        app, _, model = self.model.rpartition("_")
        return not self.model or any(
            request.user.has_perm(f"{app}.{act}_{model}") for act in ("view", "change")
        )


SECTIONS = (
    Section("", _("Sync health"), "monitor_heart", ""),
    Section(_("Records"), _("Contacts"), "person", "npd_contact"),
    Section(_("Records"), _("Organizations"), "apartment", "npd_organization"),
    Section(_("Sync"), _("Conflicts"), "call_split", CONFLICTS),
    Section(_("Sync"), _("Waiting for approval"), "gpp_maybe", GUARD, "state__exact=held"),
    Section(_("Sync"), _("Queue"), "queue", QUEUE, LIVE_ROWS),
    Section(_("Sync"), _("New items"), "fiber_new", QUEUE, NEW_ITEMS),
    Section(_("Sync"), _("Boards"), "view_kanban", "sync_boardlink"),
    Section(_("Sync"), _("Monday account"), "key", "sync_mondayaccount"),
    Section(_("Journal"), _("Decisions"), "history", "sync_decision"),
    Section(_("Journal"), _("Ledger"), "menu_book", "sync_syncmetadata"),
    Section(_("Journal"), _("Calls that write"), "send", "sync_intent"),
    Section(_("Journal"), _("Samples"), "verified", "sync_syncaudit"),
    Section(_("Journal"), _("Webhooks received"), "webhook", "sync_webhookevent"),
    Section(_("Journal"), _("Deleted records"), "delete", "sync_tombstone"),
    Section(_("Journal"), _("Refused items"), "block", "sync_refuseditem"),
    Section(_("Administration"), _("Users"), "badge", "auth_user"),
    Section(_("Administration"), _("Groups"), "group", "auth_group"),
    Section(_("Administration"), _("API tokens"), "vpn_key", "knox_authtoken"),
    Section(_("Administration"), _("Schedule"), "calendar_clock", "django_celery_beat_periodictask"),
)


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The sidebar, with what this person may see."""
    groups = groupby(SECTIONS, key=lambda section: section.group)
    return [
        {"title": title, "items": [_item(request, section) for section in sections], "separator": bool(title)}
        for title, sections in groups
    ]


def _item(request: HttpRequest, section: Section) -> dict[str, Any]:
    """One line of the sidebar."""
    here, seen = section.holds(request), section.may_be_seen(request)
    count = (
        waiting_for_people(request).get(section.model, 0)
        if section.model in (CONFLICTS, GUARD) and seen
        else 0
    )
    badge = {"badge": f"{count}", "badge_variant": "warning"} if count else {}
    return {
        "title": section.title,
        "icon": section.icon,
        "link": section.link,
        "active": lambda request: here,
        "permission": lambda request: seen,
        **badge,
    }


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "NPD Sync",
    "SITE_HEADER": "NPD Sync",
    "SITE_URL": None,
    "SITE_SYMBOL": "sync_alt",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": favicon}],
    "STYLES": [own_styles],
    "SCRIPTS": [own_script],
    "GLOBAL_CALLBACK": "config.unfold.on_every_page",
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
        },
    },
    "SIDEBAR": {"show_search": False, "show_all_applications": False, "navigation": navigation},
}
