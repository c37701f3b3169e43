"""Values that Monday rejected: both sides, and what each answer would write. Writes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError

from conflicts.case import RecordContext
from conflicts.models import MONDAY, NPD
from sync import registry
from sync.kernel.messages import ActionError
from sync.models import FieldMapping, SyncedModel, SyncMetadata
from sync.monday.conversion import AmbiguousSplit, UnknownValue
from sync.reconcile import field_values
from sync.reconcile.field_bases import AS_SENT, base_of
from sync.reconcile.lost_updates import last_observed
from sync.records import blocked_fields
from sync.state.record_fields import NOT_KNOWN, FieldDisplay, resolve_related


class Rejection:
    """A field of a record whose value Monday rejected, and the raw values that each option would write."""

    def __init__(self, context: RecordContext, key: str) -> None:
        assert context.record is not None
        self.context = context
        self.key = key
        self.record: SyncedModel = context.record
        self.field = context.mapped[key]

    @classmethod
    def of(cls, field_ref: blocked_fields.FieldRef, mappings: Sequence[FieldMapping] = ()) -> Rejection | None:
        """Return the rejection, or None if there is no such type, record, or mapped field."""
        entity_type, entity_id, key = field_ref
        context = RecordContext(entity_type, entity_id, mappings)
        is_mapped = context.link is not None and key in context.mapped
        return cls(context, key) if is_mapped and context.record is not None else None

    @property
    def field_ref(self) -> blocked_fields.FieldRef:
        return self.context.entity_type, self.context.entity_id, self.key

    @property
    def entry(self) -> Mapping[str, Any]:
        """The sync state's entry of the rejection; empty if the value or the column has changed since."""
        entry = self.context.sync_state.blocked_fields.get(self.key) if self.context.sync_state else None
        # An entry without a value is about no value.
        if not entry or not blocked_fields.is_rejected(entry) or not entry.get("local"):
            return {}
        is_current = field_values.still_holds(self.record, entry["local"]) and self.field.is_current(entry)
        return dict(entry) if is_current else {}

    @property
    def reason(self) -> str:
        """Monday's reason, or NPD's own for a value that it doesn't send."""
        return str(self.entry.get("reason", ""))

    @property
    def is_unsent(self) -> bool:
        """Whether NPD didn't send the value, because the column can't take it."""
        return self.entry.get("side") == blocked_fields.SIDE_LIMIT

    @property
    def kept_by(self) -> Mapping[str, Any]:
        """Who kept the value different, and when; empty if nobody did."""
        return dict(self.entry.get(blocked_fields.KEPT_BY, {}))

    @property
    def needs_answer(self) -> bool:
        """Whether a person has to answer, unless an open conflict on the field asks already."""
        conflicts = self.context.sync_state.conflicts if self.context.sync_state else {}
        in_conflict = {*conflicts.get("fields", ()), *conflicts.get("overwritten", ())}
        is_synced = self.record.may_sync and not self.record.is_left_out
        return bool(self.entry) and not self.kept_by and is_synced and self.key not in in_conflict

    @cached_property
    def display(self) -> FieldDisplay:
        assert self.context.link is not None
        return FieldDisplay(self.context.link, self.context.mappings, [self.record])

    @property
    def npd(self) -> str | None:
        return self.display.local(self.record, self.field, field_values.stored_values(self.record, self.field)) or None

    @property
    def base(self) -> Mapping[str, Any] | None:
        """The base, if it is about the present item and column."""
        sync_state = self.context.sync_state
        return base_of(sync_state, self.field, self.record.monday_id or "") if sync_state else None

    @property
    def last_read_value(self) -> tuple[Any] | None:
        """The stored value that the last pass read on Monday, in a tuple because an empty cell's is None."""
        return last_observed(self.context.sync_state, self.key) if self.context.sync_state else None

    @property
    def monday_raw(self) -> Any:
        if self.last_read_value is not None:
            return self.last_read_value[0]
        return self.base["remote"] if self.base else None

    @property
    def monday(self) -> str | None:
        """Monday's displayed value as of the last pass; None if empty."""
        if self.monday_raw is None:
            return None
        converter = self.display.board.converter(self.field, self.record)
        try:
            return converter.display(converter.remote(self.monday_raw)) or None
        except UnknownValue:
            return NOT_KNOWN

    @cached_property
    def sides(self) -> dict[str, str | None]:
        return {NPD: self.npd, MONDAY: self.monday}

    @property
    def would_empty(self) -> bool:
        """Whether using Monday's value empties the record's field."""
        return self.sides[NPD] is not None and self.sides[MONDAY] is None

    def raw_from_monday(self) -> dict[str, Any]:
        """Return the raw values that NPD would hold with Monday's value; raises ActionError."""
        if not self.record.monday_id:
            raise ActionError("The record has no item on Monday yet, so there is no value to use. Type another one.")
        if self.sides[MONDAY] is None and self.field.required:
            raise ActionError(f"{self.field.label} can't be empty in NPD. Type another value.")
        try:
            raw = resolve_related(type(self.record), self._local_from_monday())
            return field_values.clean_values(self.record, raw)
        except (UnknownValue, field_values.RelatedNotFound) as unknown:
            raise ActionError(f"Monday's value can't be used: {unknown}") from unknown
        except ValidationError as invalid:
            why = " ".join(invalid.messages)
            raise ActionError(f"NPD rejects Monday's value: {why}") from invalid

    def _local_from_monday(self) -> dict[str, Any]:
        now = field_values.stored_values(self.record, self.field)
        if self.monday_raw is None:
            return dict.fromkeys(now)
        converter = self.display.board.converter(self.field, self.record)
        if self.base and not self.base.get(AS_SENT):
            # If NPD's half of the base displays as Monday's value, write that half, because the person saw it.
            same_remote = converter.remote(self.base["remote"]) == converter.remote(self.monday_raw)
            local = self.display.local(self.record, self.field, self.base["local"]) or None
            if same_remote and local == self.sides[MONDAY]:
                return dict(self.base["local"])
        try:
            return dict(converter.to_local(self.monday_raw, now))
        except AmbiguousSplit:
            return dict(converter.from_text(self.sides[MONDAY] or "", now))


def rejections_of(field_refs: Iterable[blocked_fields.FieldRef], mappings: Sequence[FieldMapping]) -> list[Rejection]:
    """Return the rejections of these fields that exist, with a few queries for each type of records.

    `mappings` are those of all boards, with their links.
    """
    keys_by_type: dict[str, list[tuple[UUID, str]]] = {}
    for entity_type, entity_id, key in field_refs:
        if registry.is_registered(entity_type):
            keys_by_type.setdefault(entity_type, []).append((entity_id, key))
    rejections = []
    for entity_type, keys in keys_by_type.items():
        # The nil UUID, because this context is only for the facts that all records of the type share.
        shared = RecordContext(entity_type, UUID(int=0), mappings)
        if shared.link is None:
            continue
        records = shared.records(entity_id for entity_id, _ in keys)
        sync_states = {row.entity_id: row for row in SyncMetadata.objects.of(entity_type, list(records))}
        display = FieldDisplay(shared.link, shared.mappings, list(records.values()))
        for entity_id, key in keys:
            if entity_id not in records or key not in shared.mapped:
                continue
            context = RecordContext(entity_type, entity_id, mappings)
            context.record = records[entity_id]
            context.sync_state = sync_states.get(str(entity_id))
            rejection = Rejection(context, key)
            rejection.display = display
            rejections.append(rejection)
    return rejections
