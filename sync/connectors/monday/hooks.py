"""Webhooks of a board: one for each kind of event, all to the same address.

Monday's API doesn't tell a webhook's address, so the caller remembers the ids of those that it made, each
with a fingerprint of the address. Webhooks that others made are never touched.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from sync.connectors.monday.answers import Api
from sync.connectors.monday.boards import (
    CREATE_WEBHOOK,
    DELETE_WEBHOOK,
    READ_WEBHOOKS,
    ask,
    execute_once,
    make,
)
from sync.connectors.monday.documents import Document
from sync.connectors.monday.errors import BoardRefused, MondayError, WebhookAddressUnreachable

WEBHOOK_EVENTS = (
    "create_item",
    "change_column_value",
    "change_name",
    "item_archived",
    "item_deleted",
    "item_restored",
    "item_moved_to_any_group",
)
SHORTEST_SECRET = 6
"""Characters; a shorter part of an address would black out ordinary words."""
URL_CHARACTERS = 255  # developer.monday.com/api-reference/reference/webhooks


@dataclass(frozen=True)
class Hook:
    """A webhook that is ours."""

    id: str
    event: str
    fingerprint: str


class WebhooksIncomplete(BoardRefused):
    """Some webhooks could not be made; `hooks` are those that now stand, to be remembered all the same."""

    advice = "Then run the set-up again; it goes on where it stopped."

    def __init__(self, cause: MondayError, hooks: Sequence[Hook]) -> None:
        super().__init__(
            f"{cause.message.rstrip(' .')}. {cause.advice.rstrip(' .')}",
            code=cause.code,
            request_id=cause.request_id,
            http_status=cause.http_status,
            wait_seconds=cause.wait_seconds,
            errors=[cause],
        )
        self.hooks = list(hooks)


@dataclass
class _Progress:
    """What stands so far, for the caller to remember even where a later step fails."""

    hooks: list[Hook] = field(default_factory=list)
    words: list[str] = field(default_factory=list)


def url_fingerprint(url: str) -> str:
    """A short hash of an address: it may hold a secret, the fingerprint doesn't."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]


def read_webhooks(api: Api, board_id: str) -> dict[str, str]:
    """The board's webhooks, ours and others': id and event."""
    nodes = ask(api, Document(READ_WEBHOOKS, {"board": board_id}), "webhooks")
    return {str(node["id"]): str(node["event"]) for node in nodes if node}


def ensure_webhooks(
    api: Api,
    board_id: str,
    url: str,
    known: Mapping[str, str],
    keep: Callable[[Sequence[Hook]], None] = lambda _: None,
) -> tuple[list[Hook], list[str]]:
    """Bring our webhooks on a board up to date: one per needed event, all to `url`.

    `known` gives, for each webhook that we made, the fingerprint of its address. Returns all webhooks that
    are ours now, and what was done, in words. Raises WebhooksIncomplete, which holds what stands, or
    ValueError for an address that is too long. `keep` is told after each step what is ours by then: one that a
    killed process had made and nobody remembers would stand beside ours for ever.
    """
    if len(url) > URL_CHARACTERS:
        raise ValueError(
            f"A webhook's address can have {URL_CHARACTERS} characters; this one has {len(url)}."
        )
    fingerprint = url_fingerprint(url)
    existing = read_webhooks(api, board_id)
    ours = [Hook(key, event, known[key]) for key, event in existing.items() if key in known]
    good, stale = _sorted_out(ours, fingerprint)
    progress = _Progress(hooks=[*good.values(), *stale])
    try:
        for event in WEBHOOK_EVENTS:
            if event not in good:
                _make(api, board_id, url, event, progress)
                keep(progress.hooks)
        # Only now, so that a failure leaves no gap without any webhook.
        for hook in stale:
            _remove(api, hook, progress)
            keep(progress.hooks)
    except MondayError as error:
        _hide_address(error, url)
        raise WebhooksIncomplete(error, progress.hooks) from error
    return progress.hooks, progress.words


def _hide_address(error: MondayError, url: str) -> None:
    """Monday may repeat the address in its refusal; its last part may be the webhooks' secret."""
    error.hide(url, "the webhooks' address")
    secret = urlsplit(url).path.rstrip("/").rpartition("/")[2]
    if len(secret) >= SHORTEST_SECRET:
        error.hide(secret, "…")


def _sorted_out(ours: Sequence[Hook], fingerprint: str) -> tuple[dict[str, Hook], list[Hook]]:
    """The first fitting webhook of each needed event, and all others of ours."""
    good: dict[str, Hook] = {}
    stale = []
    for hook in ours:
        if hook.fingerprint == fingerprint and hook.event in WEBHOOK_EVENTS and hook.event not in good:
            good[hook.event] = hook
        else:
            stale.append(hook)
    return good, stale


def _make(api: Api, board_id: str, url: str, event: str, progress: _Progress) -> None:
    variables = {"board": board_id, "url": url, "event": event}
    answer = execute_once(api, Document(CREATE_WEBHOOK, variables))
    node = (answer.data or {}).get("create_webhook")
    if node is None:
        errors = answer.errors_of("create_webhook") or answer.errors
        # Null without an error is how the API tells a failed handshake (community topics 27219, 51686).
        raise (
            errors[0]
            if errors
            else WebhookAddressUnreachable(
                f"Monday could not reach the webhook address for {event} on board {board_id}",
                request_id=answer.request_id,
            )
        )
    progress.hooks.append(Hook(str(node["id"]), event, url_fingerprint(url)))
    progress.words.append(f"created webhook {event} on board {board_id}")


def _remove(api: Api, hook: Hook, progress: _Progress) -> None:
    make(api, Document(DELETE_WEBHOOK, {"id": hook.id}), "delete_webhook")
    progress.hooks.remove(hook)
    progress.words.append(
        f"deleted webhook {hook.event} ({hook.id}), which went to another address or stood twice"
    )
