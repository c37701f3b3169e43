"""The worker's part of a set-up: comparisons made and confirmed plans applied, each step safe to repeat.

A plan is applied as `monday_setup` sets up (`boards/board_setup.py`); a person's choices stand in for the registered
ones. What comes on top: the links that a person confirmed, and the records that are put on the board.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from celery.exceptions import SoftTimeLimitExceeded
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q

from sync import registry
from sync.boards.board_columns import NAME_TYPE, NPD_ID_KEY, NPD_ID_TITLE, StoredColumns, make_mapping, store_columns
from sync.boards.board_setup import SetupChoices, apply_choices
from sync.choices import Cause, Priority, QueueDirection, SyncDirection
from sync.clock import SyncNow, sync_now
from sync.connectors.base.board import Board, BoardSetup, ColumnSpec
from sync.connectors.base.errors import ConnectorError, Scope
from sync.kernel import humanize, process
from sync.kernel.messages import ActionError, UnmatchedReason
from sync.limits import breaker, connector
from sync.models import (
    BoardLink,
    Decision,
    FieldMapping,
    IgnoredItem,
    SetupDraft,
    SetupState,
    SyncedModel,
    SyncMetadata,
    UnmatchedItem,
)
from sync.models.synced_model import unsynced
from sync.operations.detect import enqueue_items
from sync.operations.setup.draft import (
    ANSWER_NEW,
    has_column_changes,
    link_of_draft,
    log_setup,
    npd_id_column_of,
    read_columns,
)
from sync.operations.setup.fields import (
    NEW_COLUMN,
    SETTINGS_KEY,
    FieldChoice,
    column_problem,
    filter_text,
    mappable_fields,
    parse_choices,
    settings_changes,
    settings_snapshot,
)
from sync.operations.setup.matches import compare_draft
from sync.outbox import notify
from sync.outbox.queue_rows import enqueue_item_many, enqueue_many, mark_many_pending
from sync.records.item_links import EXCLUDED_KIND, ignore_item
from sync.records.unmatched_items import ALIKE_KEY, UnmatchedFinding, note_unmatched, reopen_items
from sync.registry import EntitySpec, link_of

log = structlog.get_logger(__name__)

SaveDraft = Callable[..., None]
"""Stores values on the draft while this worker still has it; raises DraftLost."""


class DraftLost(RuntimeError):
    """Another process changed or took the worker's draft; what this one was about to store is dropped."""


# What a person chose, as the set-up of a board asks for it.


