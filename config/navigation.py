"""The frame of the pages: the sections in sidebar and Settings, unfold's settings, Ctrl+K, the reader's time zone.

A page belongs to the section with the longest matching address. If that section isn't in the sidebar, the entry that
leads to it is highlighted.
"""

from __future__ import annotations

import re
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, available_timezones

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.templatetags.static import static
from django.urls import NoReverseMatch, reverse, reverse_lazy
from django.utils import timezone
from django.utils.functional import lazy
from django.utils.text import capfirst
from unfold.dataclasses import SearchResult

from sync.apps import LIVE_JOBS

if TYPE_CHECKING:  # the settings import this module, before Django is ready for more
    from collections.abc import Callable, Collection, Iterator

    from django.http import HttpResponseBase

CONFLICTS = "conflicts_syncconflict"
UNMATCHED_ITEMS = "sync_unmatcheditem"
# Sections of Help that Ctrl+K finds by their text only.
HELP_RESULTS = 5
# The places of pages, whose title or else other words were typed, before those of types of records.
TITLED_PAGE = -2
OTHER_PAGE = -1
HOME = "Home"
RECORDS = "Records"
SETTINGS = "Settings"
HELP = "Help"
ACCOUNT = "Your account"
ADVANCED = "Advanced"
ANY_PERMISSION = "*"
# No model: nobody can have its permission, so only superusers see the section.
SUPERUSERS = "sync.diagnostics"


@dataclass(frozen=True)
class Section:
    """A part of the site, with its title in headings and where people find it."""

    group: str  # the sidebar's entry that leads to it; for an entry itself empty or RECORDS; for Help HELP
    title: str
    icon: str
    model: str = ""  # its first page is this model's list
    query: str = ""  # of the first page
    below: str = ""  # its pages begin with this part after the first page's address; links lead to the parent's page
    url: str = ""  # the name of its first page, if that isn't a list
    permission: str = ""  # users need a permission for this app.model, or ANY_PERMISSION; empty for `model`
    block: str = ""  # where it is listed: SETTINGS' cards, ADVANCED lists for superusers, or the ACCOUNT menu
    about: str = ""  # the card's text
    words: str = ""  # by which Ctrl+K finds it too
    card_permissions: tuple[str, ...] = ()  # users see the card with one of these; others come by links
    is_single_page: bool = False  # whether the pages below its address belong to another section

    @property
    def path(self) -> str:
        """Return the address of its first page; empty if no view has it."""
        try:
            return reverse(self.url or f"admin:{self.model}_changelist") + self.below
        except NoReverseMatch:
            return ""

    @property
    def link(self) -> str:
        if self.below:  # then there is no list
            return self.parent_link
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def parent_link(self) -> str:
        """Return the address of the entry that leads to it; empty if it is an entry itself."""
        names = {HOME: "admin:index", SETTINGS: "npd-settings", "Activity": "admin:sync_activityline_changelist"}
        return reverse(names[self.group]) if self.group in names else ""

    def may_be_seen(self, request: HttpRequest) -> bool:
        """Return whether this user may see its pages."""
        from sync.permissions import may_view

        if self.permission == ANY_PERMISSION:
            return bool(request.user.get_all_permissions())
        model = self.permission or ".".join(self.model.rsplit("_", 1))
        return not model or may_view(request.user, model)

    def is_offered(self, request: HttpRequest) -> bool:
        """Return whether the settings' page shows its card to this user."""
        names = self.card_permissions
        is_useful = not names or any(request.user.has_perm(name) for name in names)
        return bool(self.path) and is_useful and self.may_be_seen(request)


JOB_PERMISSIONS = ("sync.retry_syncqueue", "sync.pause_syncqueue", "sync.cancel_syncqueue", "sync.discard_syncqueue")
SETUP_PERMISSIONS = ("sync.change_boardlink", "sync.change_mondayaccount")
HOME_SECTION = Section("", HOME, "home", url="admin:index",
                       words="health status overview dashboard errors problems outage duplicates approve not synced "
                       "keyboard shortcuts",
                       about="What needs attention, and the state of each board.")  # fmt: skip
