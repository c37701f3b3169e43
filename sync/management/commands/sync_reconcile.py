"""manage.py sync_reconcile: compare every linked record, reconcile what differs, and sweep every board now."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from sync.kernel import process
from sync.kernel.humanize import count_with_noun, join_first, terminal_line
from sync.limits import api_quota
from sync.operations import dry_run, planned_changes
from sync.operations.reconcile_all import plan_boards, reconcile_boards
from sync.operations.worker import remaining_lines

# Records or items of each kind that are listed without -v 2.
SHOWN_PER_KIND = 5


class Command(BaseCommand):
    help = (
        "Compares every linked record with its item, and reconciles those that differ or have open work, and every "
        "unmatched item. With --dry-run it prints what that would do, as the engine itself decides, and what it would "
        "cost; -v 2 lists every line."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="print the plan, write nothing on either side")

    def handle(self, *args: Any, **options: Any) -> None:
        """Reconcile and report; exit 1 if something could not be checked. Open conflicts are no failure."""
        if options["dry_run"]:
            boards, client = plan_boards()
            for line in plan_lines(boards, client, every_line=options["verbosity"] > 1):
                self.stdout.write(terminal_line(line))
            if problems := [f"{board.title}: {board.problem}" for board in boards if board.problem]:
                raise CommandError("\n".join(problems))
            return
        with process.shutdown_on_signals() as interrupted:
            report, problems = reconcile_boards(self.stdout.write)
        for line in report:
            self.stdout.write(terminal_line(line))
        for line in remaining_lines():
            self.stdout.write(terminal_line(f"Left: {line}"))
        if interrupted.signal_number:
            words = "Interrupted: not everything was synced. Run it again for the rest."
            raise CommandError(words, returncode=interrupted.exit_code)
        if problems:
            raise CommandError("\n".join(problems))


def plan_lines(
    boards: Sequence[planned_changes.BoardPlan], client: dry_run.ReadOnlyClient, *, every_line: bool
) -> Iterator[str]:
    """Yield the changes of each board by their kind, then their sum and what it costs."""
    total = Counter[str]()
    for board in boards:
        yield f"{board.title}: {board.checked:,} checked, {board.unchanged:,} of them the same on both sides."
        for kind in planned_changes.ChangeKind:
            subjects = list(board.groups.get(kind, {}).values())
            if not subjects:
                continue
            total[kind] += len(subjects)
            yield f"  {len(subjects):,} {kind.label}"
            listed = subjects if every_line else subjects[:SHOWN_PER_KIND]
            yield from (f"      {planned_changes.change_line(change)}" for changes in listed for change in changes)
            if rest := len(subjects) - len(listed):
                yield f"      and {rest:,} more (-v 2 lists all)"
        if board.unconfirmed:
            yield f"  {board.unconfirmed:,} wait for the outcome of a call without an answer, and are not synced yet."
        if board.problem:
            yield f"  Not checked: {board.problem}"
        elif board.calls:
            yield f"  It takes about {_cost_text(board.calls)}."
        yield ""
    totals = [f"{total[kind]:,} {kind.label}" for kind in planned_changes.ChangeKind if total[kind]]
    unread = [board.title for board in boards if board.problem]
    if unread:
        plan = ", ".join([*totals, f"not known for {join_first(unread)}"])
        cost = "an unknown number of calls"
    else:
        plan = ", ".join(totals) or "nothing to do, both sides are the same"
        cost = f"about {_cost_text(sum(board.calls for board in boards))}"
    yield f"Plan: {plan}."
    yield f"This dry run took {_cost_text(client.calls)}; nothing was written on either side."
    yield f"The real run takes {cost}. Run `manage.py sync_reconcile`."


def _cost_text(calls: int) -> str:
    return f"{count_with_noun(calls, 'call')}{api_quota.share_text(calls)}"