class DraftChoices(SetupChoices):
    """A draft's choices; a board that is made is stored on the draft, for the link comes with the mappings."""

    def __init__(self, draft: SetupDraft, save: SaveDraft) -> None:
        self.spec, self.draft, self._save = registry.entity(draft.entity_type), draft, save
        self.made_board = bool(draft.outcome.get("made_board"))
        self._fields, self._chosen = mappable_fields(draft.entity_type), parse_choices(draft.fields)

    def progress(self, text: str) -> None:
        self._save(progress=text)

    def board_id(self) -> str:
        return self.draft.board_id

    def board_made(self, board_id: str) -> None:
        self._save(board_id=board_id, outcome={**self.draft.outcome, "made_board": True})

    def board_gone(self, board_id: str) -> str:
        return (
            f"The board “{self.draft.board_name or board_id}” was deleted on Monday, or is hidden from NPD Sync's "
            "user there. Restore it, or choose another."
        )

    def columns(self, board: Board) -> Sequence[ColumnSpec]:
        chosen, new = [], []
        for field in self._fields:
            choice, target = self._chosen.get(field.key, FieldChoice()), field.target_board or None
            if not choice.is_synced or field.is_name:
                continue
            if choice.column == NEW_COLUMN:
                if field.target and target is None:
                    raise ActionError(
                        f"{field.label} needs the board of the {field.target} records, which isn't set up. "
                        "Set it up, too, or leave the field out."
                    )
                # A column with the id that this one should get, and another title, stays: Monday assigns an id then.
                same_id = board.column(field.preferred_id)
                is_free = same_id is None or same_id.title.strip().casefold() == field.label.strip().casefold()
                preferred = field.preferred_id if is_free else None
                labels = registry.choice_labels(self.spec.model, field.fields)
                new.append(
                    ColumnSpec(field.key, field.label, field.made_type, preferred, target_board=target, labels=labels)
                )
                continue
            column = board.column(choice.column)
            if column is None:
                reason = "It is not on the board any more."
            else:
                details = {"title": column.title, "type": column.type, "settings": column.settings}
                reason = column_problem(field, details)
                chosen.append(ColumnSpec(field.key, column.title, column.type, column.id, target_board=target))
            if reason:
                raise ActionError(f"{field.label} can't have its column: {reason} Choose another column.")
        npd_id = ColumnSpec(NPD_ID_KEY, NPD_ID_TITLE, "text", npd_id_column_of(self.draft) or NPD_ID_KEY)
        # Chosen columns first: one that exists must not be taken for one that is missing.
        return [*chosen, npd_id, *new]

    def check(self, link: BoardLink) -> None:
        if changes := settings_changes(self.draft, link_of_draft(self.draft)):
            raise ActionError(
                f"Settings were changed elsewhere after the plan was confirmed: {changes}. Check the plan again."
            )

    def store(self, link: BoardLink, setup: BoardSetup) -> StoredColumns:
        before, link.sync_filter = link.sync_filter, self.draft.sync_filter
        link.creates_records = self.draft.creates_records
        link.save(update_fields=["creates_records", "sync_filter"])
        needs_pass = False
        for position, proposal in enumerate(self.spec.mappings):
            choice = self._chosen.get(proposal.key, FieldChoice())
            # A field left out keeps its row, so that no later set-up counts it as new.
            values: dict[str, Any] = {"direction": SyncDirection.NONE, "problem": ""}
            if choice.is_synced:
                values = {"direction": choice.direction, "rule": choice.rule, "first_match": self.draft.first_match}
            column_id = NAME_TYPE if choice.column == NAME_TYPE else ""
            mapping, is_new = make_mapping(link, proposal, position, column_id=column_id, **values)
            needs_pass |= choice.is_synced if is_new else mapping.direction != values["direction"]
            FieldMapping.objects.filter(pk=mapping.pk).update(**values)
        stored = store_columns(self.spec, link, setup, reason="as chosen")
        stored.needs_resync |= needs_pass
        if before != link.sync_filter:
            stored.done.append(self._store_filter_work())
        return stored

    def _store_filter_work(self) -> str:
        """Have everything checked again of which the filter may say something else now, in a statement for each kind.

        These are the records that the comparison found, those with a pass of their own since, and the unmatched items.
        """
        entity_type = self.spec.entity_type
        passed = SyncMetadata.objects.of(entity_type).filter(last_sync_attempt__gte=self.draft.found_at or SyncNow())
        since = self.spec.model._default_manager.filter(pk__in=list(passed.values_list("entity_id", flat=True)))
        concerned = set(map(UUID, self.draft.found.get("concerned", [])))
        ids = sorted(concerned.union(since.values_list("pk", flat=True)))
        # In the transaction that stores the filter: nothing says `synced` any more that it leaves out.
        mark_many_pending(entity_type, ids)
        enqueue_many(entity_type, ids, cause=Cause.DEPENDENCY, priority=Priority.SWEEP, direction=QueueDirection.TO_NPD)
        items = UnmatchedItem.objects.listed().filter(entity_type=entity_type).order_by("id")
        enqueue_item_many(
            entity_type, items.values_list("item_id", flat=True), cause=Cause.DEPENDENCY, priority=Priority.SWEEP
        )
        return f"changed the filter: {filter_text(self.draft.sync_filter, self._fields)}; {len(ids):,} records checked"

    def complete(self, link: BoardLink) -> list[str]:
        """Link the confirmed pairs and exclude the others."""
        pairs: list[dict[str, Any]] = self.draft.found.get("near", [])
        by = str(self.draft.outcome.get("by", ""))
        linked, undecided = [], {}
        for pair in pairs:
            answer = self.draft.answers.get(pair["record"])
            if answer == pair["item"]:
                record = _lock_unlinked(self.spec, pair["record"])
                if record is None or self.spec.model._default_manager.filter(monday_id=pair["item"]).exists():
                    continue
                self.spec.model._default_manager.filter(pk=record.pk).update(monday_id=pair["item"])
                IgnoredItem.objects.filter(entity_type=self.spec.entity_type, item_id=pair["item"]).delete()
                sentence = f"{by} said in the set-up that it is the item “{pair['item_name']}”: their names are alike."
                _log_decision(record, pair["item"], "link", sentence, by)
                linked.append(record.pk)
            elif answer != ANSWER_NEW:
                undecided[pair["record"]] = [pair["item"]]
        # One statement for all: no lock on the queue before those on their records.
        enqueue_many(self.spec.entity_type, linked, cause=Cause.PERSON, priority=Priority.LOAD, payload={"by": by})
        names = self.draft.found.get("names", {})
        excluded = _exclude_records(self.spec, undecided | self.draft.found.get("unsure_of", {}), names, by)
        done = []
        if linked:
            done.append(f"linked {humanize.count_with_noun(len(linked), 'record')}: like items by name, confirmed")
        if excluded:
            done.append(f"left {humanize.count_with_noun(excluded, 'record')} out: like items by name, not confirmed")
        # In the same transaction: a repeated run must recognise what it wrote itself.
        self._save(outcome={**self.draft.outcome, SETTINGS_KEY: settings_snapshot(link_of_draft(self.draft))})
        return done