# All sections except Home and the lists of records.
SECTIONS = (
    Section(HOME, "Rejected by Monday", "report", CONFLICTS, below="rejected/"),
    Section(HOME, "Pause", "pause_circle", "sync_syncqueue", below="pause/",
            words="stop resume until holidays vacation weekend maintenance",
            card_permissions=("sync.pause_syncqueue",)),
    Section("", "Activity", "history", "sync_activityline", words="history log undo put back revert rollback",
            about="Who changed what."),
    Section("Activity", "Deleted records", "delete", "sync_tombstone",
            words="trash recycle bin archived restore undelete"),
    Section("", SETTINGS, "settings", url="npd-settings", words="time zone language dark mode light theme shortcuts",
            about="Connection, boards, people. Times are in your browser's zone. Your name's menu has light and dark."),
    Section(SETTINGS, "Monday connection", "power", url="admin:sync_wizard_connect",
            permission="sync.mondayaccount", block=SETTINGS, is_single_page=True, card_permissions=SETUP_PERMISSIONS,
            about="Its API token, its quota of calls, and the country of phone numbers.", words="limit plan sandbox"),
    Section(SETTINGS, "Boards", "view_kanban", "sync_boardlink", block=SETTINGS,
            about="What is synced with which column, and how.",
            words="mapping fields filter one way direction rule policies set-up setup switch another new"),
    Section(SETTINGS, "Notifications", "notifications", url="npd-notifications", block=SETTINGS,
            about="By email or in a chat: what needs attention.",
            words="mail unsubscribe teams slack whatsapp group alerts"),
    Section(SETTINGS, "Users", "group", "auth_user", permission=SUPERUSERS, block=SETTINGS, about="Who may sign in.",
            words="people accounts invite colleagues"),
    Section(SETTINGS, "Groups", "badge", "auth_group", permission=SUPERUSERS, block=SETTINGS, about="Who may do what.",
            words="permissions rights roles"),
    Section(SETTINGS, "API tokens", "vpn_key", url="admin:sync_apitoken_changelist", block=SETTINGS,
            about="Your keys with which other programs use the API."),
    Section(SETTINGS, "Jobs", "queue", "sync_syncqueue", LIVE_JOBS, block=SETTINGS, card_permissions=JOB_PERMISSIONS,
            about="What is pending, in progress or failed.", words="queue retry"),
    Section(SETTINGS, ADVANCED, "build", url="npd-advanced", permission=SUPERUSERS, block=SETTINGS,
            about="Lists that only operators read."),
    Section(SETTINGS, "Change password", "password", url="account_change_password", block=ACCOUNT, words="account"),
    Section(SETTINGS, "Two-factor authentication", "phonelink_lock", url="mfa_index", block=ACCOUNT,
            words="2fa two factor passkey authenticator account"),
    Section(SETTINGS, "Sessions", "devices", url="usersessions_list", block=ACCOUNT, words="devices sign out account"),
    Section(SETTINGS, "Sign out", "logout", url="account_logout", words="log out logout leave"),
    Section(HELP, HELP, "help", url="npd-help-start", words="guide manual documentation",
            about="How to do what."),
    Section(SETTINGS, "API reference", "api", url="docs", permission=ANY_PERMISSION),
    Section(SETTINGS, "Conflicts", "call_split", CONFLICTS, block=ADVANCED, about="Open and settled ones."),
    Section(SETTINGS, "Unmatched items", "add_link", UNMATCHED_ITEMS, block=ADVANCED,
            about="Items without a record, and why."),
    Section(SETTINGS, "Ignored items", "block", "sync_ignoreditem", block=ADVANCED,
            about="Items that never become a record."),
    Section(SETTINGS, "Approvals", "gpp_maybe", "sync_approvalrequest", block=ADVANCED,
            about="Of bulk deletions."),
    Section(SETTINGS, "Sync states", "database", "sync_syncmetadata", permission=SUPERUSERS, block=ADVANCED,
            about="Each record's last synced values."),
    Section(SETTINGS, "API writes", "send", "sync_intent", permission=SUPERUSERS, block=ADVANCED,
            about="Calls that write to Monday."),
    Section(SETTINGS, "Webhooks received", "webhook", "sync_webhookevent", permission=SUPERUSERS, block=ADVANCED,
            about="What Monday has reported."),
    Section(SETTINGS, "Monday account", "account_circle", "sync_mondayaccount", permission=SUPERUSERS, block=ADVANCED,
            about="Stops, and the token's user."),
    Section(SETTINGS, "Schedule", "calendar_clock", "django_celery_beat_periodictask", block=ADVANCED,
            about="When which task runs."),
    Section(SETTINGS, "Audit log", "policy", "admin_logentry", permission=SUPERUSERS, block=ADVANCED,
            about="Who did what on these pages."),
)  # fmt: skip


