"""What Monday refuses of one board: everything, or calls of one kind, which wait until a person has acted."""

import json
from datetime import timedelta

from sync import choices, registry
from sync.clock import sync_now
from sync.kernel.db import run_sql
from sync.limits import write_stop
from sync.models import BoardLink
from sync.models.activity import STOP_END_KIND, STOP_KIND, log_event
from sync.models.board_link import EVERYTHING
from sync.monday.errors import INVALID_DOCUMENT, MondayError

# A read that is invalid stays one until NPD Sync, or the version that answers, is another.
INVALID_DOCUMENT_WAIT = 900

# By the stored ones: of two workers each may stop another kind of call.
_STORE = "UPDATE sync_board_links SET stops = stops - %s || %s::jsonb WHERE id = %s"


def stop(link: BoardLink, error: MondayError, kind: str = EVERYTHING) -> None:
    """Stop the board, or its calls of one kind; it is tried again as late as Monday asks, and ever less often."""
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
    """End the stop of the board, or of its calls of one kind: Monday has carried out one."""
    if kind not in link.stops:
        return
    _store(link, kind, {})
    log_event(STOP_END_KIND, f"Sync goes on: {registry.board_title(link.entity_type)}.", entity_type=link.entity_type)
    if kind != EVERYTHING:
        write_stop.release_held()


def refusal(link: BoardLink, kind: str) -> tuple[str, float]:
    """Return why calls of this kind wait on the board, and for how many seconds; an empty text where they don't."""
    refused = link.stop_of(kind)
    seconds = (refused.until - sync_now()).total_seconds() if refused else 0
    return (refused.reason, seconds) if refused and seconds > 0 else ("", 0)


def try_refused_again() -> bool:
    """Let every kind of call that Monday refused be tried now; return whether there was any."""
    refused = [(link, kind) for link in BoardLink.objects.all() for kind in link.stops if kind != EVERYTHING]
    for link, kind in refused:
        _store(link, kind, {})
    if refused:
        write_stop.release_held()
    return bool(refused)
