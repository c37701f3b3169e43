"""Are our webhooks still on the board, and do they arrive?"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import connection
from django.db.models import Max

from sync import account, registry
from sync.clock import SyncNow, sync_now
from sync.connectors.monday.hooks import WEBHOOK_EVENTS, url_fingerprint
from sync.models import BoardLink, WebhookEvent
from sync.setup import register_webhooks, webhook_url
from sync.sweeps.handing import FROM_LOG, TOUCHED

log = structlog.get_logger(__name__)

TRY_AGAIN = timedelta(hours=1)
"""After a registration that failed."""
SILENT_AFTER = timedelta(minutes=15)
"""A webhook takes seconds; one that takes so long is not on its way."""
UNHEARD = 3
"""So many changes of other people without any webhook are no chance."""

_COUNT = """
    SELECT count(*), min((body -> 'event' ->> 'triggerTime')::timestamptz) FROM sync_webhook_events
    WHERE board_id = %s AND trigger_id LIKE %s AND type <> %s
      AND body -> 'event' ->> 'userId' NOT IN (%s, '') AND body -> 'event' ->> 'userId' NOT LIKE '-%%'
      AND (%s::timestamptz IS NULL OR (body -> 'event' ->> 'triggerTime')::timestamptz > %s)
"""


def check(link: BoardLink, existing: Mapping[str, str] | None) -> None:
    """Register those of our webhooks that are gone, as the set-up does; store what can't be mended.

    `existing` are the board's webhooks, id and event; None where they could not be read. Raises MondayError.
    """
    if not (settings.MONDAY_WEBHOOK_TOKEN or settings.MONDAY_SIGNING_SECRET):
        return
    if existing is None:
        _store(link, "The board's webhooks could not be read. Give the API token the scope webhooks:read.")
        return
    missing = missing_events(link, existing)
    if not missing:
        _store(link, "")
    elif not link.webhooks_problem or _is_time(link):
        _register(link, missing)


def missing_events(link: BoardLink, existing: Mapping[str, str]) -> list[str]:
    """The kinds of events for which no webhook of ours to this address is on the board."""
    here = url_fingerprint(webhook_url())
    ours = [hook for hook, kept in link.webhooks.items() if kept["fingerprint"] == here and hook in existing]
    return [event for event in WEBHOOK_EVENTS if event not in {existing[hook] for hook in ours}]


def _is_time(link: BoardLink) -> bool:
    return link.webhooks_checked_at is None or link.webhooks_checked_at <= sync_now() - TRY_AGAIN


def _register(link: BoardLink, missing: list[str]) -> None:
    words, problems = register_webhooks(registry.entity(link.entity_type), link, account.client())
    log.warning("webhooks were gone", board=link.entity_type, missing=missing, done=words, problems=problems)
    _store(link, " ".join(problems))


def _store(link: BoardLink, problem: str) -> None:
    BoardLink.objects.filter(pk=link.pk).update(webhooks_checked_at=SyncNow(), webhooks_problem=problem)
    link.webhooks_problem = problem


def listen(link: BoardLink, us: str) -> None:
    """Raise the alarm where people change the board and no webhook comes; a webhook that comes ends it.

    `us` is the token's user, whose changes don't count: a bulk import of ours may make no webhooks.
    """
    words = _why_silent(link, us) if link.webhooks else ""
    if words != link.silence:
        BoardLink.objects.filter(pk=link.pk).update(silence=words)
        link.silence = words


def last_webhook(link: BoardLink) -> datetime | None:
    """When the last webhook of the board came in."""
    rows = WebhookEvent.objects.filter(board_id=link.board_id).exclude(trigger_id__startswith=FROM_LOG)
    found: datetime | None = rows.exclude(type=TOUCHED).aggregate(last=Max("received_at"))["last"]
    return found


def _why_silent(link: BoardLink, us: str) -> str:
    last = last_webhook(link)
    count, oldest = _unheard(link, us, last)
    if count < UNHEARD or oldest is None or oldest > sync_now() - SILENT_AFTER:
        return ""
    since = f"no webhook has come since {last:%Y-%m-%d %H:%M} UTC" if last else "no webhook ever came"
    return (
        f"People changed the board {count:,} times from {oldest:%Y-%m-%d %H:%M} UTC on, but {since}. Such changes are "
        f"found by sweeps, some minutes later. Check that Monday can reach SITE_URL ({settings.SITE_URL}) from the "
        "internet, and look for refused deliveries in the log of web."
    )


def _unheard(link: BoardLink, us: str, last: datetime | None) -> tuple[int, datetime | None]:
    """Changes of other people since the last webhook, and when the first of them was."""
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, [link.board_id, f"{FROM_LOG}%", TOUCHED, us, last, last])
        count, oldest = cursor.fetchone()
    return int(count), oldest
