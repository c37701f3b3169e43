"""Deletes and clears over the limit wait for a person's approval."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from sync.choices import GuardKind, GuardState
from sync.clock import SyncNow
from sync.connectors.base.conversion import UnknownValue
from sync.merge import Action, Field, FieldDecision, FieldDirection
from sync.models import BoardLink, GuardedAct
from sync.reconcile.batch import Batch, FieldPlan, RecordSync
from sync.reconcile.field_plan import apply_decision, way_of
from sync.reconcile.field_values import stored_values
from sync.records.approvals import OPEN_REQUEST_STATES, is_over_limit, states_by_field


@dataclass(frozen=True)
class DestructiveChange:
    """One delete or clear that a pass wants to carry out.

    `key` is the field of a clear, else empty; `label` what would be deleted or emptied, for people; `values` what
    would be lost, as displayed. Two acts on the same record and field are equal.
    """

    entity_id: UUID
    remote_id: str = ""
    key: str = ""
    label: str = field(default="", compare=False)
    values: dict[str, Any] = field(default_factory=dict, compare=False)


def allowed_changes(
    where: Batch | BoardLink, kind: GuardKind, wanted: Sequence[DestructiveChange]
) -> set[DestructiveChange]:
    """Return those acts that may go now, and hold the others for approval.

    Call it under the board's lease, once a pass and kind, right before the acts are announced. What goes is counted
    before it is sent, so a crash leaves it counted; asked again within the hour it goes, and counts once. An approved
    act goes without counting. Of acts that a person rejected, `rejected_records` tells.
    """
    if not wanted:
        return set()
    link = _board_link(where)
    state = states_by_field(link, kind, wanted)
    allowed = {act for act in wanted if state.get((act.entity_id, act.key)) in (GuardState.APPROVED, GuardState.DONE)}
    unknown = [act for act in wanted if (act.entity_id, act.key) not in state]
    if unknown and is_over_limit(link, kind, {act.entity_id for act in unknown}):
        _store_approvals(link, kind, unknown, GuardState.PENDING)
        return allowed
    _store_approvals(link, kind, unknown, GuardState.DONE)
    return allowed | set(unknown)


def count_without_asking(where: Batch | BoardLink, kind: GuardKind, acts: Sequence[DestructiveChange]) -> None:
    """Count acts that go without asking, because the caller asked `is_over_limit` itself; in the caller's pass."""
    if not acts:
        return
    link = _board_link(where)
    state = states_by_field(link, kind, acts)
    _store_approvals(link, kind, [act for act in acts if (act.entity_id, act.key) not in state], GuardState.DONE)


def rejected_records(where: Batch | BoardLink, kind: GuardKind, ids: Sequence[UUID]) -> set[UUID]:
    """Return those records whose act of this kind a person rejected: it is not to be carried out."""
    link = _board_link(where)
    acts = GuardedAct.objects.filter(
        entity_type=link.entity_type, kind=kind, entity_id__in=ids, state=GuardState.REJECTED
    )
    return set(acts.values_list("entity_id", flat=True))


def release_approvals(where: Batch | BoardLink, kind: GuardKind, ids: Sequence[UUID]) -> None:
    """End what is open of these records: a pass found that it wants none of this kind any more."""
    link = _board_link(where)
    acts = GuardedAct.objects.filter(
        entity_type=link.entity_type, kind=kind, entity_id__in=ids, state__in=OPEN_REQUEST_STATES
    )
    acts.update(state=GuardState.RELEASED, at=SyncNow())


def _board_link(where: Batch | BoardLink) -> BoardLink:
    return where.board.link if isinstance(where, Batch) else where


def _store_approvals(link: BoardLink, kind: GuardKind, acts: Sequence[DestructiveChange], state: GuardState) -> None:
    GuardedAct.objects.bulk_create(
        GuardedAct(
            entity_type=link.entity_type,
            entity_id=act.entity_id,
            remote_id=act.remote_id,
            kind=kind,
            key=act.key,
            label=act.label,
            values=act.values,
            state=state,
        )
        for act in acts
    )


