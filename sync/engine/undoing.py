"""Undoing how a conflict was settled: each side gets back the value that it held, if neither has moved since.

The plan is the resolution's inverse, checked here against what stands now, and once more when it is settled. Where a
side has moved, nothing is put back: the field goes its usual way, and what was lost comes back as a conflict of its
own, of the kind overwritten.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError

from sync.connectors.monday.converters import CannotSplit, UnknownValue
from sync.connectors.monday.items import Item
from sync.engine.planned import Planned
from sync.engine.related import NotFound
from sync.engine.subjects import Batch, Subject
from sync.engine.values import cleaned
from sync.hooks import KIND_FIELDS, KIND_OVERWRITTEN, KIND_UNDO, Choice, FieldConflict
from sync.merge import Action, Canonical, Decision, Field, Way

UNDO = "undo"
_BACK = "put back as it was before the conflict was settled"


@dataclass(frozen=True)
class Wish:
    """A field whose settled conflict, of `kind`, is to be open again."""

    kind: str
    choice: Choice

    @property
    def before(self) -> Mapping[str, Any]:
        """The raw values that stood on each side, and the base."""
        before: Mapping[str, Any] = self.choice.inverse["before"]
        return before

    @property
    def after(self) -> Mapping[str, Any]:
        """The base pair that settling left."""
        after: Mapping[str, Any] = self.choice.inverse["after"]
        return after


class _CantBe(Exception):
    """The inverse can't be carried out; the message says why."""


def wish_of(subject: Subject, key: str) -> Wish | None:
    """Return the wish to undo how this field was settled, if anybody has it."""
    for one in subject.conflicts:
        if one.kind == KIND_UNDO and key in one.choices and one.choices[key].inverse:
            return Wish(one.settled_kind, one.choices[key])
    return None


def inverse_of(subject: Subject, planned: Planned) -> dict[str, Any]:
    """Return what would undo the choice just settled: both sides' raw values and the base, before and after."""
    landed = planned.landed or {"read": planned.remote_raw, "base": planned.base}
    before = {"local": planned.local_raw, "remote": landed["read"], "base": landed["base"]}
    return {"before": before, "after": subject.ledger.base.get(planned.mapping.key)}


def plan_undo(batch: Batch, subject: Subject, planned: Planned, field: Field, item: Item) -> bool:
    """Plan the inverse of a settled choice; False where none is wanted, or where the field goes its usual way."""
    wish = wish_of(subject, field.key)
    if wish is None:
        return False
    try:
        _must_stand(subject, planned, field, wish, item)
        _give_back(batch, subject, planned, field, wish)
    except UnknownValue as unknown:
        return _refused(subject, planned, f"A value of then is not known any more: {unknown}.")
    except (_CantBe, NotFound, ValueError) as reason:
        return _refused(subject, planned, str(reason))
    planned.choice, planned.undo = UNDO, wish
    return True


def _refused(subject: Subject, planned: Planned, reason: str) -> bool:
    planned.send_raw = planned.write_raw = None
    subject.undone[planned.mapping.key] = reason
    return False


def _must_stand(subject: Subject, planned: Planned, field: Field, wish: Wish, item: Item) -> None:
    mapping, convert, after = planned.mapping, planned.convert, wish.after
    if not after or (after["item"], after["column"], after["version"]) != (
        item.id,
        mapping.column_id,
        mapping.version,
    ):
        raise _CantBe("It is another item or column since, so nothing was put back.")
    if field.way is not Way.BOTH:
        raise _CantBe(f"{mapping.label} flows one way only now, so nothing was put back.")
    if field.key in _in_conflict(subject):
        raise _CantBe("It is in conflict again already. Settle that conflict.")
    if field.local != convert.local(after["local"]):
        raise _CantBe("NPD's value has changed since, so nothing was put back.")
    if field.remote != convert.remote(after["remote"]) and not _half_done(subject, planned, field, wish):
        raise _CantBe("Monday's value has changed since, so nothing was put back.")


def _in_conflict(subject: Subject) -> set[str]:
    kinds = (KIND_FIELDS, KIND_OVERWRITTEN)
    return {key for conflict in subject.conflicts if conflict.kind in kinds for key in conflict.fields}


def _half_done(subject: Subject, planned: Planned, field: Field, wish: Wish) -> bool:
    """Whether Monday shows what was to be put back there because our own call, whose answer was lost, did it."""
    if field.remote != planned.convert.remote(wish.before["remote"]):
        return False
    sent = [intent.values.get(field.key) for intent in subject.intents]
    return any(planned.convert.local(entry["local"]) == field.remote for entry in sent if entry)


