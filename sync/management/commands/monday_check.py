"""manage.py monday_check: the problems of the connection to Monday, and how to fix them.

With `--probe`, it checks on this account the assumptions on which Monday's documentation is silent.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from sync import addresses, attention, registry
from sync.boards import availability, board_columns, webhooks
from sync.choices import ApprovalState
from sync.clock import sync_now
from sync.fields import lookups
from sync.kernel.humanize import count_with_noun, interval_text, terminal_line, utc_minute
from sync.kernel.secret_texts import without_secrets
from sync.limits import api_quota, credentials, probes
from sync.limits.metered_client import connector
from sync.models import ApprovalRequest, BoardLink, WebhookEvent
from sync.monday import account
from sync.monday.account import CheckResult
from sync.monday.account_probe import AccountProbe
from sync.monday.board_events import WEBHOOK_EVENTS
from sync.monday.board_items import Board
from sync.monday.connector import MondayConnector
from sync.monday.errors import BOARD_FULL, WRONG_VERSION, MondayError, Scope
from sync.operations import readiness
from sync.operations.setup.board_setup import NOT_CONFIGURED
from sync.operations.sweep import sweep_interval
from sync.operations.verification import verification_sentence
from sync.words.message import of_error

_LABELS = {"ok": "ok      ", "warning": "WARNING ", "problem": "PROBLEM "}

# A job may be due this long before it is reported that no worker runs.
QUEUE_STALLED_AFTER = timedelta(minutes=5)

NEARLY_FULL_SHARE = 0.95  # of a board's items; a check warns from then on

_RUN_SETUP = "Run `manage.py monday_setup`."

# The subject of a result about one of Monday's errors, by its scope, and about what sweeps found, by its cause code.
_SUBJECTS = {Scope.ACCOUNT: "token", Scope.LIMIT: "quota"}
_SWEEP_SUBJECTS = {"silence": "webhooks", "webhooks": "webhooks", "sweeps": "sweeps"}


class Command(BaseCommand):
    """Check the connection; changes nothing on Monday without --probe."""

    help = (
        "Checks token, API version, plan, API quota, boards, columns, groups, webhooks, pauses and the queue, and "
        "says how to fix what is wrong. Exits 1 when something is. With --probe it tries what Monday's documentation "
        "leaves open on boards of its own, which it deletes again; exits 1 when an answer isn't what NPD Sync assumes."
    )

    # For tests, whose sandbox runs in this process: instead of sleeping, they have it deliver the webhooks.
    stealth_options = ("wait",)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--probe", action="store_true", help="ask the account what is documented nowhere")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print a line for each check; exit 1 if something is wrong."""
        if options["probe"]:
            self._probe(options.get("wait") or time.sleep)
            return
        results = run_checks()
        for result in results:
            self.stdout.write(terminal_line(f"{_LABELS[result.level]} {result.message}"))
            if result.full_fix:
                self.stdout.write(terminal_line(f"          → {result.full_fix}"))
        levels = [result.level for result in results]
        if number := levels.count("problem"):
            raise CommandError(f"{count_with_noun(number, 'problem')} found; each says how to fix it.")
        self.stdout.write("No problems; see the warnings above." if "warning" in levels else "Everything is fine.")

    def _probe(self, wait: Any) -> None:
        def deliveries(board_id: str) -> Sequence[Mapping[str, Any]]:
            return list(WebhookEvent.objects.filter(board_id=board_id).order_by("id").values_list("body", flat=True))

        probe = AccountProbe(connector(urgent=True), wait, deliveries, webhooks.webhook_url())
        findings = []
        try:
            for finding in probe.run():
                findings.append(finding)
                assumption = finding.assumption
                question = f"{assumption.key}: {assumption.question}"
                if finding.reason:
                    self.stdout.write(f"not asked {question} {without_secrets(finding.reason)}")
                elif not assumption.expected:
                    self.stdout.write(f"measured  {question} {finding.answer}")
                elif finding.differs:
                    self.stdout.write(f"DIFFERS   {question} {finding.answer}")
                    self.stdout.write(f"          We assume: {assumption.expected}")
                    self.stdout.write(f"          → {assumption.otherwise}")
                else:
                    self.stdout.write(f"same      {question} {finding.answer}")
        except MondayError as error:
            raise CommandError(f"The probe's boards could not be made. {of_error(error)}") from error
        finally:
            for sentence in probe.leftovers:
                self.stderr.write(without_secrets(sentence))
            WebhookEvent.objects.filter(board_id__in=probe.board_ids).delete()
        if differing := [finding.assumption.key for finding in findings if finding.differs]:
            raise CommandError(f"Not as NPD Sync assumes: {len(differing)} ({', '.join(differing)}).")


