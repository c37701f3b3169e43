"""The webhooks of a board: their address, their registration, and whether they still arrive."""

from collections.abc import Mapping
from datetime import timedelta
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.db.models import Max

from sync import registry
from sync.clock import SyncNow, sync_now
from sync.kernel.db import fetch_rows
from sync.kernel.secret_texts import without_secrets
from sync.limits import credentials, metered_client
from sync.models import BoardLink, WebhookEvent
from sync.monday import board_events
from sync.monday.connector import MondayConnector
from sync.monday.errors import PASSING_SCOPES, WEBHOOKS_INCOMPLETE, MondayError
from sync.records.inbox import last_refusal
from sync.registry import EntitySpec
from sync.words.message import Message, sentences, worded

log = structlog.get_logger(__name__)


def webhook_url() -> str:
    """Return the address to which Monday sends events; secret if it contains the token."""
    token, _ = credentials.webhook_secrets()
    return f"{settings.SITE_URL}/webhooks/monday/" + (f"{token}/" if token else "")


def is_public_address() -> bool:
    """Whether SITE_URL can be reached from the internet, where Monday's servers are."""
    host = urlsplit(settings.SITE_URL).hostname or ""
    try:
        return ip_address(host).is_global
    except ValueError:
        return "." in host and not host.endswith((".local", ".localhost", ".internal"))


# Time between attempts to register after a failure.
RETRY_AFTER = timedelta(hours=1)


def check_webhooks(link: BoardLink, existing: Mapping[str, str] | None) -> None:
    """Register our missing webhooks, as set-up does, and store the problem if that fails.

    `existing` are the board's webhooks, {webhook id: event}; None if they could not be read. Raises MondayError.
    """
    if not any(credentials.webhook_secrets()):
        return
    if existing is None:
        _store_problem(link, Message("webhooks_unreadable"))
        return
    missing = missing_events(link, existing)
    checked_at = link.webhooks_checked_at
    if not missing:
        _store_problem(link, "")
    elif not link.webhooks_problem or checked_at is None or checked_at <= sync_now() - RETRY_AFTER:
        steps, problems = register_webhooks(registry.entity(link.entity_type), link, metered_client.connector())
        log.warning("webhooks missing", board=link.entity_type, missing=missing, done=steps, problems=problems)
        _store_problem(link, sentences(*problems))


def missing_events(link: BoardLink, existing: Mapping[str, str]) -> list[str]:
    """Return the events for which no webhook of ours is on the board; one to a former address of ours doesn't count."""
    fingerprint = board_events.url_fingerprint(webhook_url())
    current_ids = [hook_id for hook_id, hook in link.webhooks.items() if hook["fingerprint"] == fingerprint]
    registered_events = {existing[hook_id] for hook_id in current_ids if hook_id in existing}
    return [event for event in board_events.WEBHOOK_EVENTS if event not in registered_events]


def register_webhooks(spec: EntitySpec, link: BoardLink, connector: MondayConnector) -> tuple[list[str], list[str]]:
    """Register the missing webhooks, with a secret address; return the steps and the problems."""

    def store(hooks: dict[str, dict[str, str]]) -> None:
        link.webhooks = hooks
        link.save(update_fields=["webhooks"])

    steps: list[str] = [Message("step_secret")] if credentials.ensure_webhook_secret() else []
    try:
        return [*steps, *worded(connector.ensure_webhooks(link.board_id, webhook_url(), link.webhooks, store))], []
    except MondayError as error:
        if error.kind is not WEBHOOKS_INCOMPLETE:
            raise
        quote = without_secrets(error.message.rstrip(" ."))
        problem = Message("webhooks_unregistered", board=spec.board_title, quote=quote, url=settings.SITE_URL)
        return steps, [problem]
    # The address is too long for Monday.
    except ValueError as error:
        return steps, [Message("webhook_address", board=spec.board_title, quote=without_secrets(str(error)))]


def delete_former_webhooks(link: BoardLink, connector: MondayConnector) -> list[str]:
    """Delete our webhooks of a board that was left; return the steps. Raises MondayError if Monday can't be reached."""
    steps: list[str] = []
    for hook_id, hook in list(link.webhooks.items()):
        if hook.get("board", link.board_id) == link.board_id:
            continue
        try:
            connector.delete_webhook(hook_id)
            steps.append(Message("step_webhook_left", event=hook["event"], id=hook_id, board=hook["board"]))
        except MondayError as error:
            if error.scope in PASSING_SCOPES:
                raise
            # It went with its board, or isn't ours to delete any more; what it reports is about no board of ours.
            log.warning("webhook not deleted", board=hook["board"], webhook=hook_id, reason=error.sentence)
        del link.webhooks[hook_id]
        link.save(update_fields=["webhooks"])
    return steps


def _store_problem(link: BoardLink, problem: str) -> None:
    BoardLink.objects.filter(pk=link.pk).update(webhooks_checked_at=SyncNow(), webhooks_problem=problem)
    link.webhooks_problem = problem


# Webhooks take seconds; a change older than this without one counts as missed.
LONGEST_DELAY = timedelta(minutes=15)

# Without an accepted one for this long, refused deliveries count as the board's.
REFUSED_FOR = timedelta(days=1)

# Fewer prove nothing: Monday sends no webhook for an edit that changes nothing.
MIN_MISSED = 3

# Changes by people that the sweep found in the activity log; users with negative ids are Monday's automations.
_COUNT_MISSED = """
    SELECT count(*), min(happened_at) FROM sync_webhook_events
    CROSS JOIN LATERAL (SELECT (body #>> %(time_path)s)::timestamptz, body #>> %(user_path)s)
        AS event (happened_at, user_id)
    WHERE board_id = %(board)s AND trigger_id LIKE %(log)s
      AND user_id NOT IN (%(own)s, '') AND user_id NOT LIKE '-%%'
      AND (%(last)s::timestamptz IS NULL OR happened_at > %(last)s)
"""


def check_silence(link: BoardLink, own_user_id: str) -> None:
    """Store a problem if people change the board and no webhook arrives; clear it once one does.

    `own_user_id` is the token's user, whose changes don't count: our own may send no webhooks.
    """
    reason = ""
    if link.webhooks:
        deliveries = WebhookEvent.objects.filter(board_id=link.board_id)
        arrived = deliveries.exclude(trigger_id__startswith=board_events.LOG_PREFIX)
        last = arrived.aggregate(last=Max("received_at"))["last"]
        params: dict[str, Any] = {
            "board": link.board_id,
            "log": f"{board_events.LOG_PREFIX}%",
            "own": own_user_id,
            "last": last,
            "time_path": list(board_events.HAPPENED_AT_PATH),
            "user_path": list(board_events.USER_ID_PATH),
        }
        [(count, oldest)] = fetch_rows(_COUNT_MISSED, params)
        refusal = last_refusal() if last is None or last < sync_now() - REFUSED_FOR else ""
        if refusal and count:
            # Strangers alone can't cause this, because somebody has changed the board and no webhook came.
            none = Message("none_for_a_day" if last else "none")
            reason = Message("webhooks_refused", none=none, quote=refusal)
        elif count >= MIN_MISSED and oldest is not None and oldest <= sync_now() - LONGEST_DELAY:
            code = "webhooks_fell_silent" if last else "webhooks_never_came"
            reason = Message(code, times=count, url=settings.SITE_URL)
    if reason != link.silence:
        BoardLink.objects.filter(pk=link.pk).update(silence=reason)
        link.silence = reason
