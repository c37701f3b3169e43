"""What happens to a conflict, as lines of its record's own log."""

from __future__ import annotations

from typing import Any

import pghistory
from django.utils import translation

from conflicts.choice import StoredChoice
from conflicts.models import SyncConflict
from conflicts.outcome import outcome, shown
from conflicts.records import default_label
from sync.authors import LONGEST_ACTOR
from sync.hooks import RECORD, FieldConflict
from sync.models import Decision

WRITTEN_IN = "en"
"""The language of what is written down: everybody reads it, whoever did the thing."""


class Events:
    """Collects lines, and saves them with one statement."""

    def __init__(self) -> None:
        self.lines: list[Decision] = []

    def chosen(self, conflict: SyncConflict, choice: StoredChoice) -> None:
        """A person chose; nothing is written yet."""
        for key, pick in choice.fields.items():
            base = conflict.base_data.get(key)
            leads_to = outcome(
                pick.choose,
                npd=pick.npd,
                base=base,
                monday=pick.monday,
                value=pick.value,
                kind=conflict.kind,
            )
            with translation.override(WRITTEN_IN):
                what, label = shown(leads_to.value), _label(conflict, key)
                sentence = f"Chose {what} for {label}: {leads_to.where}."
            values = {"npd": pick.npd, "base": base, "monday": pick.monday, "choose": pick.choose}
            self._add(conflict, key, "conflict_chosen", sentence, values=values, actor=choice.by)

    def chosen_for_record(self, conflict: SyncConflict, choice: StoredChoice, label: str) -> None:
        """A person chose what becomes of the record or its item; nothing is done yet."""
        pick = choice.fields[RECORD]
        values = {"what": pick.npd, "choose": pick.choose, "value": pick.value, "seen": dict(pick.seen)}
        sentence = f"Chose “{label}” where this was asked: {pick.npd}"
        self._add(conflict, "", "conflict_chosen", sentence, values=values, actor=choice.by)

    def settled_record(self, conflict: SyncConflict, done: str) -> None:
        """A choice about the record itself was carried out."""
        entry = conflict.merge_selections[RECORD]
        sentence = f"Settled as {entry['by']} chose (“{entry.get('label', '')}”): {done}"
        self._add(conflict, "", "conflict_settled", sentence, values={**entry, "result": done})

    def over_record(self, conflict: SyncConflict, note: str) -> None:
        """Nothing has to be chosen about the record any more."""
        sentence = f"The question is over{': ' + note if note else '.'} It was: {conflict.what}"
        values = {
            "npd": conflict.npd_data,
            "base": conflict.base_data,
            "monday": conflict.monday_data,
            "what": conflict.what,
        }
        self._add(conflict, "", "conflict_over", sentence, values=values)

    def settled(self, conflict: SyncConflict, key: str) -> None:
        """A choice was applied: the sync did it, so the sync is the line's actor."""
        entry, result = conflict.merge_selections[key], conflict.resolved_data.get(key)
        done = outcome(
            entry["choose"],
            npd=entry["npd"],
            base=entry["base"],
            monday=entry["monday"],
            value=result,
            kind=conflict.kind,
        )
        label = _label(conflict, key)
        with translation.override(WRITTEN_IN):
            sentence = f"Settled {label} as {entry['by']} chose: {shown(result)}, {done.written}."
        self._add(conflict, key, "conflict_settled", sentence, values={**entry, "result": result})

    def left_record(self, conflict: SyncConflict, left: FieldConflict) -> None:
        """A field is no longer among those that were edited while the other side was deleted."""
        sentence = (
            f"{_label(conflict, left.key)} is not among the edited fields any more."
            f" NPD had {_shown(left.npd)}, Monday had {_shown(left.monday)}."
        )
        values = {"npd": left.npd, "base": left.base, "monday": left.monday}
        self._add(conflict, left.key, "conflict_over", sentence, values=values)

    def lost_again(self, conflict: SyncConflict, first: FieldConflict, second: FieldConflict) -> None:
        """A second edit of a field was overwritten before a person had settled the first."""
        sentence = (
            f"Of {_label(conflict, first.key)} another edit was overwritten: {_shown(second.monday)}. "
            f"The one before it, {_shown(first.monday)}, stays in this history."
        )
        values = {"npd": first.npd, "monday": first.monday, "second": second.monday}
        self._add(conflict, first.key, "conflict_lost_again", sentence, values=values)

    def over(self, conflict: SyncConflict, key: str, note: str) -> None:
        """A field left its conflict by itself."""
        entry = conflict.merge_selections[key]
        sentence = (
            f"The conflict on {_label(conflict, key)} is over{': ' + note if note else '.'}"
            f" NPD had {_shown(entry['npd'])}, Monday had {_shown(entry['monday'])}."
        )
        self._add(conflict, key, "conflict_over", sentence, values=entry)

    def handed_back(self, conflict: SyncConflict, key: str, choice: StoredChoice, reason: str) -> None:
        """A choice could not be applied."""
        self._returned(conflict, key, choice, f"was handed back: {reason}")

    def not_needed(self, conflict: SyncConflict, key: str, choice: StoredChoice, reason: str) -> None:
        """The conflict was over before a choice could be applied."""
        self._returned(conflict, key, choice, f"was not carried out: {reason}")

    def undo_wanted(self, conflict: SyncConflict, choice: StoredChoice) -> None:
        """A person wants a resolution undone; nothing is written yet."""
        for key, pick in choice.fields.items():
            sentence = f"Asked to undo how {_label(conflict, key)} was settled."
            values = {"npd": pick.npd, "monday": pick.monday, "choose": pick.choose}
            self._add(conflict, key, "conflict_undo", sentence, values=values, actor=choice.by)

    def undone(self, conflict: SyncConflict, key: str, choice: StoredChoice) -> None:
        """A resolution was undone: each side holds again what it held, and the conflict is open again."""
        pick = choice.fields[key]
        sentence = (
            f"Undid how {_label(conflict, key)} was settled, as {choice.by} asked. It is in conflict again: "
            f"{_shown(pick.npd)} against {_shown(pick.monday)}."
        )
        values = {"npd": pick.npd, "monday": pick.monday, "by": choice.by}
        self._add(conflict, key, "undo", sentence, values=values)

    def not_undone(self, conflict: SyncConflict, key: str, choice: StoredChoice, reason: str) -> None:
        """A resolution could not be undone; the sides stay as they are."""
        sentence = f"How {_label(conflict, key)} was settled was not undone, as {choice.by} asked: {reason}"
        pick = choice.fields[key]
        values = {"npd": pick.npd, "monday": pick.monday, "by": choice.by}
        self._add(conflict, key, "conflict_undo_refused", sentence, values=values)

    def save(self) -> None:
        """Write the collected lines, with the look that they belong to where one is under way."""
        with pghistory.context() as told:
            batch_id = told.metadata.get("batch")
        for line in self.lines:
            line.batch_id = batch_id
        Decision.objects.bulk_create(self.lines)

    def _returned(self, conflict: SyncConflict, key: str, choice: StoredChoice, how: str) -> None:
        of = "" if key == RECORD else f" for {_label(conflict, key)}"
        pick = choice.fields[key]
        values = {"choose": pick.choose, "value": pick.value, "by": choice.by}
        sentence = f"{choice.by}'s choice{of} {how}"
        self._add(conflict, "" if key == RECORD else key, "conflict_returned", sentence, values=values)

    def _add(
        self,
        conflict: SyncConflict,
        key: str,
        kind: str,
        sentence: str,
        *,
        values: dict[str, Any],
        actor: str = "",
    ) -> None:
        self.lines.append(
            Decision(
                entity_type=conflict.entity_type,
                entity_id=conflict.entity_id,
                remote_id=conflict.monday_item_id,
                key=key,
                kind=kind,
                sentence=sentence,
                values=values,
                actor=actor[:LONGEST_ACTOR],
            )
        )


def _label(conflict: SyncConflict, key: str) -> str:
    return default_label(conflict.entity_type, key)


def _shown(value: str | None) -> str:
    with translation.override(WRITTEN_IN):
        return shown(value)
