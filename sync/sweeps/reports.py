"""What sweeps and comparisons found out about each board, in words: for the admin and for `monday_check`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from sync import moments, registry
from sync.boards import link_of
from sync.choices import SyncDirection
from sync.clock import sync_now
from sync.connectors.monday.doctor import Finding
from sync.models import BoardLink, FieldMapping
from sync.sweeps.timing import LATEST, interval


@dataclass(frozen=True)
class Trouble:
    """Something wrong with a board that stops part of the sync: what, why and what to do; `icon` is for the admin."""

    what: str
    why: str
    icon: str
    about: str


def troubles(
    link: BoardLink, title: str, mappings: Sequence[FieldMapping] | None = None
) -> Iterator[Trouble]:
    """What is wrong with this board, the gravest first; `mappings`: its troubled ones, where they are read already."""
    if link.npd_id_problem:
        what = f"{title}: nothing new is made: the NPD ID column is missing"
        yield Trouble(what, link.npd_id_problem, "key_off", "columns")
    for mapping in troubled_mappings(link) if mappings is None else mappings:
        yield Trouble(f"{title}: {mapping.label} is held", mapping.problem, "view_column", "columns")
    if link.silence:
        yield Trouble(f"{title}: webhooks have fallen silent", link.silence, "notifications_off", "webhooks")
    if link.webhooks_problem:
        what = f"{title}: its webhooks are not all there"
        yield Trouble(what, link.webhooks_problem, "webhook", "webhooks")
    if link.sweep_problem:
        what = f"{title}: what webhooks missed is not fully known"
        yield Trouble(what, link.sweep_problem, "manage_search", "sweeps")


def troubled_mappings(link: BoardLink) -> list[FieldMapping]:
    """The mappings whose column can't be used."""
    return list(link.mappings.exclude(problem="").exclude(direction=SyncDirection.NONE))


def findings() -> Iterator[Finding]:
    """What was stored, as `monday_check` tells it; columns and webhooks that are gone it asks for itself."""
    for spec in registry.entities():
        link = link_of(spec.entity_type)
        if link is None or not link.board_id:
            continue
        for trouble in troubles(link, spec.board_title):
            if trouble.about != "columns":
                yield Finding(False, f"{trouble.what}.", trouble.why, trouble.about)
        yield from _late(link, spec.board_title)


def _late(link: BoardLink, title: str) -> Iterator[Finding]:
    """Whether sweeps are made at all; three may be left out before it is said."""
    if link.swept_at is None or link.sweep_problem:
        return
    if sync_now() - link.swept_at > 3 * interval():
        what = _("%(title)s: no sweep for missed webhooks since %(at)s.") % {
            "title": title,
            "at": moments.day_and_time(link.swept_at),
        }
        yield Finding(
            True, what, "Start beat and a worker; look into the worker's log.", "sweeps", warning=True
        )
    else:
        yield Finding(True, f"{title}: {swept_line(link)}", about="sweeps")


def swept_line(link: BoardLink) -> str:
    """When the board was last asked what changed, as a sentence."""
    if link.swept_at is None:
        return _("Not swept yet: the worker's first sweep begins some minutes after the set-up.")
    return _("Asked what changed at %(at)s; asked every %(span)s.") % {
        "at": moments.day_and_time(link.swept_at),
        "span": _minutes(),
    }


def compared_line(link: BoardLink) -> str:
    """When both sides were last compared, and what came of it."""
    if link.compared_at is None:
        return _("Not compared yet: both sides are compared every night.")
    late = sync_now() - link.compared_at > LATEST
    at = _("Compared at %(at)s.") % {"at": moments.day_and_time(link.compared_at)}
    line = f"{at} {link.compared}"
    return f"{line} {_('That is more than a day ago: start beat and a worker.')}" if late else line


def _minutes() -> str:
    minutes = round(interval().total_seconds() / 60)
    if minutes < 120:
        return ngettext("%(n)s minute", "%(n)s minutes", minutes) % {"n": minutes}
    hours = round(minutes / 60)
    return ngettext("%(n)s hour", "%(n)s hours", hours) % {"n": hours}