# Fields that a pass would empty need approval where they are too many; what it holds stays on the side where it still
# stands.
#
# A person's choice between two values, and a push that a person asked for by name, have been
# approved by being made.


CLEARS = (GuardKind.CLEAR_MONDAY, GuardKind.CLEAR_NPD)
_EMPTIED_SIDE = {GuardKind.CLEAR_MONDAY: "in NPD", GuardKind.CLEAR_NPD: "on Monday"}
_SIDE_TO_EMPTY = {GuardKind.CLEAR_MONDAY: "on Monday", GuardKind.CLEAR_NPD: "in NPD"}
ApprovalKey = tuple[UUID, str, str]


@dataclass(frozen=True)
class FieldClear:
    """A field that this pass would empty on one side, with what stands there."""

    record_sync: RecordSync
    field_plan: FieldPlan
    kind: GuardKind
    value: str

    @property
    def key(self) -> ApprovalKey:
        """What names its act among all."""
        return self.record_sync.id, self.kind, self.field_plan.mapping.key

    @property
    def as_change(self) -> DestructiveChange:
        """As approvals keep it."""
        label = self.field_plan.mapping.label
        return DestructiveChange(
            self.record_sync.id,
            self.record_sync.item_id,
            self.field_plan.mapping.key,
            f"{label} “{self.value}” of {self.record_sync.record}",
            {"record": str(self.record_sync.record), "label": label, "value": self.value},
        )


def request_approvals(batch: Batch) -> None:
    """Block the fields that would be emptied where they are too many; carry out what a person rejected."""
    clears = [clear for record_sync in batch.open_records for clear in _field_clears(record_sync)]
    ids = {s.id for s in batch.open_records if s.ledger.held} | {clear.record_sync.id for clear in clears}
    if not ids:
        return
    acts = GuardedAct.objects.filter(
        entity_type=batch.entity_type, entity_id__in=ids, kind__in=CLEARS, state__in=OPEN_REQUEST_STATES
    )
    batch.approvals = {(act.entity_id, act.kind, act.key): act for act in acts}
    for kind in CLEARS:
        wanted = []
        for clear in [clear for clear in clears if clear.kind == kind]:
            act = batch.approvals.get(clear.key)
            if act is not None and act.values.get("value") != clear.value:
                # What a person sees, approves or rejects is one value: another one is another act.
                GuardedAct.objects.filter(pk=act.pk).update(state=GuardState.RELEASED, at=SyncNow())
                del batch.approvals[clear.key]
                act = None
            if act is not None and act.state == GuardState.REJECTED:
                _restore_cleared(batch, clear)
            else:
                wanted.append(clear)
        allowed = allowed_changes(batch, kind, [clear.as_change for clear in wanted])
        for clear in wanted:
            if clear.as_change not in allowed:
                _block_clear(batch, clear)


def _field_clears(record_sync: RecordSync) -> Iterator[FieldClear]:
    if record_sync.is_push_by_name or record_sync.item is None:
        return
    for p in record_sync.field_plans.values():
        if p.choose or (p.send_raw is None and p.write_raw is None):
            continue
        # Where nothing that is known stands there, nothing is emptied.
        with suppress(UnknownValue):
            local, remote = p.convert.local(p.local_raw), p.convert.remote(p.remote_raw)
            if p.send_raw is not None and p.convert.local(p.send_raw) is None and remote is not None:
                yield FieldClear(record_sync, p, GuardKind.CLEAR_MONDAY, p.convert.display(remote))
            if p.write_raw is not None and p.convert.local(p.write_raw) is None and local is not None:
                yield FieldClear(record_sync, p, GuardKind.CLEAR_NPD, p.convert.display(local))