def sections() -> list[Section]:
    """Return every section: Home, the records' lists, and the others."""
    from django.contrib import admin

    from sync import registry

    synced = [(spec.model._meta, spec.icon) for spec in registry.entities() if admin.site.is_registered(spec.model)]
    records = [
        Section(RECORDS, capfirst(str(opts.verbose_name_plural)), icon, f"{opts.app_label}_{opts.model_name}")
        for opts, icon in synced
    ]
    return [HOME_SECTION, *sorted(records, key=lambda section: section.title), *SECTIONS]


def section_of(request: HttpRequest) -> Section | None:
    """Return the section of the requested page, looked up once a request."""
    section: Section | None
    if hasattr(request, "page_section"):
        section = request.page_section
        return section
    address = request.path
    matches = [
        (len(path), section)
        for section in sections()
        if section != HOME_SECTION
        and (path := section.path)
        and (address == path if section.is_single_page else address.startswith(path))
    ]
    section = max(matches, key=lambda match: match[0], default=(0, None))[1]
    # Below Home's address are the questions before its acts.
    if address == HOME_SECTION.path or address.startswith(f"{HOME_SECTION.path}home/"):
        section = HOME_SECTION
    elif section is not None and section.model in (CONFLICTS, UNMATCHED_ITEMS) and address != section.path:
        section = replace(section, group=HOME)  # Home leads to their pages
    request.page_section = section  # type: ignore[attr-defined]
    return section


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    section_here = section_of(request)
    highlighted = (section_here.title, section_here.group) if section_here else ()
    # Counted late, when Home has counted its groups already.
    badge = {"badge": lazy(lambda: _waiting_text(request), str)(), "badge_variant": "warning"}
    items = [
        {"title": section.title, "icon": section.icon, "link": section.link, "active": section.title in highlighted}
        | (badge if section.title == HOME else {})
        for section in sections()
        if section.group in ("", RECORDS) and section.may_be_seen(request)
    ]
    return [{"title": "", "items": items, "separator": False}]


def _waiting_text(request: HttpRequest) -> str:
    """Return how many things wait for this user; empty for none, and for users who may only read them."""
    from sync.admin.admin_base import counts_of, kinds_on_home

    visible = kinds_on_home(request.user)
    if visible.reads_only:
        return ""
    number = sum(count for kind, count in counts_of(request).items() if kind in visible.kinds)
    return f"{number:,}" if number else ""


def command_search(request: HttpRequest) -> HttpResponse:
    """Render the pages and records that Ctrl+K finds, those that fit by their name first, each once.

    Not by unfold's callback, because unfold itself lists the models first, under their own names.
    """
    from config.help_pages import help_sections
    from sync.admin.record_pages import near_records, search_records

    term = " ".join(request.GET.get("s", "").split())
    typed = term.lower().replace("-", " ").split()
    if not term:
        return HttpResponse()
    records = search_records(request, term)
    found = list(records)
    for title, about, words, link in _pages(request):
        name = title.lower()
        if _fits(typed, title, f"{about} {words}"):
            rank = 0 if name == term.lower() else 1 if name.startswith(term.lower()) else 2
            place = TITLED_PAGE if term.lower() in name else OTHER_PAGE
            found.append((rank, place, SearchResult(title, about, link, None)))
    # What explains something comes after the pages that do it, by its title before its page's. It is found by its text
    # only if no record is.
    explained = []
    for title, page_title, text, link in help_sections():
        result = SearchResult(title, f"{HELP} · {page_title}", link, None)
        if _fits(typed, title, page_title):
            found.append((4 if term.lower() in title.lower() else 5, OTHER_PAGE, result))
        elif not records and _fits(typed, title, text):
            explained.append((-sum(text.lower().count(part) for part in typed), result))
    explained.sort(key=lambda entry: entry[0])
    found += [(6, OTHER_PAGE, result) for _, result in explained[:HELP_RESULTS]]
    # Pages first: “stop” finds Pause before Christopher. Then the types in the order of the registry, which has
    # organizations before their people.
    found.sort(key=lambda result: result[:2])
    results = [result for _rank, _type, result in found] or near_records(request, term)
    return TemplateResponse(request, "unfold/helpers/command_results.html", {"results": results})