def run_checks() -> list[CheckResult]:
    """Run all checks; if Monday can't be asked, that is a problem, too."""
    if not credentials.has_token():
        unusable = credentials.unreadable_reason()
        fix = credentials.RESTORE_KEY if unusable else NOT_CONFIGURED
        return [
            CheckResult("problem", "token", unusable or "There is no API token.", fix),
            *_secret_results(),
            *_queue_results(),
        ]
    overview = availability.Overview()
    links = list(overview.links.values())
    # Before Monday is asked, because its answer may end a stop.
    local_results = [
        *_secret_results(),
        *_address_results(),
        *_sweep_results(links),
        *_waiting_results(overview),
        *_queue_results(),
    ]
    return [*_monday_results(), *_clock_results(), *_quota_results(), *local_results]


def _monday_results() -> list[CheckResult]:
    api_version = settings.MONDAY_API_VERSION
    try:
        account_info = probes.refresh_account_info()
    except MondayError as error:
        if error.kind is WRONG_VERSION:
            # Monday answered, but with another version: the checks of that answer say with which one.
            return account.check_account(account.parse_account_info(error.answer), api_version)
        subject = _SUBJECTS.get(error.scope, "connection")
        on_server = error.kind.for_administrator
        message = without_secrets(error.message)
        return [CheckResult("problem", subject, message, error.advice, for_administrator=on_server)]
    monday = connector(urgent=True)
    links = [(spec, lookups.link_of(spec.entity_type)) for spec in registry.entities()]
    results = account.check_account(account_info, api_version)
    try:
        boards = monday.read_boards([link.board_id for _, link in links if link is not None and link.board_id])
    except MondayError as error:
        return [*results, CheckResult("problem", "board", without_secrets(error.message), error.advice)]
    for spec, link in links:
        board = boards.get(link.board_id) if link is not None else None
        configured = registry.configured_board_id(spec.entity_type)
        results += board_results(spec.board_title, link, board, monday, configured)
    return results


def board_results(
    title: str, link: BoardLink | None, board: Board | None, monday: MondayConnector, configured: str = ""
) -> Iterator[CheckResult]:
    """Check a board, its group for new items, columns and webhooks; `board` is None if Monday doesn't show it.

    `configured` is the board that the environment names for the type.
    """
    if link is None or not link.board_id:
        message = f"board {configured} isn't set up yet" if configured else "no board is set"
        yield CheckResult("problem", "board", f"{title}: {message}.", _RUN_SETUP)
        return
    if board is None:
        fix = f"Give NPD Sync's user on Monday access to it, or correct the id. {_RUN_SETUP}"
        yield CheckResult("problem", "board", f"{title}: board {link.board_id} isn't there, or is hidden.", fix)
        return
    if not board.is_active:
        fix = "Restore the board on Monday, or set up another one."
        yield CheckResult("problem", "board", f"{title}: board {board.id} is {board.state}.", fix)
        return
    yield CheckResult("ok", "board", f"{title}: board “{board.name}” ({board.id}) is active.")
    if board.items_count is not None and board.items_limit:
        used = f"{title}: {board.items_count:,} of at most {board.items_limit:,} items are on the board."
        share = board.items_count / board.items_limit
        level = "problem" if share >= 1 else "warning" if share >= NEARLY_FULL_SHARE else "ok"
        yield CheckResult(level, "board", used, "" if level == "ok" else BOARD_FULL.advice)
    if link.group_id and link.group_id not in board.groups:
        message = f"{title}: the group {link.group_id}, to which new items go, is archived or deleted."
        fix = f"Restore the group on the board, or let another one be chosen: {_RUN_SETUP}"
        yield CheckResult("problem", "board", message, fix)
    found = [board_columns.column_problem(link, mapping, board)[1] for mapping in link.mappings.all()]
    problems = list(filter(None, (*found, board_columns.npd_id_problem(link, board))))
    for problem in problems:
        fix = f"Restore it on the board, or map the field to another column. {_RUN_SETUP}"
        yield CheckResult("problem", "columns", f"{title}: {problem}", fix)
    if not problems:
        yield CheckResult("ok", "columns", f"{title}: all mapped columns are there.")
    yield from _webhook_results(title, link, monday)


