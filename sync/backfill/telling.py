"""A preview and an outcome in words."""

from __future__ import annotations

from collections.abc import Iterator

from sync.backfill.preview import Group, Preview
from sync.models import Backfill, BackfillState, Intent, IntentState

REASONS = 3


def lines_of(seen: Preview) -> Iterator[str]:
    """What a preview says, group by group, with samples and the price."""
    title = seen.spec.board_title
    if not seen.records:
        yield f"{title}: every record that may sync has its item, or is being given one."
        return
    yield f"{title}: {seen.records:,} records without an item; {seen.items:,} items on the board."
    yield from _group(seen.create, "to create in bulk")
    yield from _group(seen.ordinary, "to create one by one, for a value that an import can't carry")
    yield from _group(seen.link, "to link with an item that is there")
    yield from _group(seen.ambiguous, "ambiguous; a person will be asked")
    yield from _group(seen.invalid, "that Monday won't take; each record's page will say why")
    yield from _group(seen.left_out, "fields left out until they are corrected; their records are created")
    yield f"  It costs {cost(seen)}."
    if seen.too_many:
        yield (
            f"  The board may hold {seen.room.limit:,} items: {seen.too_many:,} too few. Archive items, or ask Monday "
            "for a higher limit. Nothing will be written."
        )


def cost(seen: Preview) -> str:
    """The price in calls and minutes, as a clause."""
    share = seen.share_of_day
    of_day = f" ({share:.1%} of the day's allowance)" if share is not None else ""
    return f"about {seen.calls:,} API calls{of_day} and {seen.minutes} minutes"


def _group(group: Group, words: str) -> Iterator[str]:
    if group.ids:
        yield f"  {len(group.ids):,} {words}"
        yield from (f"      {sample}" for sample in group.samples)
        if len(group.ids) > len(group.samples):
            yield f"      … and {len(group.ids) - len(group.samples):,} more"


def outcome(backfill: Backfill) -> Iterator[str]:
    """What became of a backfill."""
    if backfill.state == BackfillState.FAILED:
        yield f"The backfill failed. {backfill.problem}"
        yield "Its records are looked at one by one, by a worker or by `manage.py sync_drain`."
        return
    counts = backfill.counts
    told = [
        f"{counts[key]:,} {key}" for key in ("created", "skipped", "invalid", "failed") if counts.get(key)
    ]
    yield f"{counts.get('linked', 0):,} of {backfill.rows:,} rows have their item ({', '.join(told) or 'no counts'})."
    if backfill.problem:
        yield backfill.problem
    rest = Intent.objects.filter(backfill=backfill, state=IntentState.VOID)
    if count := rest.count():
        yield f"{count:,} records are looked at one by one, by a worker or by `manage.py sync_drain`."
        reasons = rest.exclude(answer=None).values_list("entity_id", "answer")[:REASONS]
        yield from (f"      {entity_id}: {answer['reason']}" for entity_id, answer in reasons if answer)
