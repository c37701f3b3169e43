"""How the admin looks and what stands where: django-unfold's settings."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import NoReverseMatch, reverse

# What is done stays in the queue for a while; a person comes to see the rest.
LIVE_ROWS = "?status__exact=pending&status__exact=in_progress&status__exact=failed"
NEW_ITEMS = "?what=items&status__exact=pending"


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
    """What every page of the admin knows: the banner that says with which Monday it talks."""
    from sync.admin.guide import banner

    return banner() if request.user.is_authenticated else {}


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The first page's figures: the engine's, and the open conflicts in front."""
    from sync.admin.dashboard import Task, health
    from sync.admin.words import counted

    context = health(request, context)
    count = open_conflicts() if request.user.has_perm("conflicts.view_syncconflict") else 0
    if count:
        task = Task(
            f"{counted(count, 'conflict')} to settle",
            _oldest_conflict(),
            _conflicts_url(),
            "Settle",
            "call_split",
        )
        context["tasks"].insert(0, task)
    return context


def open_conflicts() -> int:
    """How many conflicts wait for a person."""
    from conflicts.models import SyncConflict

    return SyncConflict.objects.filter(resolved_at=None).count()


def _oldest_conflict() -> str:
    from conflicts.models import SyncConflict
    from sync.admin.words import span
    from sync.clock import sync_now

    oldest = (
        SyncConflict.objects.filter(resolved_at=None)
        .order_by("detected_at")
        .values_list("detected_at", flat=True)
    )
    return f"The oldest waits for {span((sync_now() - oldest[0]).total_seconds())}."


def _conflicts_url() -> str:
    try:
        return reverse("admin:conflicts_syncconflict_changelist")
    except NoReverseMatch:
        return ""


def _item(
    request: HttpRequest, title: str, icon: str, view: str, query: str = "", **more: Any
) -> dict[str, Any]:
    """One line of the sidebar, shown to those who may see the page behind it."""
    app, model, _ = view.rsplit("_", 2)
    link = reverse(f"admin:{view}")
    here = request.path.startswith(link)
    new_items = "what=items" in request.META.get("QUERY_STRING", "")
    return {
        "title": title,
        "icon": icon,
        "link": link + query,
        "active": lambda _: here and ("sync_syncqueue" not in view or new_items == (query == NEW_ITEMS)),
        "permission": lambda _: any(
            request.user.has_perm(f"{app}.{act}_{model}") for act in ("view", "change")
        ),
        **more,
    }


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The sidebar."""
    health = {"title": "Sync health", "icon": "monitor_heart", "link": reverse("admin:index")}
    groups = [
        ("", [health]),
        (
            "Records",
            [
                _item(request, "Contacts", "person", "npd_contact_changelist"),
                _item(request, "Organizations", "apartment", "npd_organization_changelist"),
            ],
        ),
        ("Sync", [*_conflicts_item(request), *_sync_items(request)]),
        (
            "Journal",
            [
                _item(request, "Decisions", "history", "sync_decision_changelist"),
                _item(request, "Ledger", "menu_book", "sync_syncmetadata_changelist"),
                _item(request, "Calls that write", "send", "sync_intent_changelist"),
                _item(request, "Webhooks received", "webhook", "sync_webhookevent_changelist"),
                _item(request, "Deleted records", "delete", "sync_tombstone_changelist"),
                _item(request, "Refused items", "block", "sync_refuseditem_changelist"),
            ],
        ),
        (
            "Administration",
            [
                _item(request, "Users", "badge", "auth_user_changelist"),
                _item(request, "Groups", "group", "auth_group_changelist"),
                _item(request, "API tokens", "vpn_key", "knox_authtoken_changelist"),
                _item(request, "Schedule", "calendar_clock", "django_celery_beat_periodictask_changelist"),
            ],
        ),
    ]
    return [{"title": title, "items": items, "separator": bool(title)} for title, items in groups]


def _conflicts_item(request: HttpRequest) -> list[dict[str, Any]]:
    if not _conflicts_url() or not request.user.has_perm("conflicts.view_syncconflict"):
        return []
    count = open_conflicts()
    badge = {"badge": f"{count}", "badge_variant": "warning"} if count else {}
    return [_item(request, "Conflicts", "call_split", "conflicts_syncconflict_changelist", **badge)]


def _sync_items(request: HttpRequest) -> list[dict[str, Any]]:
    return [
        _item(request, "Queue", "queue", "sync_syncqueue_changelist", LIVE_ROWS),
        _item(request, "New items", "fiber_new", "sync_syncqueue_changelist", NEW_ITEMS),
        _item(request, "Boards", "view_kanban", "sync_boardlink_changelist"),
        _item(request, "Monday account", "key", "sync_mondayaccount_changelist"),
    ]


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "NPD Sync",
    "SITE_HEADER": "NPD Sync",
    "SITE_URL": None,
    "SITE_SYMBOL": "sync_alt",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": favicon}],
    "STYLES": [own_styles],
    "SCRIPTS": [own_script],
    "GLOBAL_CALLBACK": "config.unfold.on_every_page",
    "DASHBOARD_CALLBACK": "config.unfold.dashboard",
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
