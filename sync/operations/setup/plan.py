"""From a draft to a confirmed plan with its cost, and the progress of its run."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import transaction
from django.db.models import Q, QuerySet

from sync import connectors, registry
from sync.choices import QueueStatus, Rule, SyncDirection
from sync.clock import SyncNow, sync_now
from sync.kernel import humanize
from sync.kernel.messages import ActionError, Conflict
from sync.limits import quota
from sync.models import SetupDraft, SetupState, SyncQueue
from sync.operations.setup.draft import (
    ANSWER_NEW,
    ANSWER_OUT,
    link_of_draft,
    log_setup,
    mapping_changes_of,
    npd_id_column_of,
)
from sync.operations.setup.fields import (
    NEW_COLUMN,
    SETTINGS_KEY,
    FieldChoice,
    MappableField,
    changes_text,
    filter_text,
    mappable_fields,
    parse_choices,
    settings_changes,
    settings_snapshot,
)
from sync.outbox.notify import send_task
from sync.outbox.pauses import active_pauses
from sync.registry import link_of
from sync.state.record_view import PARTS, Part, RecordState, health_counts

PLAN_LIFETIME = timedelta(minutes=30)
"""An older plan is compared again before it can be confirmed: people work on both sides meanwhile."""

FILTER_KEYS = ("stops", "resumes", "kept_out", "stays_out", "items_out")
LEFT_KEYS = ("different", "sync_off", "no_item", "blocked", "doubtful", "invalid", "missing")
ASKED_KEYS = ("conflicts", "ambiguous", "items_asked", "unsure")
COUNT_KEYS = ("linked", "to_monday", "to_npd", "looks_that_write", *ASKED_KEYS, *LEFT_KEYS, *FILTER_KEYS)

SECONDS_PER_CALL = 2


def compare_again(user: User) -> None:
    """Have a worker compare all set-ups whose fields are mapped; earlier results are dropped. Raises Conflict."""
    with transaction.atomic():
        for entity_type in _request_comparison(comparable()):
            log_setup(user, entity_type, "Set-up: both sides are compared; nothing is written.")


def compare_if_due() -> None:
    """Compare again those that changed since, or were compared too long ago; not logged as a person's act."""
    changed = Q(state=SetupState.DRAFT, problem="")
    too_old = Q(state=SetupState.COMPARED) & (Q(found_at=None) | Q(found_at__lt=sync_now() - PLAN_LIFETIME))
    _request_comparison(comparable().filter(changed | too_old))


def comparable() -> QuerySet[SetupDraft]:
    """Return the set-ups that can be compared: mapped ones that are open."""
    return SetupDraft.objects.filter(mapped=True).exclude(state__in=(SetupState.RUNNING, SetupState.DONE))


def _request_comparison(drafts: QuerySet[SetupDraft]) -> list[str]:
    found = list(drafts.values_list("entity_type", flat=True))
    if found:
        comparable().filter(entity_type__in=found).update(
            state=SetupState.COMPARING, problem="", progress="", compared=0, to_compare=0, token=None,
            claimed_until=None, changed_at=SyncNow(),
        )  # fmt: skip
        # Beat looks for such set-ups every ten seconds, so a broker that is away costs only time.
        transaction.on_commit(lambda: send_task("sync.set_up"), robust=True)
    return found


