"""What happens to a conflict, as lines of its record's own log."""

from __future__ import annotations

from typing import Any

import pghistory

from conflicts.choice import StoredChoice
from conflicts.models import SyncConflict
from conflicts.outcome import outcome, shown
from conflicts.records import default_label
from sync.models import Decision


class Events:
    """Collects lines, and saves them with one statement."""

    def __init__(self) -> None:
        self.lines: list[Decision] = []

    def chosen(self, conflict: SyncConflict, choice: StoredChoice) -> None:
        """A person chose; nothing is written yet."""
        for key, pick in choice.fields.items():
            base = conflict.base_data.get(key)
            leads_to = outcome(pick.choose, npd=pick.npd, base=base, monday=pick.monday, value=pick.value)
            what, label = shown(leads_to.value), _label(conflict, key)
            sentence = f"Chose {what} for {label}: {leads_to.where}."
            values = {"npd": pick.npd, "base": base, "monday": pick.monday, "choose": pick.choose}
            self._add(conflict, key, "conflict_chosen", sentence, values=values, actor=choice.by)

    def settled(self, conflict: SyncConflict, key: str) -> None:
        """A choice was applied: the sync did it, so the sync is the line's actor."""
        entry, result = conflict.merge_selections[key], conflict.resolved_data.get(key)
        done = outcome(
            entry["choose"], npd=entry["npd"], base=entry["base"], monday=entry["monday"], value=result
        )
        label = _label(conflict, key)
        sentence = f"Settled {label} as {entry['by']} chose: {shown(result)}, {done.written}."
        self._add(conflict, key, "conflict_settled", sentence, values={**entry, "result": result})

    def over(self, conflict: SyncConflict, key: str, note: str) -> None:
        """A field left its conflict by itself."""
        entry = conflict.merge_selections[key]
        sentence = (
            f"The conflict on {_label(conflict, key)} is over{': ' + note if note else '.'}"
            f" NPD had {shown(entry['npd'])}, Monday had {shown(entry['monday'])}."
        )
        self._add(conflict, key, "conflict_over", sentence, values=entry)

    def handed_back(self, conflict: SyncConflict, key: str, choice: StoredChoice, reason: str) -> None:
        """A choice could not be applied."""
        sentence = f"{choice.by}'s choice for {_label(conflict, key)} was handed back: {reason}"
        values = {"choose": choice.fields[key].choose, "value": choice.fields[key].value}
        self._add(conflict, key, "conflict_returned", sentence, values=values)

    def save(self) -> None:
        """Write the collected lines, with the look that they belong to where one is under way."""
        with pghistory.context() as told:
            batch_id = told.metadata.get("batch")
        for line in self.lines:
            line.batch_id = batch_id
        Decision.objects.bulk_create(self.lines)

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
                actor=actor,
            )
        )


def _label(conflict: SyncConflict, key: str) -> str:
    return default_label(conflict.entity_type, key)
