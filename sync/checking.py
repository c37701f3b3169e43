"""Is everything that Monday needs in place? The settings and the queue here, the rest as Monday answers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from ipaddress import ip_address
from urllib.parse import urlsplit

from django.conf import settings

from sync import account, budget, registry
from sync.audit.figures import verified
from sync.boards import link_of
from sync.choices import SyncDirection
from sync.clock import sync_now
from sync.connectors.monday.doctor import (
    BoardCheck,
    ColumnCheck,
    Finding,
    examine,
    examine_account,
    labels_of,
)
from sync.connectors.monday.errors import MondayError, Scope, WrongVersion
from sync.connectors.monday.hooks import url_fingerprint
from sync.connectors.monday.platform import parse_greeting
from sync.guard.deciding import waiting
from sync.models import BoardLink, FieldMapping, Intent, IntentState
from sync.queue import SyncQueueService
from sync.registry import EntitySpec
from sync.setup import NOT_CONFIGURED, webhook_url
from sync.setup_columns import NPD_ID_TITLE, fitting_types, target_board_of
from sync.standstill import why_not
from sync.sweeps import reports
from sync.sweeps.hooks import last_webhook

MONDAY_HOST = "api.monday.com"
TOO_OLD = timedelta(minutes=5)
"""Since when a row may be due before it is said that nobody works."""
WEBHOOK_MAY_TAKE = timedelta(minutes=15)
CHANGES_WITHOUT_WEBHOOK = 3
"""So many changes of ours without any webhook are no chance: one that changed nothing makes none."""

_ABOUT = {Scope.ACCOUNT: "token", Scope.LIMIT: "allowance"}


def check() -> list[Finding]:
    """Look at everything; what can't be asked of Monday becomes a finding too."""
    if not account.is_configured():
        return [
            Finding(False, "There is no API token.", NOT_CONFIGURED, "token"),
            *_webhook_secrets(),
            *_queue(),
        ]
    here = [*_webhook_secrets(), *_address(), *_deliveries(), *reports.findings(), *_pauses(), *_queue()]
    return [*_monday(), *_allowance(), *_people(), *here, *_approvals(), *_verified()]


def _monday() -> list[Finding]:
    """What is found by asking Monday; it is a person who asks, so the reserve may be used."""
    asked = settings.MONDAY_API_VERSION
    try:
        greeting = account.greet(urgent=True)
    except WrongVersion as error:
        known = examine_account(parse_greeting(error.answer), asked) if error.answer else []
        return known or [Finding(False, error.message, error.sentence, "version")]
    except MondayError as error:
        return [Finding(False, error.message, error.sentence, _ABOUT.get(error.scope, "connection"))]
    boards = [_board_check(spec) for spec in registry.entities()]
    return examine(account.client(urgent=True), greeting, asked, boards)


def _board_check(spec: EntitySpec) -> BoardCheck:
    link = link_of(spec.entity_type)
    if link is None:
        return BoardCheck(spec.board_title, None)
    # A webhook to an address of former days is none: its deliveries don't reach this installation.
    here = url_fingerprint(webhook_url())
    hooks = [hook_id for hook_id, kept in link.webhooks.items() if kept["fingerprint"] == here]
    return BoardCheck(
        spec.board_title,
        link.board_id or None,
        _columns(link),
        hooks,
        [hook_id for hook_id in link.webhooks if hook_id not in hooks],
        link.group_id,
    )


def _columns(link: BoardLink) -> dict[str, ColumnCheck]:
    found = {
        mapping.column_id: _column(mapping)
        for mapping in link.mappings.all()
        if mapping.column_id and mapping.direction != SyncDirection.NONE
    }
    return found | ({link.npd_id_column: ColumnCheck(NPD_ID_TITLE, ("text",))} if link.npd_id_column else {})


def _column(mapping: FieldMapping) -> ColumnCheck:
    kept = mapping.options.get("settings") or {}
    labels = labels_of(kept) if mapping.options.get("column_type") in ("status", "dropdown") else None
    # The type that set-up found goes before all that would do: another fitting one is read by another converter.
    kind = mapping.options.get("column_type")
    types = (kind,) if kind else fitting_types(mapping)
    return ColumnCheck(mapping.label, types, target_board_of(mapping), labels)


def _allowance() -> Iterator[Finding]:
    forecast = budget.forecast()
    if forecast.limit is None:
        return
    if forecast.ends_at is not None:
        mend = (
            "Changes go out less often by themselves, so that it lasts. Other tokens of the account spend "
            "from the same allowance; a larger plan has more."
        )
        yield Finding(True, forecast.words, mend, "allowance", warning=True)
    else:
        yield Finding(True, forecast.words, about="allowance")


def _approvals() -> Iterator[Finding]:
    held = sum(group.acts for group in waiting())
    if held:
        what = f"Deletes and emptied fields that wait for approval: {held:,}."
        mend = "Approve or reject them in the admin, under “Waiting for approval”."
        yield Finding(True, what, mend, "guard", warning=True)