def confirm_setup(user: User, plans: Mapping[str, str]) -> None:
    """Confirm what was chosen on the page, all of it or nothing; raises Conflict, ActionError.

    `plans` gives, by type, the version of the set-up that the page showed; other set-ups stay open as they are.
    """
    with transaction.atomic():
        open_ones = SetupDraft.objects.select_for_update().exclude(state=SetupState.DONE)
        found = [draft for draft in open_ones.order_by("pk") if draft.pk in plans]
        _check_confirmable(found, plans)
        _check_relations(found)
        changes = []
        for draft in found:
            link = link_of_draft(draft)
            if change := settings_changes(draft, link):
                changes.append(change)
                # Once reported, it builds on the changed settings; the page that hasn't shown them confirms nothing.
                outcome = {**draft.outcome, SETTINGS_KEY: settings_snapshot(link)}
                SetupDraft.objects.filter(pk=draft.pk).update(outcome=outcome, changed_at=SyncNow())
        for draft in () if changes else found:
            SetupDraft.objects.filter(pk=draft.pk).update(
                state=SetupState.RUNNING, changed_at=SyncNow(), progress="", problem="",
                outcome={**draft.outcome, "by": user.get_username()}, token=None, claimed_until=None,
            )  # fmt: skip
            mapped = changes_text(mapping_changes_of(draft)) or "no field is mapped otherwise than before"
            mapped += f". Filter: {filter_text(draft.sync_filter, mappable_fields(draft.entity_type))}"
            log_setup(
                user,
                draft.entity_type,
                f"Set-up confirmed: {plan_summary(draft)}. {mapped}. Where both sides differ at first: "
                f"{Rule(draft.first_match).label}.",
            )
        transaction.on_commit(lambda: send_task("sync.set_up"), robust=True)
    if changes:
        raise Conflict(
            f"After this set-up was drafted, settings were changed elsewhere: {'; '.join(changes)}. Nothing was "
            "begun. Confirming sets them as this plan says: check it again, then confirm it or map the fields "
            "again."
        )


def _check_confirmable(found: Sequence[SetupDraft], plans: Mapping[str, str]) -> None:
    if not plans:
        raise ActionError("No set-up was chosen, so nothing was begun. Choose at least one.")
    if not found or any(draft.state == SetupState.RUNNING for draft in found):
        raise Conflict("It was confirmed or left out already; this is its state.")
    if any(draft.state != SetupState.COMPARED for draft in found):
        raise Conflict("Both sides are not compared yet. Wait for the plan, then confirm it.")
    # A plan that was never seen is not begun, though nobody else works on it: the same person may have two pages open.
    if {draft.pk: draft.version for draft in found} != dict(plans):
        raise Conflict(
            "The plan has changed since your page was opened, so nothing was begun. Check it and confirm again."
        )
    oldest = sync_now() - PLAN_LIFETIME
    if any(draft.found_at is None or draft.found_at < oldest for draft in found):
        raise Conflict("The plan is too old to be confirmed: people worked on both sides meanwhile. Compare again.")


def _check_relations(found: Sequence[SetupDraft]) -> None:
    """Check that a relation's target board exists or is confirmed with it; raises ActionError."""
    chosen_types = {draft.pk for draft in found}
    for draft in found:
        chosen = parse_choices(draft.fields)
        for one in mappable_fields(draft.entity_type):
            if not one.target or one.target in chosen_types or not chosen.get(one.key, FieldChoice()).is_synced:
                continue
            link = link_of(one.target)
            if link is None or not link.board_id or link.board_id != one.target_board:
                raise ActionError(
                    f"{one.label} points at the {one.target} records, whose set-up was not chosen. Choose both, or "
                    "leave the field out of the sync."
                )


def plan_summary(draft: SetupDraft) -> str:
    count = plan_totals(draft)
    return f"{count['create']:d} to create, {count['link']:d} to link, {count['out'] + count['unsure']:d} left out"


def plan_totals(draft: SetupDraft) -> dict[str, int]:
    """Return how many records of each kind a plan has, with the answers about similar names."""
    pairs, counts = draft.found.get("near", []), Counter(draft.found.get("counts", {}))
    for one in _linked_pairs(draft):
        counts.update(one.get("counts", {}))
    answers = [draft.answers.get(pair["record"]) for pair in pairs]
    linked = sum(answer == one["item"] for answer, one in zip(answers, pairs, strict=True))
    new = answers.count(ANSWER_NEW)
    free, keyless = _unmatched_items(draft), set(draft.found.get("keyless", []))
    return {
        **{name: counts[name] for name in COUNT_KEYS},
        "create": counts["create"] + new,
        "link": counts["link"] + linked,
        "out": len(pairs) - linked - new,
        "alike": len(_alike_items(draft)),
        "from_items": len(free - keyless) if draft.creates_records else 0,
        # The run makes none of these: they are unmatched items until somebody fills the match key, or it has waited.
        "no_key": len(free & keyless) if draft.creates_records else 0,
        "unmatched": 0 if draft.creates_records else len(free),
    }


# What a plan does, and what it leaves as it is.


