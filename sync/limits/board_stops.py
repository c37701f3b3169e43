"""Stops of one board, or of its calls of one kind, after Monday refused them; they last until a person has acted."""

import json
from datetime import timedelta

from sync import choices, registry
from sync.clock import sync_now
from sync.kernel.db import run_sql
from sync.limits import write_stop
from sync.models import BoardLink
from sync.models.board_link import EVERYTHING
from sync.models.decisions import STOP_END_KIND, STOP_KIND, log_event
from sync.monday.errors import INVALID_DOCUMENT, MondayError

# An invalid read stays invalid until NPD Sync or the version of Monday's API changes.
INVALID_DOCUMENT_WAIT = 900

# Changes one entry of the stored column, because two workers may stop different kinds of calls at once.
_STORE = "UPDATE sync_board_links SET stops = stops - %s || %s::jsonb WHERE id = %s"


def stop(link: BoardLink, error: MondayError, kind: str = EVERYTHING) -> None:
    """Stop the board, or its calls of one kind. Waits grow, and are never shorter than what Monday asks for."""
    before = link.stop_of(kind)
    since = before.since if before else None
    wait = max(error.wait_seconds or 0, write_stop.wait_for_person(since))
    if kind == EVERYTHING and error.kind is INVALID_DOCUMENT:
        wait = max(wait, INVALID_DOCUMENT_WAIT)
    now = sync_now()
    until = now + timedelta(seconds=wait)
    reason = error.lasting_sentence if kind == EVERYTHING else f"{write_stop.WRITES_STOPPED} {error.lasting_sentence}"
    entry = {"since": (since or now).isoformat(), "until": until.isoformat(), "reason": reason}
    _store(link, kind, {kind: entry})
    if before is None:
        title = "Sync stopped" if kind == EVERYTHING else choices.REFUSED_WORDS[kind]
        sentence = f"{title}: {registry.board_title(link.entity_type)}. {error.lasting_sentence}"
        log_event(STOP_KIND, sentence, entity_type=link.entity_type)


def _store(link: BoardLink, kind: str, stops: dict[str, dict[str, str]]) -> None:
    run_sql(_STORE, [kind, json.dumps(stops), link.pk])
    others = {other: entry for other, entry in link.stops.items() if other != kind}
    link.stops = others | stops


def end(link: BoardLink, kind: str = EVERYTHING) -> None:
    """End the stop of the board, or of its calls of one kind, because Monday has carried out such a call."""
    if kind not in link.stops:
        return
    _store(link, kind, {})
    log_event(STOP_END_KIND, f"Sync goes on: {registry.board_title(link.entity_type)}.", entity_type=link.entity_type)
    if kind != EVERYTHING:
        write_stop.release_held()


def refusal(link: BoardLink, kind: str) -> tuple[str, float]:
    """Return why calls of this kind wait on the board, and for how many seconds; an empty text if they don't."""
    refused = link.stop_of(kind)
    seconds = (refused.until - sync_now()).total_seconds() if refused else 0
    return (refused.reason, seconds) if refused and seconds > 0 else ("", 0)


def try_refused_again() -> bool:
    """Make all kinds of calls that Monday refused due now; return whether there were any."""
    refused = [(link, kind) for link in BoardLink.objects.all() for kind in link.stops if kind != EVERYTHING]
    for link, kind in refused:
        _store(link, kind, {})
    if refused:
        write_stop.release_held()
    return bool(refused)
