"""What becomes of a settled conflict whose resolution was to be undone. Changes the given instances only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from conflicts import entries
from conflicts.history import Events
from conflicts.models import SyncConflict

IN_ANOTHER = "It is in conflict again, together with other fields of the record."


def follow(
    wishes: Sequence[SyncConflict], undone: Mapping[str, str], open_one: SyncConflict | None, events: Events
) -> SyncConflict | None:
    """Reopen what was undone, say of the rest why not; return the conflict that is open afterwards.

    `wishes` are the record's settled conflicts of one kind that are being undone, `undone` maps a field to an empty
    text or the reason why not. Fields of a record that has an open conflict of the kind join that one.
    """
    for conflict in wishes:
        done = [key for key, reason in undone.items() if not reason and key in conflict.stored_choice.fields]
        for key in [key for key in undone if key in conflict.stored_choice.fields]:
            _tell(conflict, key, undone[key], events)
        _forget(conflict, set(undone))
        if done and open_one is None:
            reopen(conflict, done)
            open_one = conflict
        elif done:
            for key in done:
                entries.mark(conflict, key, undo=IN_ANOTHER)
    return open_one


def give_up(conflict: SyncConflict, reason: str, events: Events) -> None:
    """Nothing of it will be undone any more."""
    for key in conflict.stored_choice.fields:
        _tell(conflict, key, reason, events)
    conflict.choice = None


def reopen(conflict: SyncConflict, keys: list[str]) -> None:
    """The conflict is as it was before these fields were settled; what else it was about stays settled."""
    conflict.resolved_at = conflict.resolution_type = conflict.resolved_by = None
    conflict.notes = {key: note for key, note in conflict.notes.items() if key != entries.CLOSING}
    conflict.choice_problem = ""
    entries.tell_again(conflict, keys)


def _tell(conflict: SyncConflict, key: str, reason: str, events: Events) -> None:
    choice = conflict.stored_choice
    if reason:
        entries.mark(conflict, key, undo=reason)
        events.not_undone(conflict, key, choice, reason)
    else:
        events.undone(conflict, key, choice)


def _forget(conflict: SyncConflict, keys: set[str]) -> None:
    conflict.choice = conflict.stored_choice.without(keys).to_json()
