"""The addresses of the screens that settle something, and the way from one to the next."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.http import HttpResponse, HttpResponseRedirect
from django.urls import reverse

from conflicts import waiting
from conflicts.models import SyncConflict
from sync import refused
from sync.refused import Named

HTTP_SEE_OTHER = 303


@dataclass(frozen=True)
class Walk:
    """Which of how many things to settle this is, 0 when it waits no more, and the addresses of its neighbours."""

    number: int
    total: int
    next_url: str
    previous_url: str


def walk_from_conflict(conflict: SyncConflict) -> Walk:
    """Conflicts come first, oldest first, then what Monday refuses; after the last one the first."""
    here, beyond = waiting.place_of(conflict), refused.place_of()
    return Walk(
        here.number,
        here.total + beyond.total,
        _screen(here.following) or _of_refused(beyond.first) or _screen(here.first),
        _screen(here.preceding) or _of_refused(beyond.last) or _screen(here.last),
    )


def walk_from_refused(ledger_id: int, key: str) -> Walk:
    """The same walk, from a value that Monday refuses."""
    here, before = refused.place_of(ledger_id, key), waiting.place_of(None)
    return Walk(
        before.total + here.number if here.number else 0,
        before.total + here.total,
        _of_refused(here.following) or _screen(before.first) or _of_refused(here.first),
        _of_refused(here.preceding) or _screen(before.last) or _of_refused(here.last),
    )


def screen_url(conflict: SyncConflict) -> str:
    """The address of a conflict's screen."""
    return _screen(conflict.pk)


def status_url(conflict: SyncConflict) -> str:
    """The address that answers how far a conflict is."""
    return reverse("admin:conflicts_syncconflict_status", args=[conflict.pk])


def undo_url(conflict: SyncConflict) -> str:
    """The address of the button that undoes how a conflict was settled."""
    return reverse("admin:conflicts_syncconflict_undo", args=[conflict.pk])


def refused_url(named: Named) -> str:
    """The address of the screen of a value that Monday refuses."""
    return reverse("admin:conflicts_syncconflict_refused_screen", args=named)


def see_other(address: str) -> HttpResponse:
    """Go to another page after a form was sent, so that reloading sends nothing again."""
    response = HttpResponseRedirect(address)
    response.status_code = HTTP_SEE_OTHER
    return response


def _screen(pk: UUID | None) -> str:
    return reverse("admin:conflicts_syncconflict_screen", args=[pk]) if pk else ""


def _of_refused(named: Named | None) -> str:
    return refused_url(named) if named else ""