DONE_ROWS = {
    "create": ("item is created on Monday", "items are created on Monday"),
    "link": ("record is linked with its item", "records are linked with their items"),
    "to_monday": ("item is updated on Monday", "items are updated on Monday"),
    "to_npd": ("record is updated in NPD", "records are updated in NPD"),
    "from_items": ("record is created from an item on Monday", "records are created from items on Monday"),
    "no_key": ("item has no value to match by: it becomes a record later",
               "items have no value to match by: they become records later"),
    "conflicts": ("conflict to resolve", "conflicts to resolve"),
    "ambiguous": ("record fits several items: you choose which", "records fit several items: you choose which"),
    "items_asked": ("item could be a record that NPD has: you are asked",
                    "items could be records that NPD has: you are asked"),
    "stops": ("record is no longer synced: the filter leaves it out",
              "records are no longer synced: the filter leaves them out"),
    "resumes": ("record is synced again: the filter lets it through",
                "records are synced again: the filter lets them through"),
}  # fmt: skip
LEFT_ROWS = {
    "unmatched": ("item stays unmatched: no record is created from it",
                  "items stay unmatched: no records are created from them"),
    "out": ("record is left out: nobody has said whether an item of nearly the same name is the same",
            "records are left out: nobody has said whether items of nearly the same names are the same"),
    "unsure": ("record is left out: its name is nearly that of several items, or of another record",
               "records are left out: their names are nearly those of several items, or of other records"),
    "alike": ("item stays unmatched: a record that is left out has nearly the same name",
              "items stay unmatched: records that are left out have nearly the same names"),
    "different": ("record stays different from its item: its direction, or a person, keeps it so",
                  "records stay different from their items: their direction, or a person, keeps them so"),
    "sync_off": ("record has sync turned off", "records have sync turned off"),
    "no_item": ("record gets no item: it is synced from Monday only",
                "records get no items: they are synced from Monday only"),
    "missing": ("record has lost its item: it isn't on the board",
                "records have lost their items: they aren't on the board"),
    "kept_out": ("record gets no item: the filter leaves it out", "records get no items: the filter leaves them out"),
    "stays_out": ("record is left out by the filter, as before", "records are left out by the filter, as before"),
    "items_out": ("item becomes no record: the filter leaves it out, or a value is wrong",
                  "items become no records: the filter leaves them out, or a value is wrong"),
    "invalid": ("record isn't synced: Monday would reject it", "records aren't synced: Monday would reject them"),
    "blocked": ("field can't be synced; the record's other fields are",
                "fields can't be synced; the records' other fields are"),
    "doubtful": ("value will probably be rejected by Monday; the record's other fields are synced",
                 "values will probably be rejected by Monday; the records' other fields are synced"),
}  # fmt: skip
"""What a plan counts, by its names in `found`, for one and for several; what there is none of isn't shown."""

MATCH_ROWS = {
    "linked": ("record is linked already", "records are linked already"),
    **{one: (DONE_ROWS | LEFT_ROWS)[one] for one in ("link", "create", "from_items", "no_key", "unmatched", "ambiguous",
                                                     "unsure", "missing", "invalid", "blocked", "doubtful")},
}  # fmt: skip
"""What of that the comparison found, beside the pairs of like names that it asks about."""

_SHOWN_WITH_REASON = ("ambiguous", "missing", "to_monday", "to_npd", "conflicts", "out", "alike", "unsure", "invalid",
                      "blocked", "doubtful", "stops", "kept_out", "items_asked", "items_out", "no_key",
                      "different")  # fmt: skip


@dataclass(frozen=True)
class PlanRow:
    """How many records, items or fields there are of a kind; three of them, where it matters each with the reason."""

    code: str
    sentence: str
    samples: list[tuple[str, str]]


@dataclass(frozen=True)
class Plan:
    """What a draft does, and what it leaves: records and items, its fields and columns, and those synced one way.

    The latter are names: `unsynced` and `to_monday`, `to_npd` of fields, `columns` of columns.
    """

    done: list[PlanRow]
    left: list[PlanRow]
    unsynced: list[str]
    columns: list[str]
    to_monday: list[str]
    to_npd: list[str]

    @property
    def is_same(self) -> bool:
        """Whether there is nothing to do, and nothing is left that differs: no record, item, field or column."""
        return not (self.done or self.left or self.unsynced or self.columns)


