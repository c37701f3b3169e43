"""The state of a conflict, with a sentence."""

from dataclasses import dataclass

from conflicts.history import quote_value
from conflicts.lifecycle import CLOSING_NOTE, applied_effect, chosen_option, resolved_parts, selection_effect
from conflicts.models import CLOSED_ITSELF, SyncConflict
from conflicts.reports import RECORD_KEY
from sync.kernel import grouped, humanize
from sync.records import availability

OPEN = "open"
APPLYING = "applying"
HANDED_BACK = "handed_back"
PARTLY = "partly"
SETTLED = "settled"
UNDOING = "undoing"

STATES = (OPEN, APPLYING, HANDED_BACK, PARTLY, SETTLED, UNDOING)


@dataclass(frozen=True)
class Progress:
    state: str  # one of STATES
    sentence: str
    delay_reason: str = ""  # why it takes longer
    is_undoable: bool = False

    @property
    def is_final(self) -> bool:
        """Whether the state no longer changes by itself."""
        return self.state not in (APPLYING, UNDOING)


def state_of(conflict: SyncConflict) -> str:
    """Return the state, without a query."""
    if conflict.is_being_undone:
        return UNDOING
    if not conflict.is_open:
        return SETTLED
    if conflict.is_being_applied:
        return APPLYING
    if conflict.stored_resolution.handed_back:
        return HANDED_BACK
    return PARTLY if resolved_parts(conflict) else OPEN


def conflict_progress(conflict: SyncConflict) -> Progress:
    """Return the state with its sentence."""
    state = state_of(conflict)
    if state == SETTLED:
        return Progress(state, _resolved_sentence(conflict), is_undoable=True)
    if state in (UNDOING, APPLYING):
        chosen = conflict.stored_resolution.fields
        if state == UNDOING:
            labels = conflict.labels(chosen)
            sentence = f"Undoing: {labels}. The next sync first checks that neither side has changed."
        elif conflict.is_about_record:
            option = chosen_option(conflict, chosen[RECORD_KEY])
            choice = f"“{option.label}”. {option.effect}" if option else f"{chosen[RECORD_KEY].choose}."
            sentence = f"Saving: {choice}"
        else:
            values = [
                f"{conflict.label(key)} = {quote_value(selection_effect(conflict, key, chosen[key]).value)}"
                for key in conflict.in_order(chosen)
            ]
            sentence = f"Saving: {'; '.join(values)}."
        # Why no pass can apply the choice now.
        reason = humanize.without_request_id(availability.of(conflict.entity_type).blocked_reason)
        return Progress(state, sentence, reason)
    has_parts = bool(resolved_parts(conflict))
    if state == HANDED_BACK:
        sentence = f"{_applied_sentence(conflict)} Not saved: {conflict.resolution_problem}".strip()
        return Progress(state, humanize.without_request_id(sentence), is_undoable=has_parts)
    if conflict.is_about_record:
        return Progress(state, f"Still open: {conflict.question}")
    still_open = f"Still open: {conflict.labels(conflict.conflict_fields)}."
    return Progress(state, f"{_applied_sentence(conflict)} {still_open}".strip(), is_undoable=has_parts)


def _resolved_sentence(conflict: SyncConflict) -> str:
    note = str(conflict.notes.get(CLOSING_NOTE, ""))
    entries = conflict.merge_selections
    sentences = [_applied_sentence(conflict)]
    if not entries:
        sentences.append(f"It closed by itself. {note}".strip())
    closed = [key for key in conflict.in_order(entries) if entries[key]["choose"] == CLOSED_ITSELF]
    for reason, keys in grouped(closed, lambda key: str(entries[key].get("why", note))).items():
        sentences.append(f"{conflict.labels(keys)}: closed by itself. {reason}".strip())
    for key, entry in entries.items():
        if entry.get("undo"):
            sentences.append(f"Undo of {conflict.label(key)}: {entry['undo']}")
    return " ".join(filter(None, sentences))


def _applied_sentence(conflict: SyncConflict) -> str:
    if conflict.is_about_record:
        entry = conflict.merge_selections.get(RECORD_KEY, {})
        label = f"“{entry['label']}” was chosen." if entry.get("label") else ""
        return f"{label} {conflict.resolved_data.get(RECORD_KEY) or ''}".strip()
    phrases = []
    for key in resolved_parts(conflict):
        result = quote_value(conflict.resolved_data.get(key))
        phrases.append(f"{conflict.label(key)} is {result}, {applied_effect(conflict, key).written}")
    return f"Resolved: {'; '.join(phrases)}." if phrases else ""
