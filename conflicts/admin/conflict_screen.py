"""The page of a conflict, on which a person decides."""

import json
from typing import Any

from django.contrib.auth.models import User
from django.shortcuts import get_object_or_404
from django.urls import reverse

from conflicts import case, lifecycle, resolution
from conflicts.admin.case_screen import CaseView
from conflicts.admin.strips import URL_NAME, conflict_strip, screen_url
from conflicts.models import MONDAY, NPD, ConflictKind, ResolutionType, SyncConflict
from conflicts.progress import conflict_progress
from conflicts.reports import RECORD_KEY
from sync.admin import confirmed_action
from sync.attention import Kind
from sync.clock import SyncNow
from sync.kernel.humanize import count_with_noun
from sync.merge import FieldSelection


class ConflictView(CaseView):
    """The page of a conflict."""

    conflict: SyncConflict

    def load(self, **kwargs: Any) -> None:
        rows = SyncConflict.objects.select_related("resolved_by").annotate(page_now=SyncNow())
        self.conflict = get_object_or_404(rows, pk=kwargs["pk"])
        self.context = case.RecordContext.of(self.conflict)
        self.url = screen_url(self.conflict.pk)
        self.title = f"Conflict of {self.context.name}"
        self.kind = Kind.DUPLICATE if self.conflict.kind == ConflictKind.IDENTITY else Kind.CONFLICT
        self.row_id = str(self.conflict.pk)
        self.present_values = resolution.current_values(self.conflict) if self.is_waiting else {}

    @property
    def is_waiting(self) -> bool:
        return self.conflict.is_open and not self.conflict.is_being_applied

    def page(self) -> dict[str, Any]:
        conflict = self.conflict
        strip = conflict_strip(conflict, self.context)
        fields = self.fields()
        by_field = conflict.is_open and not conflict.is_about_record
        tags = [] if conflict.kind == ConflictKind.FIELDS else [(conflict.get_kind_display(), "cfl-warn")]
        if conflict.is_open and conflict.kind == ConflictKind.FIELDS:
            tags = [(count_with_noun(len(fields), "field differs", "fields differ"), "cfl-warn")]
        still_asked = (*conflict.conflict_fields, RECORD_KEY)
        return strip | {
            "kind": conflict.kind,
            "conflict": conflict,
            "fields": fields,
            "rows": fields if by_field else [],
            "resolved": case.resolved_fields(conflict, self.context),
            "closed": [conflict.label(key) for key in self.seen_values if key not in still_asked],
            "equal": case.equal_fields(conflict, self.context) if by_field else [],
            "blocked": case.blocked_sentences(conflict, self.context) if by_field else [],
            "about": self.about_record() if conflict.is_about_record else None,
            "is_waiting": self.is_waiting,
            "item_url": self.context.item_url(conflict.monday_item_id),
            "tags": tags if conflict.is_open else [*tags, ("Resolved", "cfl-ok")],
            "list_url": reverse(f"{URL_NAME}_changelist"),
            "undo_problem": resolution.undo_problem(conflict, self.context) if strip["progress"].is_undoable else "",
        }

    def fields(self) -> list[case.CaseField]:
        """Return the fields in conflict with the posted choices, or with the stored ones, also rejected ones."""
        stored = self.conflict.stored_resolution
        fields = case.fields_in_conflict(self.conflict, self.context)
        # A choice that a pass rejected is suggested again, with the reason.
        chosen = {**stored.handed_back, **stored.fields}
        if self.seen_values:
            self.select(fields)
            return fields
        for row in fields:
            row.select(chosen.get(row.key, FieldSelection("")))
            row.problem = stored.reasons.get(row.key, "")
            if rejected := stored.handed_back.get(row.key):
                row.seen_values = {NPD: rejected.npd, MONDAY: rejected.monday}
        return fields

    def about_record(self) -> dict[str, Any]:
        """Return the context of a question about the whole record."""
        conflict = self.conflict
        stored = conflict.stored_resolution
        chosen = self.chosen if self.seen_values else {**stored.handed_back, **stored.fields}
        selection = chosen.get(RECORD_KEY)
        values = resolution.current_values(conflict).items()
        columns = case.candidate_columns(conflict, self.context)
        return {
            "options": lifecycle.offered_options(conflict),
            "chosen": lifecycle.chosen_option(conflict, selection) if selection else None,
            "columns": columns,
            "lines": case.compared_lines(self.context, columns),
            "seen": [(key, json.dumps(list(sides.values()))) for key, sides in values],
            "deletion_problem": resolution.deletion_problem(self.request.user, conflict.entity_type),
        }

    def question(self) -> confirmed_action.Question | None:
        option = lifecycle.chosen_option(self.conflict, self.chosen.get(RECORD_KEY, FieldSelection("")))
        if option is None or not option.deletes:
            return super().question()
        effects = [self.conflict.question, option.effect]
        return confirmed_action.Question(
            f"{option.label}?", effects, option.label, page_name=self.context.name, deletes=True
        )

    def apply(self, by: User) -> tuple[str, str]:
        kind = self.resolution_type()
        resolved = resolution.resolve(
            self.conflict.pk, by=by, resolution_type=kind, selections=self.chosen, seen=self.seen_values
        )
        sentence = conflict_progress(resolved, self.context).sentence
        return f"conflict:{resolved.pk}", sentence

    def resolution_type(self) -> str:
        """Return a side's type if that side was chosen for all fields, or a merge."""
        choices = {selection.choose for selection in self.chosen.values()}
        option = lifecycle.chosen_option(self.conflict, self.chosen.get(RECORD_KEY, FieldSelection("")))
        for side, kind in ((NPD, ResolutionType.KEEP_NPD), (MONDAY, ResolutionType.KEEP_MONDAY)):
            is_side = set(self.chosen) == set(self.seen_values) and choices == {side}
            if self.conflict.is_about_record:
                is_side = option is not None and option == lifecycle.side_option(self.conflict, side)
            if is_side:
                return kind
        return ResolutionType.MERGE