def plan_of(draft: SetupDraft, fields: Sequence[MappableField], npd_id: str) -> Plan:
    """Return a compared draft's plan; `npd_id` is the column of the NPD ID."""
    chosen = parse_choices(draft.fields)
    choices = [(one.label, chosen.get(one.key, FieldChoice())) for one in fields]
    used = {npd_id, *(choice.column for _label, choice in choices if choice.is_synced)}

    def synced_only(way: SyncDirection) -> list[str]:
        return [label for label, choice in choices if choice.is_synced and choice.direction == way]

    return Plan(
        done=rows_of(draft, DONE_ROWS),
        left=rows_of(draft, LEFT_ROWS),
        unsynced=[label for label, choice in choices if not choice.is_synced],
        columns=[details["title"] for column, details in draft.columns.items() if column not in used],
        to_monday=synced_only(SyncDirection.NPD_TO_MONDAY),
        to_npd=synced_only(SyncDirection.MONDAY_TO_NPD),
    )


def rows_of(draft: SetupDraft, nouns: Mapping[str, tuple[str, str]]) -> list[PlanRow]:
    counts, found = plan_totals(draft), dict(draft.found.get("samples", {}))
    for one in _linked_pairs(draft):
        for name, samples in {**one.get("samples", {}), "link": [(one["name"], "")]}.items():
            found[name] = [*found.get(name, []), *samples]
    out = [one for one in draft.found.get("near", []) if answer_of(draft, one) in ("", ANSWER_OUT)]
    found = found | {
        "unmatched": [*found.get("from_items", []), *found.get("no_key", [])],
        "out": [(one["name"], f"“{one['item_name']}”") for one in out],
        "alike": [(one["item_name"], f"“{one['name']}”") for one in out],
    }
    return [
        PlanRow(name, humanize.count_with_noun(counts[name], *noun), _samples(name, found.get(name, [])[:3]))
        for name, noun in nouns.items()
        if counts[name]
    ]


def _samples(name: str, found: Sequence[Sequence[str]]) -> list[tuple[str, str]]:
    """The records or items with the reason, where it matters: behind the last of those that share it."""
    reasons = [why if name in _SHOWN_WITH_REASON else "" for _record, why in found]
    return [
        (record, "" if reason in reasons[place + 1 : place + 2] else reason)
        for place, ((record, _why), reason) in enumerate(zip(found, reasons, strict=True))
    ]


def unmatched_count(draft: SetupDraft) -> int:
    return len(_unmatched_items(draft))


def keyless_count(draft: SetupDraft) -> int:
    """Return how many of them have nothing to be matched by, so that they become records only after a wait."""
    return len(_unmatched_items(draft) & set(draft.found.get("keyless", [])))


def _unmatched_items(draft: SetupDraft) -> set[str]:
    return set(draft.found.get("free", [])) - _linked_items(draft) - _alike_items(draft)


def _linked_pairs(draft: SetupDraft) -> list[dict[str, Any]]:
    """The pairs of similar names of which a person said that both are the same."""
    return [one for one in draft.found.get("near", []) if answer_of(draft, one) == one["item"]]


def _linked_items(draft: SetupDraft) -> set[str]:
    return {one["item"] for one in _linked_pairs(draft)}


def _alike_items(draft: SetupDraft) -> set[str]:
    """The items that the run leaves alone, for a record like them is left out."""
    found = {one["item"] for one in draft.found.get("near", []) if answer_of(draft, one) in ("", ANSWER_OUT)}
    found |= {item for items in draft.found.get("unsure_of", {}).values() for item in items}
    return found - _linked_items(draft)


def unanswered_pairs(draft: SetupDraft) -> list[dict[str, Any]]:
    return [one for one in draft.found.get("near", []) if not answer_of(draft, one)]


def answer_of(draft: SetupDraft, pair: Mapping[str, Any]) -> str:
    """Return the answer about a pair; empty where there is none, or it names another item."""
    answer = str(draft.answers.get(pair["record"], ""))
    return answer if answer in (pair["item"], ANSWER_NEW, ANSWER_OUT) else ""


@dataclass(frozen=True)
class WorkCost:
    """About how many API calls a work takes."""

    calls: int = 0

    @property
    def minutes(self) -> int:
        return math.ceil(self.calls * SECONDS_PER_CALL / 60)

    @property
    def share_of_day(self) -> float | None:
        """Return the calls as a share of the day's quota; None where that isn't known."""
        return quota.share_of_day(self.calls)