def _webhook_results(title: str, link: BoardLink, monday: MondayConnector) -> Iterator[CheckResult]:
    try:
        existing = monday.read_webhooks(link.board_id)
    except MondayError as error:
        yield CheckResult("problem", "webhooks", f"{title}: the webhooks can't be read.", of_error(error))
        return
    if missing := webhooks.missing_events(link, existing):
        yield CheckResult("problem", "webhooks", f"{title}: no webhook of ours for {', '.join(missing)}.", _RUN_SETUP)
    else:
        yield CheckResult("ok", "webhooks", f"{title}: all {len(WEBHOOK_EVENTS)} webhooks are there.")
    ours = link.webhooks.keys() & existing
    if superfluous := len(ours) - (len(WEBHOOK_EVENTS) - len(missing)):
        message = f"{title}: {count_with_noun(superfluous, 'webhook')} of ours too many, or to a former address."
        fix = f"The set-up removes them. {_RUN_SETUP}"
        yield CheckResult("warning", "webhooks", message, fix)
    others = {event for hook_id, event in existing.items() if hook_id not in link.webhooks}
    if others >= set(WEBHOOK_EVENTS):
        # A board that was archived and restored looks like this (community topic 86426), as does a second installation.
        message = f"{title}: a second full set of webhooks is on the board, and it isn't ours."
        fix = "Another installation may sync this board, or one whose database is lost: delete its webhooks on Monday."
        yield CheckResult("warning", "webhooks", message, fix)


def _clock_results() -> Iterator[CheckResult]:
    for problem in readiness.clock_problems():
        yield CheckResult("problem", "clock", problem, "Once it is right, check again.")


def _quota_results() -> Iterator[CheckResult]:
    quota = api_quota.read_quota()
    if quota.day_limit is None:
        return
    sentence = api_quota.usage_sentence(quota)
    if quota.is_low:
        fix = (
            "Changes go out less often by themselves, so that it lasts. Other tokens of the account use the same "
            "API quota; a larger plan has more."
        )
        yield CheckResult("warning", "quota", sentence, fix)
    else:
        yield CheckResult("ok", "quota", sentence)


def _waiting_results(overview: availability.Overview) -> Iterator[CheckResult]:
    """Yield what waits for people: pauses, stops, approvals, and what the nightly comparison found."""
    for board in overview.boards:
        if board.is_chosen and board.is_paused:
            message = f"{registry.board_title(board.entity_type)}: {board.blocked_reason}"
            yield CheckResult("problem", "pause", message, "Resume it under Boards.")
    for stop in availability.stop_entries():
        headline = availability.stop_headline([stop.board], stop.title_sentence)
        # Without its cause, a stop's detail is the advice and the next attempt.
        yield CheckResult("problem", "pause", headline, stop.own_detail)
    if pending := ApprovalRequest.objects.filter(state=ApprovalState.PENDING).count():
        message = f"Deletes and emptied fields that wait for approval: {pending:,}."
        fix = "Approve or reject them in the admin, on Home."
        yield CheckResult("warning", "approvals", message, fix)
    links = overview.links.values()
    sentence = verification_sentence(links)
    if any(link.differed_records for link in links):
        fix = (
            "The board's page in the admin lists which fields of which records. `manage.py sync_reconcile` syncs all "
            "records now; if webhooks don't arrive, `manage.py monday_setup` registers them again."
        )
        yield CheckResult("problem", "comparison", sentence, fix)
    else:
        yield CheckResult("ok", "comparison", sentence)


