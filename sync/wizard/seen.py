"""What a page has shown of a set-up against what it is by now: what is older is refused, so that nobody overwrites."""

from __future__ import annotations

from django.utils.translation import gettext as _

from sync.models import SetupDraft, SetupState
from sync.wizard.errors import Moved


def seen_of(draft: SetupDraft | None) -> int:
    """Return the revision that a page shows of a type's set-up; 0 where there is none."""
    return draft.revision if draft is not None else 0


def check_seen(draft: SetupDraft | None, seen: int) -> None:
    """Refuse what was chosen on a page that is older than the set-up; raises Moved."""
    if seen_of(draft) == seen:
        return
    if draft is None:
        raise Moved(_("This set-up was carried out or left out meanwhile. Begin again with the boards."))
    who = draft.changed_by.get_username() if draft.changed_by else _("Somebody")
    said = _(
        "%(who)s changed this set-up after your page was opened. Nothing of yours was kept; choose again."
    )
    raise Moved(said % {"who": who})


def locked(entity_type: str, seen: int) -> SetupDraft:
    """Return a set-up that may be changed, locked in the caller's transaction; raises Moved."""
    draft = SetupDraft.objects.select_for_update().filter(entity_type=entity_type).first()
    if draft is None or draft.state == SetupState.DONE:
        raise Moved(_("This set-up was carried out or left out meanwhile. Begin again with the boards."))
    if draft.state == SetupState.RUNNING:
        raise Moved(_("This set-up was confirmed meanwhile, and is being carried out."))
    check_seen(draft, seen)
    return draft
