"""The page of a conflict."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import User
from django.shortcuts import get_object_or_404
from django.urls import reverse

from conflicts import case
from conflicts.admin.case_view import CONFLICT_PARAMETER, URL_NAME, CaseView, screen_url
from conflicts.admin.decision_form import emptying_question
from conflicts.choice_checks import current_values, deletion_problem
from conflicts.context import RecordContext
from conflicts.effects import Sides, is_same
from conflicts.lifecycle import chosen_option, offered_options, side_option
from conflicts.models import MONDAY, NPD, ConflictKind, ResolutionType, SyncConflict
from conflicts.progress import conflict_progress
from conflicts.reports import RECORD_KEY
from conflicts.resolution import resolve
from conflicts.undo import undo_problem
from sync.admin.confirmed_action import Question
from sync.attention import Kind
from sync.clock import SyncNow
from sync.kernel.humanize import count_with_noun
from sync.merge import FieldSelection


class ConflictView(CaseView):
    """The page of a conflict."""

    conflict: SyncConflict

    def load(self, **named: Any) -> None:
        rows = SyncConflict.objects.select_related("resolved_by").annotate(page_now=SyncNow())
        self.conflict = get_object_or_404(rows, pk=named["pk"])
        self.context = RecordContext.of(self.conflict)
        self.url = screen_url(self.conflict.pk)
        self.title = f"Conflict of {self.context.name}"
        self.kind = Kind.DUPLICATE if self.conflict.kind == ConflictKind.IDENTITY else Kind.CONFLICT
        self.row_id = str(self.conflict.pk)
        self.problems = {}

    @property
    def is_waiting(self) -> bool:
        return self.conflict.is_open and not self.conflict.is_being_applied

    def page(self) -> dict[str, Any]:
        conflict = self.conflict
        progress = conflict_progress(conflict, self.context)
        fields = self.fields()
        by_field = conflict.is_open and not conflict.is_about_record
        tags = [] if conflict.kind == ConflictKind.FIELDS else [(conflict.kind_label, "cfl-warn")]
        if conflict.is_open and conflict.kind == ConflictKind.FIELDS:
            tags = [(count_with_noun(len(fields), "field differs", "fields differ"), "cfl-warn")]
        still_asked = (*conflict.conflict_fields, RECORD_KEY)
        return {
            "kind": conflict.kind,
            "conflict": conflict,
            "fields": fields,
            "rows": fields if by_field else [],
            "resolved": case.resolved_fields(conflict, self.context),
            "closed": [conflict.label(key) for key in self.seen_values or () if key not in still_asked],
            "equal": case.equal_fields(conflict, self.context) if by_field else [],
            "blocked": case.blocked_sentences(conflict, self.context) if by_field else [],
            "about": self.about_record() if conflict.is_about_record else None,
            "progress": progress,
            "is_waiting": self.is_waiting,
            "item_url": self.context.item_url(conflict.monday_item_id),
            "tags": tags if conflict.is_open else [*tags, ("Resolved", "cfl-ok")],
            "list_url": reverse(f"{URL_NAME}_changelist"),
            "status_url": reverse(f"{URL_NAME}_status", args=[conflict.pk]),
            "undo_url": reverse(f"{URL_NAME}_undo", args=[conflict.pk]),
            "undo_problem": undo_problem(conflict, self.context) if progress.is_undoable else "",
        }

    def fields(self) -> list[case.CaseField]:
        """The fields in conflict; what was posted, chosen, or handed back by a pass is chosen in them."""
        resolution = self.conflict.stored_resolution
        fields = case.fields_in_conflict(self.conflict, self.context)
        chosen = {**resolution.handed_back, **resolution.fields}
        for row in fields if self.seen_values is None else ():
            row.select(chosen.get(row.key, FieldSelection("")))
            row.problem = resolution.reasons.get(row.key, "")
            if returned := resolution.handed_back.get(row.key):
                row.seen_values = {NPD: returned.npd, MONDAY: returned.monday}
        if self.seen_values is not None:
            self.select(fields)
        return fields

    def about_record(self) -> dict[str, Any]:
        """What is asked about the record or its item as a whole."""
        conflict = self.conflict
        resolution = conflict.stored_resolution
        chosen = {**resolution.handed_back, **resolution.fields} if self.chosen is None else self.chosen
        selection = chosen.get(RECORD_KEY)
        values = {key: list(conflict.sides(key).values()) for key in conflict.conflict_fields}
        columns = case.candidate_columns(conflict, self.context)
        return {
            "options": offered_options(conflict),
            "chosen": chosen_option(conflict, selection) if selection else None,
            "columns": columns,
            "lines": case.compared_lines(self.context, columns),
            "seen": [(key, json.dumps(pair)) for key, pair in {**values, RECORD_KEY: [conflict.what, None]}.items()],
            "deletion_problem": deletion_problem(self.request.user, conflict.entity_type),
        }

    def question(self) -> Question | None:
        now = current_values(self.conflict)
        seen_values = self.seen_values or {}
        chosen = self.chosen or {}
        # What has changed since is refused, with what it is now.
        if not self.is_waiting or not all(
            key in now and is_same(sides, now[key]) for key, sides in seen_values.items()
        ):
            return None
        if not self.conflict.is_about_record:
            return emptying_question(self.context.name, self.fields())
        option = chosen_option(self.conflict, chosen[RECORD_KEY]) if RECORD_KEY in chosen else None
        if option is None or not option.deletes:
            return None
        effects = [self.conflict.what, option.effect]
        return Question(f"{option.label}?", effects, option.label, page_name=self.context.name, deletes=True)

    def apply(self, by: User) -> tuple[str, str, str]:
        chosen = self.chosen or {}
        seen_values = self.seen_values or {}
        kind = self.resolution_type(chosen, seen_values)
        stored = resolve(self.conflict.pk, by=by, resolution_type=kind, selections=chosen, seen=seen_values)
        sentence = conflict_progress(stored, self.context, with_delay=False).sentence
        return self.url, f"{CONFLICT_PARAMETER}={stored.pk}", sentence

    def resolution_type(self, chosen: Mapping[str, FieldSelection], seen_values: Mapping[str, Sides]) -> str:
        """One side for all fields is stored as that side, and not as a merge."""
        for side, kind in ((NPD, ResolutionType.KEEP_NPD), (MONDAY, ResolutionType.KEEP_MONDAY)):
            if self.conflict.is_about_record:
                option = side_option(self.conflict, side)
                is_chosen = RECORD_KEY in chosen and option == chosen_option(self.conflict, chosen[RECORD_KEY])
                is_side = option is not None and is_chosen
            else:
                is_side = set(chosen) == set(seen_values) and {selection.choose for selection in chosen.values()} == {
                    side
                }
            if is_side:
                return kind
        return ResolutionType.MERGE