def apply_setup(draft: SetupDraft, save: SaveDraft) -> dict[str, Any]:
    """Apply a confirmed set-up and return what was done; safe to repeat anywhere. Raises ActionError, ConnectorError.

    Nothing flows before the one transaction that stores the board link, with the mappings, the links that a person
    confirmed, and the excluded records. From then on ordinary passes do the work.
    """
    choices = DraftChoices(draft, save)
    # Each call renews the draft's lock: many slow ones take longer than the lock lasts.
    result = apply_choices(choices, connector(urgent=True, before_call=save))
    _enqueue_records(draft, choices.spec)
    return {**draft.outcome, "done": result.done, "problems": list(result.problems)}


def _exclude_records(
    spec: EntitySpec, items_by_record: Mapping[str, list[str]], names: Mapping[str, str], by: str
) -> int:
    count, alike = 0, dict[str, list[SyncedModel]]()
    for entity_id, items in items_by_record.items():
        record = _lock_unlinked(spec, entity_id)
        if record is None:
            continue
        spec.model._default_manager.filter(pk=record.pk).update(sync_enabled=False)
        reason = f"Its name is like that of “{record}”; nobody has said whether they are the same."
        # The likest last: it is the one that “Link again…” offers.
        for item in reversed(items):
            # Other records may be like it too: it stays ignored for the first; this one has its decision.
            rows = IgnoredItem.objects.filter(entity_type=spec.entity_type, item_id=item, unlinked=True)
            if not rows.exclude(entity_id=None).exclude(entity_id=record.pk).exists():
                ignore_item(spec.entity_type, item, record.pk, reason)
            alike.setdefault(item, []).append(record)
        sentence = (
            "The set-up left it out: its name is like an item's, and nobody has said whether they are the same. "
            "“Link again…” links it with that item; “Turn sync on” asks."
        )
        _log_decision(record, items[0], EXCLUDED_KIND, sentence, by)
        count += 1
    if (link := link_of(spec.entity_type)) is not None:
        # The pass leaves them alone; whoever looks at what is unmatched finds them.
        reopen_items(
            link,
            [
                UnmatchedFinding(
                    item,
                    names.get(item, ""),
                    UnmatchedReason.NAME_ALIKE,
                    {"names": f"“{found[0]}”", ALIKE_KEY: [str(one.pk) for one in found]},
                )
                for item, found in alike.items()
            ],
        )
    return count


def _lock_unlinked(spec: EntitySpec, entity_id: str) -> SyncedModel | None:
    # Read anew: a record may have been linked by a pass, or switched off by a person, since it was compared.
    records = spec.model._default_manager.select_for_update(no_key=True, of=("self",))
    return records.filter(pk=UUID(entity_id), monday_id=None, sync_enabled=True).first()


def _log_decision(record: SyncedModel, item: str, kind: str, sentence: str, by: str) -> None:
    Decision.objects.create(
        entity_type=record.entity_type(), entity_id=record.pk, remote_id=item, kind=kind, sentence=sentence,
        actor=by, cause={"by": by, "causes": ["person"]},
    )  # fmt: skip


def _enqueue_records(draft: SetupDraft, spec: EntitySpec) -> None:
    """Have every record without an item reconciled, and every item without a record."""
    unlinked = spec.model._default_manager.filter(monday_id=None).exclude(unsynced())
    with transaction.atomic():
        ids = list(unlinked.order_by("created_at", "pk").values_list("pk", flat=True))
        enqueue_many(spec.entity_type, ids, cause=Cause.SWEEP, priority=Priority.LOAD)
        link = link_of(spec.entity_type)
        free, told, names = (draft.found.get(part, {}) for part in ("free", "told", "names"))
        if link is not None:
            # Items of excluded records may be among these: they are ignored items, and skipped when enqueued.
            enqueue_items(link, {*told, *(free if draft.creates_records else ())}, cause=Cause.SWEEP, names=names)
        if link is not None and not draft.creates_records:
            reason = UnmatchedReason.CREATION_OFF
            note_unmatched(link, [UnmatchedFinding(item, names.get(item, ""), reason) for item in free])
    notify.notify_now(spec.entity_type)


# The worker's loop: compare what is drafted, apply what is confirmed, as often as it is asked.
#
# A draft is locked by a token for some minutes, renewed at each step; a person's change takes the lock away.


WORKING_STATES = (SetupState.COMPARING, SetupState.RUNNING)
# Renewed at each step: the draft of a worker that was killed goes on after it.
LOCK_SECONDS = 180
TRANSIENT_SCOPES = (Scope.LIMIT, Scope.TRANSPORT, Scope.UNREACHABLE)


