"""The webhooks that a board has: to which address of this site Monday sends events, and their registration."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from django.conf import settings

from sync.limits import credentials
from sync.models import BoardLink
from sync.monday.connector import MondayConnector
from sync.monday.errors import WEBHOOKS_INCOMPLETE, MondayError
from sync.registry import EntitySpec


def webhook_url() -> str:
    """The address to which Monday sends this installation's events; secret when it holds the token."""
    token, _ = credentials.webhook_secrets()
    return f"{settings.SITE_URL}/webhooks/monday/" + (f"{token}/" if token else "")


def is_public_address() -> bool:
    """Whether SITE_URL can be an address of the internet: Monday's servers reach none of a private network."""
    host = urlsplit(settings.SITE_URL).hostname or ""
    try:
        return ip_address(host).is_global
    except ValueError:
        return "." in host and not host.endswith((".local", ".localhost", ".internal"))


def register_webhooks(spec: EntitySpec, link: BoardLink, connector: MondayConnector) -> tuple[list[str], list[str]]:
    """Register the missing webhooks; return what was done and what could not be, as sentences."""

    def store(hooks: dict[str, dict[str, str]]) -> None:
        link.webhooks = hooks
        link.save(update_fields=["webhooks"])

    try:
        return connector.ensure_webhooks(link.board_id, webhook_url(), link.webhooks, store), []
    except MondayError as error:
        if error.kind is not WEBHOOKS_INCOMPLETE:
            raise
        problem = (
            f"{spec.board_title}: the webhooks could not be registered. {error.message.rstrip(' .')}. "
            f"Monday must reach this site at {settings.SITE_URL}: have an administrator see to it, then run the "
            "set-up again. Everything else is done."
        )
        return [], [problem]
    except ValueError as error:
        return [], [f"{spec.board_title}: {error} An administrator has to shorten this site's address."]