def _give_back(batch: Batch, subject: Subject, planned: Planned, field: Field, wish: Wish) -> None:
    """Give the field the raw values that go to either side; raises _CantBe, NotFound, ValueError, UnknownValue."""
    convert, record = planned.convert, subject.record
    local, remote = convert.local(wish.before["local"]), convert.remote(wish.before["remote"])
    if local != field.local:
        full = batch.related.completed(type(record), wish.before["local"])
        try:
            planned.write_raw = cleaned(record, full)
        except ValidationError as refused:
            raise _CantBe(f"NPD can't take the value of then: {' '.join(refused.messages)}") from refused
    if remote != field.remote:
        sent = wish.before["local"] if remote == local else _as_local(planned, wish, remote)
        planned.send_raw = batch.related.completed(type(record), sent)
        if reason := convert.limit(planned.send_raw):
            raise _CantBe(f"Monday won't take the value of then: {reason}")
    planned.decision = Decision(field.key, _action(planned), _BACK, overrides=True)


def _action(planned: Planned) -> Action:
    up, down = planned.send_raw is not None, planned.write_raw is not None
    return {
        (True, True): Action.BOTH,
        (True, False): Action.PUSH,
        (False, True): Action.PULL,
        (False, False): Action.NOTHING,
    }[up, down]


def _as_local(planned: Planned, wish: Wish, remote: Canonical) -> Mapping[str, Any]:
    try:
        return planned.convert.to_local(wish.before["remote"], wish.before["local"])
    except CannotSplit:
        return planned.convert.from_text(planned.convert.display(remote), wish.before["local"])


def put_base_back(subject: Subject, planned: Planned) -> None:
    """The field's base is the one of before the resolution, against which both sides have moved apart."""
    assert planned.undo is not None
    key, base = planned.mapping.key, planned.undo.before["base"]
    if base is None:
        subject.ledger.base.pop(key, None)
    else:
        subject.ledger.base[key] = dict(base)
    subject.ledger.altered.pop(key, None)
    subject.undone[key] = ""


def reopened(subject: Subject, kind: str) -> list[FieldConflict]:
    """Return the fields of this kind that this look has put back: they are in conflict again."""
    return [
        _as_conflict(planned, planned.undo)
        for key, planned in subject.planned.items()
        if planned.undo and planned.undo.kind == kind and subject.undone.get(key) == ""
    ]


def _as_conflict(planned: Planned, wish: Wish) -> FieldConflict:
    base = wish.before["base"] if wish.kind == KIND_FIELDS else None
    try:
        shown = planned.convert.display(planned.convert.local(base["local"])) if base else None
    except UnknownValue:
        shown = None
    choice = wish.choice
    note = "Its resolution was undone."
    return FieldConflict(planned.mapping.key, choice.seen_npd, shown or None, choice.seen_monday, note)


def lost_by(subject: Subject) -> Iterator[FieldConflict]:
    """Yield what the resolutions that can't be undone any more had overruled, beside what stands on both sides now."""
    for key, planned in subject.planned.items():
        wish = wish_of(subject, key)
        if not subject.undone.get(key) or wish is None or not _agrees(planned):
            continue
        stands = _stands(planned)
        told = [("Monday's", wish.choice.seen_monday), ("NPD's", wish.choice.seen_npd)]
        if wish.choice.choose == "monday":
            told = told[1:]
        elif wish.choice.choose == "npd":
            told = told[:1]
        lost = [(whose, value) for whose, value in told if (value or None) != stands]
        if lost:
            yield FieldConflict(key, stands, None, lost[0][1], _note(lost))


def _note(lost: list[tuple[str, str | None]]) -> str:
    words = f"The choice that overruled {lost[0][0]} value could not be undone any more."
    others = [f"{whose} value was then: {value or '(empty)'}." for whose, value in lost[1:]]
    return " ".join([words, *others])


def _agrees(planned: Planned) -> bool:
    """Whether both sides hold the same value after this look."""
    flows = (Action.NOTHING, Action.AGREED, Action.PUSH, Action.PULL)
    return not planned.hold and not planned.conflict and planned.decision.action in flows


def _stands(planned: Planned) -> str | None:
    taken = planned.write_raw if planned.decision.action is Action.PULL else planned.local_raw
    return planned.shown(taken) or None
