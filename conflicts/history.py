"""Conflicts in the history of their records."""

from collections.abc import Mapping, Sequence
from typing import Any

import pghistory
from django.db.models import Q

from conflicts.models import StoredResolution, SyncConflict
from conflicts.reports import RECORD_KEY, ConflictKind
from sync.kernel import humanize
from sync.models import Decision, decisions

MAX_QUOTED_LENGTH = 60

# The stored kind and the sentence of each template.
TEMPLATES = {
    "found": (decisions.CONFLICT_FOUND_KIND, "Conflict found: {label} (NPD {npd} / Monday {monday})."),
    "record_found": (decisions.CONFLICT_FOUND_KIND, "Conflict found: {question}"),
    "chosen": ("conflict_chosen", "Chose {result} for {label}: {changes}."),
    "record_chosen": ("conflict_chosen", "Chose “{option}”. The question was: {question}"),
    "applied": (
        "conflict_settled",
        "Resolved {label} as chosen: {result}, {written}. NPD had {npd}, Monday had {monday}.",
    ),
    "record_applied": ("conflict_settled", "Resolved as chosen (“{option}”): {outcome}"),
    "ended": ("conflict_over", "The conflict on {label} closed{why} NPD had {npd}, Monday had {monday}."),
    "record_ended": ("conflict_over", "The question closed{why} It was: {question}"),
    # The record was deleted on one side, and this field is no longer edited on the other.
    "unedited": ("conflict_over", "{label} isn't in conflict any more. NPD had {npd}, Monday had {monday}."),
    "overwritten_again": (
        "conflict_lost_again",
        "Another edit of {label} was overwritten: {second}. The activity keeps the one before it, {monday}.",
    ),
    "rejected": ("conflict_returned", "{by}'s choice{of_field} could not be saved: {why}"),
    "not_needed": ("conflict_returned", "{by}'s choice{of_field} was not saved: {why}"),
    "undo_requested": ("conflict_undo", "Asked to undo how {label} was resolved."),
    "undone": ("undo", "Undid how {label} was resolved. It is in conflict again: {npd} against {monday}."),
    "not_undone": ("conflict_undo_refused", "Asked to undo how {label} was resolved, which was not done: {why}"),
}


def quote_value(value: str | None) -> str:
    """Return a value quoted, on one line, and shortened."""
    return humanize.quote(humanize.one_line(value or ""), MAX_QUOTED_LENGTH)


class ConflictHistory:
    """Collects lines, and saves them with one statement."""

    def __init__(self) -> None:
        self.lines: list[Decision] = []

    @property
    def text(self) -> str:
        return " ".join(line.sentence for line in self.lines)

    def log(
        self,
        template: str,
        conflict: SyncConflict,
        key: str,
        values: Mapping[str, Any],
        *,
        actor: str = "",
        **words: str,
    ) -> None:
        """Add a line about a field, or about the record if the key is empty; without an actor the sync did it.

        `values` are stored; the sentence quotes them, and takes `words` as they are.
        """
        kind, sentence = TEMPLATES[template]
        texts = {name: value for name, value in values.items() if value is None or isinstance(value, str)}
        quoted = {name: quote_value(text) for name, text in texts.items()}
        words = {**quoted, "label": conflict.label(key), "question": conflict.question, **words}
        self.lines.append(
            Decision(
                entity_type=conflict.entity_type,
                entity_id=conflict.entity_id,
                remote_id=conflict.monday_item_id,
                key=key,
                kind=kind,
                sentence=sentence.format(**words),
                values=dict(values),
                actor=actor[: decisions.MAX_ACTOR_LENGTH],
                cause={"conflict": str(conflict.pk)},
            )
        )

    def log_new(self, conflict: SyncConflict, keys: Sequence[str]) -> None:
        """Log new fields in conflict, or the question about the record; the pass logs overwritten edits itself."""
        if conflict.is_about_record:
            self.log("record_found", conflict, "", {"what": conflict.question})
        elif conflict.kind == ConflictKind.FIELDS:
            for key in keys:
                self.log("found", conflict, key, conflict.values(key))

    def log_rejected(
        self, conflict: SyncConflict, key: str, resolution: StoredResolution, reason: str, *, is_over: bool = False
    ) -> None:
        """Log a choice that was not applied, or that an ended conflict (`is_over`) no longer needed."""
        selection = resolution.fields[key]
        self.log(
            "not_needed" if is_over else "rejected",
            conflict,
            "" if key == RECORD_KEY else key,
            {"choose": selection.choose, "value": selection.value, "by": resolution.by},
            by=resolution.by,
            of_field="" if key == RECORD_KEY else f" for {conflict.label(key)}",
            why=reason,
        )

    def save(self) -> None:
        """Write the collected lines, with the batch of the pass that may be running."""
        # An empty context joins the pass's context.
        with pghistory.context() as context:
            batch_id = context.metadata.get("batch")
        for line in self.lines:
            line.batch_id = batch_id
        Decision.objects.bulk_create(decisions.fold_alike(self.lines))
        # Lines about a result hide the line about the request.
        requests = Q()
        for line in self.lines:
            if kind := decisions.REQUEST_KINDS.get(line.kind):
                about = {"entity_type": line.entity_type, "entity_id": line.entity_id, "key": line.key, "kind": kind}
                requests |= Q(**about, cause__conflict=line.cause["conflict"])
        if requests:
            Decision.objects.filter(requests).update(folded=True, fold_id=None)
