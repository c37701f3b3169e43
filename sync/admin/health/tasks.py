"""What needs a person: each thing with its cause, what it means, and one button."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Model
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from sync import registry
from sync.admin import words
from sync.admin.guard_words import WHAT, figures_of
from sync.admin.health.boards import BoardHealth
from sync.admin.health.reading import Needs
from sync.admin.held_reading import held_url
from sync.admin.status import refused_list_url
from sync.audit.figures import together
from sync.drift_titles import renamed
from sync.models import BoardLink, GuardedAct, SyncAudit, SyncMetadata, SyncQueue
from sync.sweeps.reports import troubles

DRIFT_MEND = gettext_lazy(
    "`manage.py sync_reconcile` looks at all records, `manage.py monday_check` says whether webhooks come."
)
SHORTENED = 160


@dataclass(frozen=True)
class Task:
    """Something that waits for a person, with the one page on which it is done."""

    what: str
    why: str
    url: str
    button: str
    icon: str
    kind: str = "warn"


@dataclass(frozen=True)
class Known:
    """What tasks are made of, all of one moment.

    `set_up` is whether any board is, for else the page says where to begin; `dead` is how many rows have stopped after
    all tries.
    """

    boards: Sequence[BoardHealth]
    set_up: bool
    links: Mapping[str, BoardLink]
    needs: Needs
    dead: int
    now: datetime


Sees = Callable[[type[Model]], bool]
"""Whether a person may see the rows of a model."""


def tasks(known: Known, sees: Sees) -> list[Task]:
    """Return what this person may see of it, the gravest first."""
    found = [*(_stopped(known.boards) if known.set_up else ()), *_paused(known.boards)]
    parts: tuple[tuple[type[Model], Callable[[Known], Iterator[Task]]], ...] = (
        (BoardLink, _troubled),
        (GuardedAct, _to_approve),
        (SyncAudit, _drift),
        (SyncQueue, _dead),
        (SyncMetadata, _held),
        (SyncMetadata, _loops),
    )
    for model, told in parts:
        found += told(known) if sees(model) else []
    return found


def _stopped(boards: Sequence[BoardHealth]) -> Iterator[Task]:
    by_reason: dict[str, list[str]] = {}
    for board in boards:
        if board.reason and not board.is_paused:
            by_reason.setdefault(board.reason, []).append(board.title)
    guide = reverse("admin:connect_monday")
    for reason, titles in by_reason.items():
        what = _("%(boards)s: no sync now") % {"boards": _(" and ").join(titles)}
        yield Task(what, reason, guide, _("See what to do"), "block", "bad")


def _paused(boards: Sequence[BoardHealth]) -> Iterator[Task]:
    by_reason: dict[str, list[str]] = {}
    for board in boards:
        if board.is_paused:
            by_reason.setdefault(board.reason, []).append(board.title)
    for reason, titles in by_reason.items():
        what = _("%(boards)s: paused") % {"boards": _(" and ").join(titles)}
        yield Task(what, reason, queue_url(), _("Open the queue"), "pause_circle")


def _troubled(known: Known) -> Iterator[Task]:
    """Columns that are gone, webhooks that don't come, sweeps that can't be finished."""
    for spec in registry.entities():
        link = known.links.get(spec.entity_type)
        if link is None:
            continue
        url = reverse("admin:sync_boardlink_change", args=[link.pk])
        for one in troubles(link, spec.board_title, known.needs.columns.get(spec.entity_type, [])):
            if one.about == "columns":
                yield Task(one.what, words.plain(one.why), held_url(), _("See the ways out"), one.icon, "bad")
            else:
                yield Task(one.what, words.plain(one.why), url, _("Open the board"), one.icon, "bad")
        yield from (Task(one.words, "", held_url(), _("Look"), "edit", "wait") for one in renamed(link))


def _dead(known: Known) -> Iterator[Task]:
    if known.dead:
        what = ngettext(
            "%(number)s row stopped after all tries", "%(number)s rows stopped after all tries", known.dead
        ) % {"number": f"{known.dead:,}"}
        yield Task(
            what,
            _newest(known.needs.newest_dead),
            queue_url("status__exact=failed"),
            _("Look and retry"),
            "error",
            "bad",
        )


def _newest(reason: str) -> str:
    said = words.shorten(words.plain(reason), SHORTENED)
    return _("The newest: %(reason)s") % {"reason": said} if said else ""


def _to_approve(known: Known) -> Iterator[Task]:
    groups = known.needs.guarded
    number = sum(one.acts for one in groups)
    if not number:
        return
    what = ngettext(
        "%(number)s delete or emptied field to approve",
        "%(number)s deletes and emptied fields to approve",
        number,
    ) % {"number": f"{number:,}"}
    told = " ".join(WHAT[one.kind].format(**figures_of(one)) for one in groups)
    url = f"{reverse('admin:sync_guardedact_changelist')}?state__exact=held"
    yield Task(what, told, url, _("Decide"), "gpp_maybe")


def _drift(known: Known) -> Iterator[Task]:
    found = together(known.needs.samples.values())
    if not found.drifted:
        return
    what = ngettext(
        "%(number)s record said “synced” and differed",
        "%(number)s records said “synced” and differed",
        found.drifted,
    ) % {"number": f"{found.drifted:,}"}
    url = reverse("admin:sync_syncaudit_changelist")
    yield Task(what, f"{found.words(known.now)} {DRIFT_MEND}", url, _("Look"), "difference", "bad")


def _held(known: Known) -> Iterator[Task]:
    found = known.needs.held
    if found.fields:
        what = _("%(fields)s of %(records)s can’t flow") % _figures(found.fields, found.records)
        settled_at = refused_list_url() if found.refused else ""
        url, button = (settled_at, _("Decide")) if settled_at else (held_url(), _("Look"))
        yield Task(what, _newest(found.reason), url, button, "front_hand")


def _loops(known: Known) -> Iterator[Task]:
    found = known.needs.loops
    if not found.fields or found.until is None:
        return
    what = _("%(fields)s of %(records)s rewritten again and again") % _figures(found.fields, found.records)
    why = _(
        "On the board, %(who)s writes another value after each of our writes, so nothing is sent until "
        "%(until)s UTC. Stop the automation that does it, or change the field's direction."
    ) % {"who": found.by or _("somebody"), "until": f"{found.until:%d %b, %H:%M}"}
    yield Task(what, why, reverse("admin:sync_boardlink_loops"), _("See the ways out"), "sync_problem")


def _figures(fields: int, records: int) -> dict[str, str]:
    return {
        "fields": ngettext("%(n)s field", "%(n)s fields", fields) % {"n": f"{fields:,}"},
        "records": ngettext("%(n)s record", "%(n)s records", records) % {"n": f"{records:,}"},
    }


def queue_url(query: str = "", part: str = "") -> str:
    """Return the address of the queue's list with filters, or of a part of its page."""
    listed = reverse("admin:sync_syncqueue_changelist")
    return f"{listed}{'?' + query if query else ''}{'#' + part if part else ''}"
