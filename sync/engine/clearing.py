"""Fields that a look would empty pass the guard; what it holds stays on the side where it still stands.

A person's choice between two values, and a push that a person asked for by name, have been approved by being made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import QuerySet

from sync.choices import GuardKind, GuardState
from sync.clock import SyncNow
from sync.connectors.monday.converters import UnknownValue
from sync.engine.carrying import carry
from sync.engine.guarding import Act, allowed
from sync.engine.planned import Planned
from sync.engine.planning import way_of
from sync.engine.subjects import Batch, Subject
from sync.engine.values import raw_of
from sync.guard.limits import OPEN
from sync.merge import Action, Canonical, Decision, Field, Way
from sync.models import GuardedAct

CLEARS = (GuardKind.CLEAR_MONDAY, GuardKind.CLEAR_NPD)
_EMPTIED = {GuardKind.CLEAR_MONDAY: "in NPD", GuardKind.CLEAR_NPD: "on Monday"}
_TO_EMPTY = {GuardKind.CLEAR_MONDAY: "on Monday", GuardKind.CLEAR_NPD: "in NPD"}

Key = tuple[UUID, str, str]


@dataclass(frozen=True)
class Clear:
    """A field that this look would empty on one side, with what stands there."""

    subject: Subject
    planned: Planned
    kind: GuardKind
    value: str

    @property
    def key(self) -> Key:
        """What names its act among all."""
        return self.subject.id, self.kind, self.planned.mapping.key

    @property
    def act(self) -> Act:
        """As the guard keeps it."""
        label = self.planned.mapping.label
        return Act(
            self.subject.id,
            self.subject.item_id,
            self.planned.mapping.key,
            f"{label} “{self.value}” of {self.subject.record}",
            {"record": str(self.subject.record), "label": label, "value": self.value},
        )


def guard(batch: Batch) -> None:
    """Hold the fields that would be emptied where they are too many; carry out what a person rejected."""
    clears = [clear for subject in batch.open for clear in _clears(subject)]
    stuck = [subject.id for subject in batch.open if subject.ledger.held]
    if not clears and not stuck:
        return
    batch.guarded = _open_acts(batch, {clear.subject.id for clear in clears} | set(stuck))
    for kind in CLEARS:
        _guard_kind(batch, kind, [clear for clear in clears if clear.kind == kind])


def _clears(subject: Subject) -> Iterator[Clear]:
    if subject.by_name or subject.item is None:
        return
    for planned in subject.planned.values():
        if planned.choice or (planned.send_raw is None and planned.write_raw is None):
            continue
        try:
            yield from _sides_emptied(subject, planned)
        except UnknownValue:  # nothing that is known stands there
            continue


def _sides_emptied(subject: Subject, planned: Planned) -> Iterator[Clear]:
    convert = planned.convert
    local, remote = convert.local(planned.local_raw), convert.remote(planned.remote_raw)
    if planned.send_raw is not None and convert.local(planned.send_raw) is None and remote is not None:
        yield Clear(subject, planned, GuardKind.CLEAR_MONDAY, convert.display(remote))
    if planned.write_raw is not None and convert.local(planned.write_raw) is None and local is not None:
        yield Clear(subject, planned, GuardKind.CLEAR_NPD, convert.display(local))


def _open_acts(batch: Batch, ids: set[UUID]) -> dict[Key, GuardedAct]:
    acts = GuardedAct.objects.filter(
        entity_type=batch.board.link.entity_type, entity_id__in=ids, kind__in=CLEARS, state__in=OPEN
    )
    return {(act.entity_id, act.kind, act.key): act for act in acts}


def _guard_kind(batch: Batch, kind: GuardKind, clears: Sequence[Clear]) -> None:
    for clear in clears:
        _ask_anew_where_another_value_stands(batch, clear)
    back = {clear.key for clear in clears if _state(batch, clear) == GuardState.REJECTED}
    for clear in clears:
        if clear.key in back:
            _put_back(batch, clear)
    wanted = {clear.key: clear for clear in clears if clear.key not in back}
    go = allowed(batch, kind, [clear.act for clear in wanted.values()])
    for clear in wanted.values():
        if clear.act not in go:
            _hold(batch, clear)


def _state(batch: Batch, clear: Clear) -> str:
    act = batch.guarded.get(clear.key)
    return act.state if act else ""


def _ask_anew_where_another_value_stands(batch: Batch, clear: Clear) -> None:
    """What a person sees, approves or rejects is one value: another one is another act."""
    act = batch.guarded.get(clear.key)
    if act is None or act.values.get("value") == clear.value:
        return
    GuardedAct.objects.filter(pk=act.pk).update(state=GuardState.RELEASED, at=SyncNow())
    del batch.guarded[clear.key]


def _hold(batch: Batch, clear: Clear) -> None:
    planned, label = clear.planned, clear.planned.mapping.label
    emptied, to_empty = _EMPTIED[clear.kind], _TO_EMPTY[clear.kind]
    planned.held(
        f"It was emptied {emptied}, with the fields of many records within an hour. It still says "
        f"“{clear.value}” {to_empty}, and is emptied there when somebody approves it under “Waiting for approval”. "
        "Or fill it in again."
    )
    if clear.key not in batch.guarded:
        clear.subject.say(
            "guard",
            f"{label} was emptied {emptied}; that “{clear.value}” is emptied {to_empty} too waits for approval: "
            "too many at once.",
            planned.mapping.key,
            before=clear.value,
        )


def _put_back(batch: Batch, clear: Clear) -> None:
    """A person said that this field is not to be emptied: the side where it was gets the value back."""
    planned, subject = clear.planned, clear.subject
    way = way_of(subject, planned.mapping)
    back, needed = (
        (Action.PULL, Way.TO_NPD) if clear.kind == GuardKind.CLEAR_MONDAY else (Action.PUSH, Way.TO_MONDAY)
    )
    if way not in (Way.BOTH, needed):
        planned.held(
            f"Somebody decided that “{clear.value}” stays {_TO_EMPTY[clear.kind]}; its direction lets nothing be put "
            f"back {_EMPTIED[clear.kind]}. Fill it in there, or change the direction."
        )
        return
    convert = planned.convert
    planned.send_raw = planned.write_raw = None
    planned.decision = Decision(planned.mapping.key, back, "a person decided that it is not emptied")
    field = Field(
        planned.mapping.key, convert.local(planned.local_raw), convert.remote(planned.remote_raw), way=way
    )
    carry(batch, subject, planned, field)


def end_acts(batch: Batch, subjects: Sequence[Subject]) -> None:
    """In the settle transaction: acts that were carried out, or whose cause is gone, are over."""
    by_id = {subject.id: subject for subject in subjects if subject.planned}
    ended: dict[GuardState, list[GuardedAct]] = {}
    for act in batch.guarded.values():
        subject = by_id.get(act.entity_id)
        state = _end_of(subject, act) if subject else None
        if subject and state:
            ended.setdefault(state, []).append(act)
            if state is GuardState.RELEASED:
                subject.say("guard", f"Nothing waits for approval any more: {act.label}.", act.key)
    for state, acts in ended.items():
        _still(acts).update(state=state, at=SyncNow())


def _still(acts: Sequence[GuardedAct]) -> QuerySet[GuardedAct]:
    """Of these, those that nobody decided meanwhile: the next look ends the others."""
    states = {act.state for act in acts}
    return GuardedAct.objects.filter(pk__in=[act.pk for act in acts], state__in=states)


def _end_of(subject: Subject, act: GuardedAct) -> GuardState | None:
    """What became of an act by this look; None where it stands as it did."""
    planned = subject.planned.get(act.key)
    if planned is None or planned.conflict:
        return GuardState.RELEASED
    if planned.hold:
        return None
    try:
        local, remote = _agreed(subject, planned)
    except (KeyError, UnknownValue):
        return None
    if local is None and remote is None:
        return GuardState.DONE if act.state == GuardState.APPROVED else GuardState.RELEASED
    if local is None or remote is None:
        return None
    return GuardState.KEPT if act.state == GuardState.REJECTED else GuardState.RELEASED


def _agreed(subject: Subject, planned: Planned) -> tuple[Canonical, Canonical]:
    """Return the base's halves where both sides stand on them now; raises KeyError, UnknownValue where they don't."""
    convert, base = planned.convert, subject.ledger.base[planned.mapping.key]
    local, remote = convert.local(base["local"]), convert.remote(base["remote"])
    sent = planned.send_raw is not None
    there = subject.written is not None if sent else convert.remote(planned.remote_raw) == remote
    if not there or convert.local(raw_of(subject.record, planned.mapping)) != local:
        raise KeyError(planned.mapping.key)
    return local, remote
