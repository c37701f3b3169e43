"""Taking a person's choice: checked, stored at once, and applied by the record's next look."""

from __future__ import annotations

from functools import partial
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils.translation import gettext as _

from conflicts import audit
from conflicts.about_record import option_named, options_of
from conflicts.choice import Pick, StoredChoice
from conflicts.errors import BadResolution, NotWaiting
from conflicts.history import Events
from conflicts.models import SyncConflict
from conflicts.picks import BY_A_PERSON, Seen, Selections, current_values, picks_of_fields
from conflicts.record_picks import picks_of_record
from conflicts.records import name_of, record_of
from sync import wake
from sync.choices import Cause, Priority
from sync.clock import sync_now
from sync.enqueue import enqueue_many
from sync.hooks import RECORD
from sync.models import SyncedModel

__all__ = ["BY_A_PERSON", "current_values", "resolve", "stored_by", "wake_a_look"]


def resolve(
    conflict_id: UUID | str,
    *,
    by: AbstractBaseUser,
    resolution_type: str,
    selections: Selections | None = None,
    seen: Seen,
) -> SyncConflict:
    """Store a choice for exactly the values seen, and wake the look that applies it.

    Of a merge, fields without a selection stay in conflict (`SyncConflict.left_open` names them). Of a conflict about
    the record itself one option is chosen, under the key "record". Raises SyncConflict.DoesNotExist, NotWaiting,
    StaleSeen, or BadResolution; then nothing was stored.
    """
    with transaction.atomic():
        conflict = SyncConflict.objects.select_for_update().get(pk=conflict_id)
        record = _must_wait(conflict)
        if conflict.is_about_record:
            chosen = picks_of_record(conflict, resolution_type, selections or {}, seen)
        else:
            record = _must_be_there(record)
            chosen = picks_of_fields(conflict, record, resolution_type, selections or {}, seen)
        choice = stored_by(by, resolution_type, chosen)
        conflict.choice, conflict.choice_problem = choice.to_json(), ""
        conflict.save(update_fields=["choice", "choice_problem"])
        audit.note_of(by, _tell(conflict, choice), conflict, record)
        wake_a_look(conflict)
    return conflict


def stored_by(by: AbstractBaseUser, resolution_type: str, chosen: dict[str, Pick]) -> StoredChoice:
    """What a person chose, with their name as screens show it."""
    full_name = getattr(by, "get_full_name", str)()
    return StoredChoice(
        resolution_type=resolution_type,
        by_id=by.pk,
        by=full_name or by.get_username(),
        at=sync_now().isoformat(),
        fields=chosen,
    )


def wake_a_look(conflict: SyncConflict) -> None:
    """Order a look at the record ahead of other work, with the transaction."""
    enqueue_many(conflict.entity_type, [conflict.entity_id], cause=Cause.PERSON, priority=Priority.PERSON)
    transaction.on_commit(partial(wake.board, conflict.entity_type), robust=True)


def _tell(conflict: SyncConflict, choice: StoredChoice) -> str:
    """Write the record's history; return the same as one text, for the admin's log."""
    events = Events()
    if conflict.is_about_record:
        pick = choice.fields[RECORD]
        option = option_named(options_of(conflict), pick.choose, pick.value or "")
        events.chosen_for_record(conflict, choice, option.label if option else pick.choose)
    else:
        events.chosen(conflict, choice)
    events.save()
    return " ".join(line.sentence for line in events.lines)


def _must_wait(conflict: SyncConflict) -> SyncedModel | None:
    """Return the record of a conflict that a choice can be made for; None where it was deleted."""
    record = record_of(conflict)
    name = name_of(conflict, record)
    if not conflict.is_open:
        words = _("The conflict of %(name)s is settled already.")
        raise NotWaiting(words % {"name": name}, current_values(conflict))
    if conflict.is_being_applied:
        words = _(
            "%(who)s chose for %(name)s already, and that is being applied. Wait for it, then look again."
        )
        told = {"who": conflict.stored_choice.by, "name": name}
        raise NotWaiting(words % told, current_values(conflict))
    if record is not None and not record.may_sync:
        words = _(
            "Sync is off for %(name)s, so nothing can be written. Switch it on at the record, then choose."
        )
        raise BadResolution(words % {"name": name})
    return record


def _must_be_there(record: SyncedModel | None) -> SyncedModel:
    if record is None:
        raise BadResolution(_("The record is gone from NPD; the next look closes this conflict."))
    return record