def advance_drafts() -> None:
    """Advance every draft that waits for a worker, in the order in which types are registered.

    One that points at another type's board comes after it.
    """
    for spec in registry.entities():
        if process.is_shutting_down():
            return
        # A draft that another worker has is passed over; one whose lock has run out is taken over.
        token = uuid.uuid4()
        unlocked = Q(claimed_until=None) | Q(claimed_until__lt=SyncNow())
        locked = SetupDraft.objects.filter(unlocked, pk=spec.entity_type, state__in=WORKING_STATES).update(
            token=token, claimed_until=SyncNow() + timedelta(seconds=LOCK_SECONDS)
        )
        if not locked:
            continue
        draft = SetupDraft.objects.get(pk=spec.entity_type)
        try:
            _advance_draft(draft)
        except DraftLost:
            log.info("a set-up was changed while it was worked on", board=draft.entity_type)
        except SoftTimeLimitExceeded:
            raise
        except Exception:  # an unknown error of one type must not keep the other type waiting
            log.exception("a set-up could not be continued", board=draft.entity_type)
            _release_draft(
                draft, SetupState.DRAFT, problem="NPD Sync itself failed. Please report it with the worker's log."
            )


def _update_draft(draft: SetupDraft, **values: Any) -> None:
    """Store values while the draft is still this worker's, and renew its lock; raises DraftLost."""
    own_draft = SetupDraft.objects.filter(pk=draft.pk, token=draft.token, state=draft.state)
    if not own_draft.update(**values, claimed_until=SyncNow() + timedelta(seconds=LOCK_SECONDS)):
        raise DraftLost
    if values:
        draft.refresh_from_db(fields=list(values))


def _release_draft(draft: SetupDraft, state: str, **values: Any) -> None:
    own_draft = SetupDraft.objects.filter(pk=draft.pk, token=draft.token)
    own_draft.update(**{"state": state, "token": None, "claimed_until": None, "progress": ""} | values)


def _advance_draft(draft: SetupDraft) -> None:
    try:
        if draft.state == SetupState.COMPARING:
            _compare_draft(draft)
        else:
            _apply_draft(draft)
    except ActionError as why:
        _release_draft(draft, SetupState.DRAFT, problem=str(why))
    except ConnectorError as error:
        if error.scope not in TRANSIENT_SCOPES:
            _release_draft(draft, SetupState.DRAFT, problem=error.sentence)
            return
        # A passing error is tried again by a later run; any other one is shown to the person.
        breaker.trip_account(error)
        _release_draft(
            draft,
            draft.state,
            problem=f"{error.sentence} The set-up goes on by itself.",
            progress=draft.progress,
            claimed_until=SyncNow() + timedelta(seconds=error.wait_seconds or 10),
        )


def _compare_draft(draft: SetupDraft) -> None:
    if (read := read_columns(draft)) is not None:
        columns, name, groups = read
        has_changes = has_column_changes(draft, columns)
        stale = {"mapped": False, "found": {}, "found_at": None} if has_changes else {}
        # Renamed columns are followed by their id.
        _update_draft(draft, columns=columns, board_name=name[:255], groups=groups, **stale)
        if has_changes:
            raise ActionError(
                "The board has changed: a column that was chosen was deleted or has another type. Choose again."
            )
    began = sync_now()  # what is changed while it is compared counts as changed since
    found = compare_draft(draft, lambda done, of: _update_draft(draft, compared=done, to_compare=of))
    _release_draft(draft, SetupState.COMPARED, found=vars(found), found_at=began, problem="")


def _apply_draft(draft: SetupDraft) -> None:
    def save(**values: Any) -> None:
        _update_draft(draft, **values)

    if target := _target_in_making(draft):
        waits = f"Waits for the board of the {target} records, which is being made."
        _release_draft(draft, draft.state, progress=waits)
        return
    outcome = apply_setup(draft, save)
    outcome.pop(SETTINGS_KEY, None)
    # Names of people stay nowhere without need; and the type may get another board some day.
    cleared = {"found": {}, "answers": {}, "columns": {}, "board_id": ""}
    _release_draft(draft, SetupState.DONE, outcome=outcome, problem="", changed_at=SyncNow(), **cleared)
    confirmed_by = User.objects.filter(username=draft.outcome.get("by")).first()
    if confirmed_by is not None:
        log_setup(confirmed_by, draft.entity_type, "Set-up applied.")


def _target_in_making(draft: SetupDraft) -> str:
    """Return the type whose board a new relation of this one leads to, and another worker is making; else nothing."""
    chosen = parse_choices(draft.fields)
    for one in mappable_fields(draft.entity_type):
        choice = chosen.get(one.key, FieldChoice())
        waits = choice.is_synced and choice.column == NEW_COLUMN and one.target and not one.target_board
        if waits and SetupDraft.objects.filter(pk=one.target, state=SetupState.RUNNING).exists():
            return one.target
    return ""
