"""A later change of what is mapped: the same draft, comparison, plan and run as of a first set-up."""

from __future__ import annotations

from collections.abc import Mapping

from django.contrib.auth.models import User

from sync.boards import link_of
from sync.models import SetupDraft
from sync.wizard import boards, permission
from sync.wizard.confirming import compare_where_due
from sync.wizard.differing import as_mapped
from sync.wizard.drafts import choose_fields
from sync.wizard.fields import Chosen


def draw_up_changes(user: User, entity_type: str, asked: Mapping[str, Mapping[str, str]]) -> SetupDraft:
    """Draw up other columns and directions of some fields, all else as it is; raises WizardError, MondayError.

    `asked` gives the new `column_id` and `direction` by the field's key; all else is as it is stored. Raises Begun
    where an open set-up holds other changes.
    """
    permission.check(user)
    draft = boards.begin_change(user, entity_type)
    chosen = as_mapped(link_of(entity_type))
    for key, wanted in asked.items():
        before = chosen.get(key, Chosen())
        column, direction = wanted.get("column_id", before.column), wanted.get("direction", before.direction)
        chosen[key] = Chosen(column, direction, before.rule)
    draft = choose_fields(user, entity_type, draft.revision, chosen)
    compare_where_due(user)
    draft.refresh_from_db()
    return draft
