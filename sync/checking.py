"""Is everything that Monday needs in place? The settings here, the rest as Monday answers."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings

from sync import account, registry
from sync.boards import link_of
from sync.connectors.monday.converters import converter
from sync.connectors.monday.doctor import BoardCheck, Finding, examine
from sync.connectors.monday.hooks import url_fingerprint
from sync.models import BoardLink
from sync.registry import EntitySpec
from sync.setup import NOT_CONFIGURED, NPD_ID_TITLE, webhook_url


def check() -> list[Finding]:
    """Look at everything; what can't be asked of Monday becomes a finding too."""
    if not account.is_configured():
        return [Finding(False, "There is no API token.", NOT_CONFIGURED), *_webhook_secrets()]
    boards = [_board_check(spec) for spec in registry.entities()]
    return [*examine(account.client(), boards), *_webhook_secrets(), *_pauses()]


def _board_check(spec: EntitySpec) -> BoardCheck:
    link = link_of(spec.entity_type)
    if link is None:
        return BoardCheck(spec.board_title, None)
    # A webhook to an address of former days is none: its deliveries don't reach this installation.
    here = url_fingerprint(webhook_url())
    hooks = [hook_id for hook_id, kept in link.webhooks.items() if kept["fingerprint"] == here]
    return BoardCheck(spec.board_title, link.board_id or None, _columns(link), hooks)


def _columns(link: BoardLink) -> dict[str, tuple[str, str]]:
    found = {
        mapping.column_id: (mapping.label, converter(mapping.converter).column_type)
        for mapping in link.mappings.all()
        if mapping.column_id
    }
    return found | ({link.npd_id_column: (NPD_ID_TITLE, "text")} if link.npd_id_column else {})


def _webhook_secrets() -> Iterator[Finding]:
    if settings.MONDAY_WEBHOOK_TOKEN:
        yield Finding(True, "Webhooks come in by an address with a secret part (MONDAY_WEBHOOK_TOKEN).")
    elif settings.MONDAY_SIGNING_SECRET:
        yield Finding(True, "Webhooks must be signed with the app's signing secret (MONDAY_SIGNING_SECRET).")
    else:
        yield Finding(
            False,
            "Every webhook is refused: neither MONDAY_WEBHOOK_TOKEN nor MONDAY_SIGNING_SECRET is set.",
            "With a personal API token set MONDAY_WEBHOOK_TOKEN to a long random text; with an app's token "
            "set MONDAY_SIGNING_SECRET to the app's signing secret. Then run `manage.py monday_setup`.",
        )


def _pauses() -> Iterator[Finding]:
    for spec in registry.entities():
        link = link_of(spec.entity_type)
        if link is not None and link.board_id and (reason := account.why_not(spec.entity_type)):
            yield Finding(False, f"{spec.board_title}: sync is paused.", reason)