def _verified() -> Iterator[Finding]:
    found = verified()
    if found.drifted:
        mend = (
            "Which fields of which records stands in the admin, under “Samples”. `manage.py sync_reconcile` looks "
            "at all records now; if webhooks don't arrive, `manage.py monday_setup` registers them again."
        )
        yield Finding(False, found.words(sync_now()), mend, "drift")
    else:
        yield Finding(True, found.words(sync_now()), about="drift")


def _people() -> Iterator[Finding]:
    mapped = FieldMapping.objects.filter(converter="people").exclude(direction=SyncDirection.NONE)
    if mapped.exists() and not account.account().users:
        yield Finding(
            False,
            "A people column is mapped, but the account's users can't be read.",
            "Give the API token the scope users:read, then run `manage.py monday_setup`.",
            "columns",
        )


def _webhook_secrets() -> Iterator[Finding]:
    if settings.MONDAY_WEBHOOK_TOKEN:
        what = "Webhooks come in by an address with a secret part (MONDAY_WEBHOOK_TOKEN)."
        yield Finding(True, what, about="settings")
    elif settings.MONDAY_SIGNING_SECRET:
        what = "Webhooks must be signed with the app's signing secret (MONDAY_SIGNING_SECRET)."
        yield Finding(True, what, about="settings")
    else:
        yield Finding(
            False,
            "Every webhook is refused: neither MONDAY_WEBHOOK_TOKEN nor MONDAY_SIGNING_SECRET is set.",
            "With a personal API token set MONDAY_WEBHOOK_TOKEN to a long random text; with an app's token "
            "set MONDAY_SIGNING_SECRET to the app's signing secret. Then run `manage.py monday_setup`.",
            "settings",
        )


def _address() -> Iterator[Finding]:
    """Monday's own servers reach no address of this machine or of a private network; the sandbox does."""
    host = urlsplit(settings.SITE_URL).hostname or ""
    if urlsplit(settings.MONDAY_API_URL).hostname == MONDAY_HOST and _is_private(host):
        yield Finding(
            False,
            f"Monday can't reach SITE_URL ({settings.SITE_URL}): {host or 'it'} is no address of the internet.",
            "Set SITE_URL to this site's public address, then run `manage.py monday_setup`.",
            "settings",
        )


def _is_private(host: str) -> bool:
    try:
        return not ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith((".local", ".localhost", ".internal"))


def _deliveries() -> Iterator[Finding]:
    """Whether webhooks arrive: each change of ours makes one, too."""
    for spec in registry.entities():
        link = link_of(spec.entity_type)
        if link is None or not link.webhooks:
            continue
        last = last_webhook(link)
        now = sync_now()
        sent = Intent.objects.filter(
            board_id=link.board_id,
            state__in=[IntentState.APPLIED, IntentState.LANDED],
            created_at__gte=max(last, now - timedelta(days=1)) if last else now - timedelta(days=1),
            settled_at__lte=now - WEBHOOK_MAY_TAKE,
        ).count()
        when = f"the last one came {last:%Y-%m-%d %H:%M} UTC" if last else "none ever came"
        if sent >= CHANGES_WITHOUT_WEBHOOK:
            yield Finding(
                False,
                f"{spec.board_title}: webhooks don't arrive: {when}, and {sent:,} changes went to the board since.",
                f"Monday must reach SITE_URL ({settings.SITE_URL}) from the internet; look for refused deliveries in "
                "the log of web. Until then changes on Monday are found by the sweeps, some minutes later.",
                "webhooks",
            )
        elif last:
            yield Finding(True, f"{spec.board_title}: webhooks arrive; {when}.", about="webhooks")


def _pauses() -> Iterator[Finding]:
    for spec in registry.entities():
        link = link_of(spec.entity_type)
        if link is not None and link.board_id and (reason := why_not(spec.entity_type)):
            yield Finding(False, f"{spec.board_title}: sync is paused.", reason, "pause")


def _queue() -> Iterator[Finding]:
    stats = SyncQueueService().get_queue_stats()
    age = timedelta(seconds=int(stats["oldest_due_seconds"]))
    if age > TOO_OLD:
        what = f"{_rows(stats['due'])} due, the oldest since {age}: nobody works on the queue."
        yield Finding(False, what, "Start the worker and beat, or look into the worker's log.", "queue")
    else:
        yield Finding(True, f"{_rows(stats['due'])} due now.", about="queue")
    if stats["failed"]:
        what = f"{_rows(stats['failed'])} given up after several failures."
        mend = "Open the queue in the admin: each row says why; mend that, then choose Retry."
        yield Finding(True, what, mend, "queue", warning=True)


def _rows(count: int) -> str:
    return "1 queue row is" if count == 1 else f"{count:,} queue rows are"
