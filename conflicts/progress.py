"""Where a conflict stands, as a state and a sentence: what the screen shows and asks for again."""

from __future__ import annotations

from dataclasses import dataclass

from conflicts.choice import AUTO
from conflicts.keeping import CLOSING
from conflicts.models import SyncConflict
from conflicts.outcome import outcome, shown
from conflicts.records import default_label
from sync.account import why_not

OPEN, APPLYING, HANDED_BACK, PARTLY, SETTLED = "open", "applying", "handed_back", "partly", "settled"

WORDS = {
    OPEN: "open",
    APPLYING: "being applied",
    HANDED_BACK: "handed back",
    PARTLY: "partly settled",
    SETTLED: "settled",
}


@dataclass(frozen=True)
class Progress:
    """`state` is one of the words above; `sentence` says it to a person; `waits` is why it takes longer."""

    state: str
    sentence: str
    waits: str = ""

    @property
    def is_final(self) -> bool:
        """Whether asking again would tell nothing new."""
        return self.state != APPLYING


def state_of(conflict: SyncConflict) -> str:
    """The state alone; asks nothing of the database."""
    if not conflict.is_open:
        return SETTLED
    if conflict.is_being_applied:
        return APPLYING
    if conflict.stored_choice.handed_back or conflict.choice_problem:
        return HANDED_BACK
    return PARTLY if conflict.merge_selections else OPEN


def progress_of(conflict: SyncConflict) -> Progress:
    """The state with its sentence."""
    state = state_of(conflict)
    if state == SETTLED:
        return Progress(state, _settled(conflict))
    if state == APPLYING:
        return Progress(state, f"Being applied: {_chosen(conflict)}", why_not(conflict.entity_type))
    if state == HANDED_BACK:
        sentences = [_written(conflict), "Not applied:", conflict.choice_problem.replace("\n", " ")]
        return Progress(state, " ".join(filter(None, sentences)))
    left = f"Still open: {_labels(conflict, conflict.conflict_fields)}."
    return Progress(state, f"{_written(conflict)} {left}" if state == PARTLY else left)


def _settled(conflict: SyncConflict) -> str:
    note = str(conflict.notes.get(CLOSING, ""))
    by_itself = [key for key, entry in conflict.merge_selections.items() if entry["choose"] == AUTO]
    over = f"{_labels(conflict, by_itself)}: over by itself." if by_itself else ""
    if not conflict.merge_selections:
        over = "It is over by itself."
    elif not by_itself:
        note = ""  # it would say again that everything was settled
    return " ".join(filter(None, [_written(conflict), over, note]))


def _written(conflict: SyncConflict) -> str:
    """What was written where, for the fields that people settled."""
    parts = []
    for key, entry in conflict.merge_selections.items():
        if entry["choose"] == AUTO:
            continue
        result = conflict.resolved_data.get(key)
        sides = {side: entry[side] for side in ("npd", "base", "monday")}
        done = outcome(entry["choose"], **sides, value=result)
        parts.append(f"{_labels(conflict, [key])} is {shown(result)}, {done.written}")
    return f"Settled: {'; '.join(parts)}." if parts else ""


def _chosen(conflict: SyncConflict) -> str:
    parts = []
    for key, pick in conflict.stored_choice.fields.items():
        base = conflict.base_data.get(key)
        leads_to = outcome(pick.choose, npd=pick.npd, base=base, monday=pick.monday, value=pick.value)
        parts.append(f"{_labels(conflict, [key])} becomes {shown(leads_to.value)}")
    return f"{'; '.join(parts)}."


def _labels(conflict: SyncConflict, keys: list[str]) -> str:
    return ", ".join(default_label(conflict.entity_type, key) for key in keys)
