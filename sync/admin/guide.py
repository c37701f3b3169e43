"""The page that says how Monday is connected, with what is set here and what isn't; and the banner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.generic import TemplateView
from unfold.views import UnfoldModelAdminViewMixin

from sync import registry
from sync.account import is_configured
from sync.admin import words
from sync.standstill import why_not

MONDAY_HOST = "api.monday.com"


@dataclass(frozen=True)
class Setting:
    """One variable of the environment, whether it is set, and what it is for; never its value."""

    name: str
    is_set: bool
    meaning: str


def monday_is_played() -> bool:
    """Whether calls go to something else than Monday's own address."""
    return urlsplit(settings.MONDAY_API_URL).hostname != MONDAY_HOST


def sandbox_url() -> str:
    """Return the address of the sandbox's board page, without anything secret that the API's URL may hold."""
    parts = urlsplit(settings.MONDAY_API_URL)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}/"


def banner() -> dict[str, Any]:
    """Return what the banner on every page says; empty when Monday's own API is configured."""
    if not is_configured():
        return {"monday_banner": "missing"}
    return {"monday_banner": "sandbox", "sandbox_url": sandbox_url()} if monday_is_played() else {}


def settings_in_words() -> list[Setting]:
    """Return the variables that matter, in the order in which a person sets them."""
    public = not (urlsplit(settings.SITE_URL).hostname or "").startswith(("127.", "localhost"))
    return [
        Setting("MONDAY_API_KEY", is_configured(), _("The token with which NPD Sync calls Monday.")),
        Setting("MONDAY_API_URL", not monday_is_played(), _("Leave it out: then calls go to Monday itself.")),
        Setting("SITE_URL", public, _("The address at which Monday reaches this site, with https.")),
        Setting(
            "MONDAY_WEBHOOK_TOKEN",
            bool(settings.MONDAY_WEBHOOK_TOKEN),
            _("Long and random; for a personal token."),
        ),
        Setting(
            "MONDAY_SIGNING_SECRET",
            bool(settings.MONDAY_SIGNING_SECRET),
            _("For an app's token: its signing secret."),
        ),
    ]


class ConnectMonday(UnfoldModelAdminViewMixin, TemplateView):
    """How Monday is connected, step by step."""

    title = gettext_lazy("Connect Monday")
    permission_required = ()
    template_name = "sync/connect.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add what is set, and what stands in the way of each board."""
        boards = [(spec.board_title, words.plain(why_not(spec.entity_type))) for spec in registry.entities()]
        context: dict[str, Any] = super().get_context_data(
            variables=settings_in_words(), boards=boards, **kwargs
        )
        return context