def plan_cost(plans: Sequence[SetupDraft]) -> WorkCost:
    """Return about what it takes to carry these out."""
    calls, connector = 0, connectors.get()
    for draft in plans:
        count = plan_totals(draft)
        writes = count["looks_that_write"] + count["create"]
        reads = count["linked"] + count["link"] + count["stops"] + count["ambiguous"]
        reads += count["from_items"] + count["no_key"] + count["items_asked"]
        passes = math.ceil((reads + writes) / connector.items_per_read) + math.ceil(writes / connector.items_per_read)
        new_columns = sum(one.column == NEW_COLUMN for one in parse_choices(draft.fields).values())
        board = (
            3
            + (2 if not draft.board_id else 0)
            + new_columns
            + (not npd_id_column_of(draft))
            + len(connector.webhook_events)
        )
        calls += board + passes
    return WorkCost(calls)


# Progress of a confirmed set-up, and what is left for a person afterwards.


RUN_WINDOW = timedelta(seconds=60)
"""A pass later than this is no part of the run any more: an item without an email waits for minutes."""

CACHE_THRESHOLD = 20_000

CACHE_SECONDS = 10
"""From this many records on they are counted no more often than this: pages ask each second, per open tab."""


@dataclass(frozen=True)
class SetupProgress:
    """One type of records: what was done, how many are in sync, and what waits for a person.

    `out_url` is the address of the list of those whose sync is off.
    """

    draft: SetupDraft
    title: str
    busy: bool
    done: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    synced: int = 0
    waiting: int = 0
    attention: int = 0
    out: int = 0
    total: int = 0
    out_url: str = ""

    @property
    def is_stopped(self) -> bool:
        """Whether it came back to be mapped anew."""
        return self.draft.state == SetupState.DRAFT

    @property
    def state_label(self) -> str:
        if self.is_stopped:
            return "Stopped"
        is_starting = self.busy and self.draft.state == SetupState.DONE
        return "First changes on their way" if is_starting else str(SetupState(self.draft.state).label)


def setup_progress(draft: SetupDraft) -> SetupProgress:
    """Return one type's progress by its records' own states."""
    by_part = _by_part(draft.entity_type)
    by_state = {state: sum(by_part.get(part, 0) for part in parts) for state, parts in PARTS.items()}
    waiting = SyncQueue.objects.filter(
        entity_type=draft.entity_type,
        status__in=(QueueStatus.PENDING, QueueStatus.IN_PROGRESS),
        attempts__lte=1,
        created_at__lte=draft.changed_at,  # later jobs are everyday work
        next_retry__lte=SyncNow() + RUN_WINDOW,
    )
    pending = by_state[RecordState.PENDING] + by_part.get(Part.PAUSED_PENDING, 0)
    # Of records that are in sync a job only looks whether they still are.
    waiting = waiting if pending else waiting.filter(entity_id=None)
    is_busy = draft.state == SetupState.RUNNING or (draft.state == SetupState.DONE and waiting.exists())
    problems = [*draft.outcome.get("problems", []), *([draft.problem] if draft.problem else [])]
    conflicts = by_part.get(Part.CONFLICT, 0)
    if conflicts and not is_busy:
        problems.append(f"{humanize.count_with_noun(conflicts, 'conflict')} to resolve.")
    return SetupProgress(
        draft,
        registry.entity(draft.entity_type).board_title,
        busy=is_busy,
        done=list(draft.outcome.get("done", [])),
        problems=problems,
        synced=by_state[RecordState.SYNCED] + by_part.get(Part.PAUSED_SYNCED, 0),
        waiting=pending,
        attention=by_state[RecordState.ATTENTION],
        out=by_state[RecordState.OFF],
        total=sum(by_part.values()),
    )


def _by_part(entity_type: str) -> Mapping[Part, int]:
    """Return how many records are in each part of a state; of many, from a count at most ten seconds old."""
    key = f"sync.operations.setup.standing.{entity_type}"
    if (cached := cache.get(key)) is not None:
        return dict(cached)
    found = health_counts([registry.entity(entity_type)], active_pauses()).get(entity_type, {})
    if sum(found.values()) >= CACHE_THRESHOLD:
        cache.set(key, found, CACHE_SECONDS)
    return found
