"""Where a conflict stands, as a state and a sentence: what the screen shows and asks for again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from conflicts.about_record import option_named, options_of
from conflicts.around import Around
from conflicts.choice import AUTO
from conflicts.entries import CLOSING, chosen_by_people
from conflicts.models import SyncConflict
from conflicts.outcome import outcome, shown
from conflicts.records import default_label
from sync import pausing
from sync.choices import QueueDirection
from sync.hooks import RECORD
from sync.standstill import why_not

OPEN, APPLYING, HANDED_BACK, PARTLY = "open", "applying", "handed_back", "partly"
SETTLED, UNDOING = "settled", "undoing"

WORDS: dict[str, Promise] = {
    OPEN: gettext_lazy("open"),
    APPLYING: gettext_lazy("being applied"),
    HANDED_BACK: gettext_lazy("handed back"),
    PARTLY: gettext_lazy("partly settled"),
    SETTLED: gettext_lazy("settled"),
    UNDOING: gettext_lazy("being undone"),
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
        return self.state not in (APPLYING, UNDOING)


def state_of(conflict: SyncConflict) -> str:
    """The state alone; asks nothing of the database."""
    if not conflict.is_open:
        return UNDOING if conflict.is_being_undone else SETTLED
    if conflict.is_being_applied:
        return APPLYING
    if conflict.stored_choice.handed_back or conflict.choice_problem:
        return HANDED_BACK
    return PARTLY if set(conflict.merge_selections) - set(conflict.conflict_fields) else OPEN


def progress_of(conflict: SyncConflict, around: Around | None = None, *, why_waits: bool = True) -> Progress:
    """The state with its sentence; without `why_waits` it asks nothing of the database."""
    known = around or Around.of(conflict)
    waits = partial(_why_waiting, around=known) if why_waits else _nothing
    state = state_of(conflict)
    if state == SETTLED:
        return Progress(state, _settled(conflict))
    if state == UNDOING:
        keys = _labels(conflict, list(conflict.stored_choice.fields))
        words = _("Being undone: %(fields)s. The next look checks that neither side has changed since.")
        return Progress(state, words % {"fields": keys}, waits(conflict))
    if state == APPLYING:
        return Progress(state, _("Being applied: %(what)s") % {"what": _chosen(conflict)}, waits(conflict))
    if state == HANDED_BACK:
        sentences = [_written(conflict), _("Not applied:"), conflict.choice_problem.replace("\n", " ")]
        return Progress(state, " ".join(filter(None, sentences)))
    if conflict.is_about_record:
        return Progress(state, _("Still open: %(what)s") % {"what": conflict.what})
    left = _("Still open: %(fields)s.") % {"fields": _labels(conflict, conflict.conflict_fields)}
    return Progress(state, f"{_written(conflict)} {left}" if state == PARTLY else left)


def _nothing(conflict: SyncConflict) -> str:
    return ""


def _why_waiting(conflict: SyncConflict, around: Around) -> str:
    """What keeps a look from carrying out what was chosen: the account, the board, or a field that can't be read."""
    if reason := why_not(conflict.entity_type) or pausing.why_waits(
        conflict.entity_type, QueueDirection.TO_MONDAY
    ):
        return reason
    held = around.ledger.held if around.ledger else {}
    return " ".join(held[key]["reason"] for key in conflict.stored_choice.fields if key in held)


def _settled(conflict: SyncConflict) -> str:
    note = str(conflict.notes.get(CLOSING, ""))
    by_itself = [key for key, entry in conflict.merge_selections.items() if entry["choose"] == AUTO]
    over = _("%(fields)s: over by itself.") % {"fields": _labels(conflict, by_itself)} if by_itself else ""
    if not conflict.merge_selections:
        over = _("It is over by itself.")
    elif not by_itself:
        note = ""  # it would say again that everything was settled
    return " ".join(filter(None, [_written(conflict), over, note, _not_undone(conflict)]))


def _not_undone(conflict: SyncConflict) -> str:
    """What could not be undone, with the reason."""
    kept = {key: entry["undo"] for key, entry in conflict.merge_selections.items() if entry.get("undo")}
    words = _("Undo of %(field)s: %(reason)s")
    return " ".join(
        words % {"field": _labels(conflict, [key]), "reason": reason} for key, reason in kept.items()
    )


def _written(conflict: SyncConflict) -> str:
    """What was written where, for the fields that people settled."""
    if conflict.is_about_record:
        entry = conflict.merge_selections.get(RECORD, {})
        label = _("“%(label)s” was chosen.") % {"label": entry["label"]} if entry.get("label") else ""
        return f"{label} {conflict.resolved_data.get(RECORD) or ''}".strip()
    parts = []
    for key, entry in chosen_by_people(conflict).items():
        if conflict.is_open and key in conflict.conflict_fields:
            continue  # it was settled, and that was undone
        result = conflict.resolved_data.get(key)
        sides = {side: entry[side] for side in ("npd", "base", "monday")}
        done = outcome(entry["choose"], **sides, value=result, kind=conflict.kind)
        told = {"field": _labels(conflict, [key]), "value": shown(result), "written": done.written}
        parts.append(_("%(field)s is %(value)s, %(written)s") % told)
    return _("Settled: %(parts)s.") % {"parts": "; ".join(parts)} if parts else ""


def _chosen(conflict: SyncConflict) -> str:
    if conflict.is_about_record:
        pick = conflict.stored_choice.fields[RECORD]
        option = option_named(options_of(conflict), pick.choose, pick.value or "")
        return f"“{option.label}”. {option.effect}" if option else f"{pick.choose}."
    parts = []
    for key, pick in conflict.stored_choice.fields.items():
        base = conflict.base_data.get(key)
        leads_to = outcome(
            pick.choose, npd=pick.npd, base=base, monday=pick.monday, value=pick.value, kind=conflict.kind
        )
        told = {"field": _labels(conflict, [key]), "value": shown(leads_to.value)}
        parts.append(_("%(field)s becomes %(value)s") % told)
    return f"{'; '.join(parts)}."


def _labels(conflict: SyncConflict, keys: list[str]) -> str:
    return ", ".join(default_label(conflict.entity_type, key) for key in keys)