def _secret_results() -> Iterator[CheckResult]:
    webhook_token, signing_secret = credentials.webhook_secrets()
    if webhook_token:
        variable = " (MONDAY_WEBHOOK_TOKEN)" if settings.MONDAY_WEBHOOK_TOKEN else ""
        message = f"Webhooks come in by an address with a secret part{variable}."
        yield CheckResult("ok", "settings", message)
    elif signing_secret:
        message = "Webhooks must be signed with the app's signing secret (MONDAY_SIGNING_SECRET)."
        yield CheckResult("ok", "settings", message)
    else:
        yield CheckResult(
            "problem",
            "settings",
            "Every webhook is refused: neither MONDAY_WEBHOOK_TOKEN nor MONDAY_SIGNING_SECRET is set.",
            "Run `manage.py monday_setup`, which stores a generated secret; or, with an app's token, first set "
            "MONDAY_SIGNING_SECRET to the app's signing secret.",
        )


def _address_results() -> Iterator[CheckResult]:
    # Monday can't reach an address of this machine or of a private network, but the sandbox can.
    if not webhooks.is_public_address() and not addresses.is_sandbox():
        host = urlsplit(settings.SITE_URL).hostname or ""
        yield CheckResult(
            "problem",
            "settings",
            f"Monday can't reach SITE_URL ({settings.SITE_URL}): {host or 'it'} isn't a public address.",
            "Set SITE_URL to this site's public address, then run `manage.py monday_setup`.",
        )


def _sweep_results(links: Iterable[BoardLink]) -> Iterator[CheckResult]:
    """Yield the stored problems that sweeps found, and whether sweeps run."""
    for entry in attention.entries(attention.waiting(kinds=[attention.Kind.BOARD])):
        if subject := _SWEEP_SUBJECTS.get(entry.code):
            yield CheckResult("problem", subject, f"{entry.board}: {entry.title}.", entry.detail)
    interval = sweep_interval()
    every = interval_text(interval.total_seconds())
    for link in links:
        # A problem of the sweep is one of the entries above.
        if not link.board_id or link.swept_at is None or link.sweep_problem:
            continue
        title = registry.board_title(link.entity_type)
        # One or two missed sweeps are normal.
        if sync_now() - link.swept_at > 3 * interval:
            message = f"{title}: not checked for missed changes since {utc_minute(link.swept_at)}."
            fix = "Start beat and a worker; read the worker's log."
            yield CheckResult("warning", "sweeps", message, fix)
        else:
            swept = f"Checked for missed changes at {utc_minute(link.swept_at)}; checked every {every}."
            yield CheckResult("ok", "sweeps", f"{title}: {swept}")


def _queue_results() -> Iterator[CheckResult]:
    stats = availability.queue_stats()
    age = timedelta(seconds=int(stats["oldest_due_seconds"]))
    due = count_with_noun(stats["due"], "job is", "jobs are")
    if age > QUEUE_STALLED_AFTER:
        message = f"{due} due, the oldest for {age}: nobody works on the queue."
        yield CheckResult("problem", "queue", message, "Start the worker and beat, or read the worker's log.")
    else:
        yield CheckResult("ok", "queue", f"{due} due now.")
    if stats["failed"]:
        failed = count_with_noun(stats["failed"], "job has", "jobs have")
        message = f"{failed} failed after all attempts."
        fix = "Open Settings, Jobs in the admin: each job says why. Fix that, then choose Retry."
        yield CheckResult("warning", "queue", message, fix)
