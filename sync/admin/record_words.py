"""What a record's page says of its sync beyond the state: what is open, what a direction does, what a look would do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser, PermissionsMixin
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from sync import registry
from sync.admin.guard_words import SHORT
from sync.admin.record_sides import Side, Sides
from sync.boards import link_of
from sync.choices import GuardKind, GuardState, SyncDirection
from sync.dryrun.entries import What
from sync.dryrun.telling import line_of
from sync.loops_now import damped_fields, why_damped
from sync.models import GuardedAct, SyncedModel
from sync.record_reading import Reading

DIRECTIONS = {
    SyncDirection.BIDIRECTIONAL: gettext_lazy("What either side changes flows to the other."),
    SyncDirection.NPD_TO_MONDAY: gettext_lazy(
        "NPD's values are mirrored: an edit on the board is overwritten at the next look, and kept in the history."
    ),
    SyncDirection.MONDAY_TO_NPD: gettext_lazy(
        "The board's values are mirrored: an edit in NPD is overwritten at the next look, and kept in the history."
    ),
    SyncDirection.NONE: gettext_lazy("Nothing flows; both sides keep what they have."),
}
_LOSES = {SyncDirection.NPD_TO_MONDAY: "monday", SyncDirection.MONDAY_TO_NPD: "npd"}
_DOES = {
    What.PUSH: gettext_lazy("Send to Monday"),
    What.PULL: gettext_lazy("Take over from Monday"),
    What.CREATE: gettext_lazy("Make an item"),
    What.LINK: gettext_lazy("Link"),
    What.CONFLICT: gettext_lazy("Ask a person"),
    What.ASK: gettext_lazy("Ask a person"),
    What.HELD: gettext_lazy("Hold"),
    What.LEFT: gettext_lazy("Leave as it is"),
    What.UNLINK: gettext_lazy("Unlink"),
    What.ARCHIVE: gettext_lazy("Archive the item"),
    What.DELETE_ITEM: gettext_lazy("Delete the item"),
    What.DELETE_RECORD: gettext_lazy("Delete the record"),
    What.FAILED: gettext_lazy("Fail"),
}


@dataclass(frozen=True)
class Open:
    """Something about the record that waits for a person, with the page on which it is settled."""

    icon: str
    words: str
    url: str
    button: str


def direction_costs(record: SyncedModel, direction: SyncDirection) -> list[str]:
    """Return, a sentence a field, what the next look would overwrite for this direction, as far as is known.

    Empty where the direction overwrites nothing that isn't overwritten now.
    """
    loser = _LOSES.get(direction)
    if loser is None or record.sync_direction == direction:
        return []
    general = [str(DIRECTIONS[direction])]
    return [*general, *(_replaced(side, loser) for side in Sides(record).rows() if _differs(side))]


def _differs(side: Side) -> bool:
    return side.standing.kind in ("warn", "wait") and side.npd != side.monday


def _replaced(side: Side, loser: str) -> str:
    lost, stays = (side.monday, side.npd) if loser == "monday" else (side.npd, side.monday)
    where = _("on Monday") if loser == "monday" else _("in NPD")
    told = {"field": side.label, "lost": lost or _("(empty)"), "where": where, "stays": stays or _("(empty)")}
    return _("%(field)s: “%(lost)s” %(where)s gives way to “%(stays)s”.") % told


def next_in_words(reading: Reading) -> list[str]:
    """Return what the next look would do, a line for each act."""
    return [f"{_DOES.get(entry.what, entry.what)}: {line_of(entry)}" for entry in reading.next]


def without_item(record: SyncedModel) -> str:
    """Say what becomes of a record that has no item; empty for any other."""
    if record.monday_id:
        return ""
    if not record.may_sync:
        return _("It has no item on Monday, and gets none while its sync is off.")
    if record.sync_direction == SyncDirection.MONDAY_TO_NPD:
        return _("It has no item on Monday, and gets none in this direction.")
    link = link_of(record.entity_type())
    if link is None:
        return ""
    spec = registry.entity(record.entity_type())
    match = next(
        (mapping.label for mapping in spec.mappings if mapping.key == link.match_key), link.match_key
    )
    return _(
        "It has no item on Monday yet. Its next look takes the item that is the same by “%(match)s”, if there is one, "
        "and makes one otherwise."
    ) % {"match": match}


def open_matters(
    record: SyncedModel, user: AbstractBaseUser | AnonymousUser | PermissionsMixin
) -> Sequence[Open]:
    """Return what waits for approval of this record, and which of its fields are rewritten again and again."""
    found = []
    if user.has_perm("sync.view_guardedact"):  # type: ignore[union-attr]
        found += _guarded(record)
    return [*found, *_loops(record)]


def _guarded(record: SyncedModel) -> list[Open]:
    acts = GuardedAct.objects.filter(
        entity_type=record.entity_type(), entity_id=record.pk, state=GuardState.HELD
    )
    url = f"{reverse('admin:sync_guardedact_changelist')}?state__exact=held&q={record.pk}"
    return [
        Open(
            "gpp_maybe",
            _("Waits for approval: %(act)s (%(what)s).")
            % {"act": SHORT[GuardKind(act.kind)], "what": act.label or record},
            url,
            _("Decide"),
        )
        for act in acts
    ]


def _loops(record: SyncedModel) -> list[Open]:
    url = reverse("admin:sync_boardlink_loops")
    loops = list(damped_fields().filter(entity_type=record.entity_type(), entity_id=record.pk))
    labels = {mapping.key: mapping.label for mapping in registry.entity(record.entity_type()).mappings}
    return [
        Open("sync_problem", why_damped(loop, labels.get(loop.key, loop.key)), url, _("See the ways out"))
        for loop in loops
    ]
