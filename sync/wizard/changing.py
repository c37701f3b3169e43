"""A later change of what is mapped: the same draft, comparison, plan and run as of a first set-up."""

from __future__ import annotations

from collections.abc import Mapping

from django.contrib.auth.models import User

from sync.boards import link_of
from sync.models import SetupDraft
from sync.wizard import boards, permission
from sync.wizard.confirming import compare_where_due
from sync.wizard.drafts import choose_fields
from sync.wizard.fields import Chosen, chosen_of


def draw_up_changes(user: User, entity_type: str, asked: Mapping[str, Mapping[str, str]]) -> SetupDraft:
    """Draw up other columns and directions of some fields, all else as it is; raises WizardError, MondayError.

    `asked` gives the new `column_id` and `direction` by the field's key.
    """
    permission.check(user)
    draft = boards.begin_change(user, entity_type)
    link = link_of(entity_type)
    mapped = {one.key: one for one in link.mappings.all()} if link is not None else {}
    chosen = {key: one if key in mapped else Chosen() for key, one in chosen_of(draft.fields).items()}
    for key, one in mapped.items():
        before, wanted = chosen.get(key, Chosen()), asked.get(key, {})
        column, direction = wanted.get("column_id", before.column), wanted.get("direction", before.direction)
        chosen[key] = Chosen(column, direction, one.rule)
    draft = choose_fields(user, entity_type, draft.revision, chosen)
    compare_where_due(user)
    draft.refresh_from_db()
    return draft