def _fits(typed: Collection[str], title: str, about: str) -> bool:
    """Whether each typed word begins one of these words, or the title as one word, such as “backup”."""
    words = [*re.findall(r"\w+", f"{title} {about}".lower()), title.lower().replace(" ", "")]
    return all(any(word.startswith(part) for word in words) for part in typed)


def _pages(request: HttpRequest) -> Iterator[tuple[str, str, str, str]]:
    """Yield the title, the subtitle, more words and the address of each page that this person may open."""
    from django.contrib import admin

    from sync import addresses, registry

    for section in sections():
        if section.is_offered(request):
            yield section.title, section.about or section.block or section.group, section.words, section.link
    # Most lists are of people, whose type comes after the one that they name.
    for spec in reversed([*registry.entities()]):
        model_admin: Any = admin.site.get_model_admin(spec.model)
        opts = spec.model._meta
        plural = str(opts.verbose_name_plural)
        pages = [
            (f"Add {opts.verbose_name}", "add", "new create", model_admin.has_add_permission(request)),
            (
                f"Import {plural}",
                "import",
                "file csv excel upload template outlook hubspot",
                model_admin.has_import_permission(request),
            ),
            (f"Export {plural}", "export", "file csv excel download", model_admin.has_export_permission(request)),
        ]
        for title, page, words, may in pages:
            if may:
                yield title, RECORDS, words, addresses.page_url(f"{opts.app_label}_{opts.model_name}_{page}")


def settings_page(request: HttpRequest, block: str = SETTINGS) -> HttpResponse:
    """Show the settings' cards; as the page ADVANCED, to superusers, those of the technical lists."""
    from django.contrib import admin

    if block == ADVANCED and not request.user.is_superuser:
        raise PermissionDenied
    context = {
        **admin.site.each_context(request),
        "title": block,
        "cards": [section for section in SECTIONS if section.block == block and section.is_offered(request)],
    }
    return TemplateResponse(request, "npd/settings.html", context)


# npd.js sends the browser's time zone in it.
ZONE_COOKIE = "npd_zone"
# ZoneInfo reads files by name, and the browser's name may be anything.
known_zones = cache(available_timezones)


class ZoneMiddleware:
    """Renders the admin's pages in the browser's time zone. The API's times are in UTC."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        is_page = request.path_info.startswith("/admin/")
        with timezone.override(zone_of(request)) if is_page else nullcontext():
            return self.get_response(request)


def zone_of(request: HttpRequest) -> ZoneInfo:
    """Return the zone that the browser sent, or the installation's if it sent none that exists."""
    zone_name = request.COOKIES.get(ZONE_COOKIE, "")
    return ZoneInfo(zone_name if zone_name in known_zones() else settings.TIME_ZONE)


def page_context(request: HttpRequest) -> dict[str, Any]:
    """Return the context of every page of the admin: its section, and the banner about the connection."""
    from config.help_pages import help_url
    from sync.admin.queue_pages import banner_context

    if not request.user.is_authenticated:
        return {}
    return banner_context(request) | {"section": section_of(request), "help_url": help_url(request)}


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "NPD Sync",
    "SITE_HEADER": "NPD Sync",
    "SITE_URL": None,
    "SITE_SYMBOL": "sync_alt",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("npd/favicon.svg")}],
    # Static files are known only at request time.
    "STYLES": [lambda request: static("npd/npd.css")],
    "SCRIPTS": [lambda request: static("npd/npd.js"), lambda request: static("npd/live.js")],
    "GLOBAL_CALLBACK": "config.navigation.page_context",
    "DASHBOARD_CALLBACK": "sync.admin.home.dashboard",
    "SHOW_HISTORY": False,
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
            {"title": section.title, "link": reverse_lazy(section.url)}
            for section in SECTIONS
            if section.block == ACCOUNT
        ]
    },
    # Without the history, which would keep people's names in the browser after signing out.
    "COMMAND": {"show_history": False},
    "SIDEBAR": {"show_search": False, "show_all_applications": False, "navigation": navigation},
}