def _block_clear(batch: Batch, clear: FieldClear) -> None:
    record_sync, field_plan, value = clear.record_sync, clear.field_plan, clear.value
    key, label = field_plan.mapping.key, field_plan.mapping.label
    emptied, to_empty = _EMPTIED_SIDE[clear.kind], _SIDE_TO_EMPTY[clear.kind]
    record_sync.field_plans[key] = field_plan.block(
        f"It was emptied {emptied}, with the fields of many records within an hour. It still says “{value}” "
        f"{to_empty}, and is emptied there when somebody approves it under “Waiting for approval”. Or fill it in again."
    )
    if clear.key not in batch.approvals:
        waits = f"that “{value}” is emptied {to_empty} too waits for approval: too many at once."
        record_sync.log_decision("guard", f"{label} was emptied {emptied}; {waits}", key, before=value)


def _restore_cleared(batch: Batch, clear: FieldClear) -> None:
    """A person said that this field is not to be emptied: the side where it was gets the value back."""
    field_plan, record_sync, key = clear.field_plan, clear.record_sync, clear.field_plan.mapping.key
    way, convert = way_of(record_sync, field_plan.mapping), field_plan.convert
    is_pull = clear.kind == GuardKind.CLEAR_MONDAY
    if way not in (FieldDirection.BOTH, FieldDirection.TO_NPD if is_pull else FieldDirection.TO_MONDAY):
        record_sync.field_plans[key] = field_plan.block(
            f"Somebody decided that “{clear.value}” stays {_SIDE_TO_EMPTY[clear.kind]}; its direction lets nothing be "
            f"put back {_EMPTIED_SIDE[clear.kind]}. Fill it in there, or change the direction."
        )
        return
    action = Action.PULL if is_pull else Action.PUSH
    decision = FieldDecision(key, action, "a person decided that it is not emptied")
    field_plan = replace(field_plan, send_raw=None, write_raw=None, decision=decision)
    field = Field(key, convert.local(field_plan.local_raw), convert.remote(field_plan.remote_raw), way=way)
    record_sync.field_plans[key] = apply_decision(batch, record_sync, field_plan, field)


def finish_approvals(batch: Batch, record_syncs: Sequence[RecordSync]) -> None:
    """In the settle transaction: acts that were carried out, or whose cause is gone, are over."""
    by_id = {record_sync.id: record_sync for record_sync in record_syncs if record_sync.field_plans}
    finished: dict[GuardState, list[GuardedAct]] = {}
    for act in batch.approvals.values():
        record_sync = by_id.get(act.entity_id)
        state = _final_state(record_sync, act) if record_sync else None
        if record_sync and state:
            finished.setdefault(state, []).append(act)
            if state is GuardState.RELEASED:
                record_sync.log_decision("guard", f"Nothing waits for approval any more: {act.label}.", act.key)
    for state, acts in finished.items():
        # Only those that nobody decided meanwhile: the next pass ends the others.
        remaining = GuardedAct.objects.filter(pk__in=[act.pk for act in acts], state__in={act.state for act in acts})
        remaining.update(state=state, at=SyncNow())


def _final_state(record_sync: RecordSync, act: GuardedAct) -> GuardState | None:
    """What became of an act by this pass; None where it stands as it did, or both sides don't stand on the base."""
    p = record_sync.field_plans.get(act.key)
    if p is None or p.conflict:
        return GuardState.RELEASED
    base = record_sync.ledger.base.get(act.key)
    if p.blocked_reason or base is None:
        return None
    try:
        local, remote = p.convert.local(base["local"]), p.convert.remote(base["remote"])
        is_on_monday = record_sync.written_item is not None
        if p.send_raw is None:
            is_on_monday = p.convert.remote(p.remote_raw) == remote
        is_in_npd = p.convert.local(stored_values(record_sync.record, p.mapping)) == local
    except UnknownValue:
        return None
    if not is_on_monday or not is_in_npd or (local is None) is not (remote is None):
        return None
    if local is None:
        return GuardState.DONE if act.state == GuardState.APPROVED else GuardState.RELEASED
    return GuardState.KEPT if act.state == GuardState.REJECTED else GuardState.RELEASED
