"""Tags that a look needs and that Monday doesn't have yet: made before the values that name them are sent.

Making one that is there already finds it (developer.monday.com/api-reference/reference/tags-1), so this call may be
repeated and needs no intent.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from sync import account
from sync.budget import sending
from sync.choices import QueueDirection
from sync.connectors.monday.errors import MondayError, Scope
from sync.connectors.monday.tags import create_tags, parse_tags
from sync.engine.planned import Planned
from sync.engine.refusals import call_failed
from sync.engine.subjects import Batch, Subject
from sync.pausing import is_paused

_REFUSALS = frozenset({Scope.FIELD, Scope.COLUMN, Scope.RECORD, Scope.DOCUMENT, Scope.BOARD})
"""Refusals of the tag itself. That this token may make none here is no reason to leave the board alone."""

TAGS_PER_CALL = 50
"""Half of the smallest plan's minute: what was made is there the next time, where the rest found no room."""


def make_tags(batch: Batch) -> None:
    """Make what is missing before it is named; a value with a tag that Monday refuses is held alone."""
    _learn_read_tags(batch)
    needing = [(subject, planned) for subject in batch.open for planned in _needing(subject)]
    names = missing_tags(batch)
    if not names or is_paused(batch.board.link.entity_type, QueueDirection.TO_MONDAY):
        return
    refused: dict[str, MondayError] = {}
    try:
        for start in range(0, len(names), TAGS_PER_CALL):
            refused |= _made(batch, names[start : start + TAGS_PER_CALL])
    except MondayError as error:
        call_failed(batch, [subject for subject in batch.open if _needing(subject)], error)
        return
    for _, planned in needing:
        if left := [name for name in _missing(planned) if name in refused]:
            why = refused[left[0]]
            words = f"Monday refused to make the tag “{left[0]}”: {why.message.rstrip(' .')}. {why.advice}"
            planned.held(words, refused=True)


def missing_tags(batch: Batch) -> list[str]:
    """Return the names of the tags that would have to be made first."""
    return sorted({name for s in batch.open for planned in _needing(s) for name in _missing(planned)})


def _learn_read_tags(batch: Batch) -> None:
    """Remember the tags that the items bear, by which their webhooks are understood without a call."""
    read = [p.remote_raw for s in batch.subjects for p in s.planned.values() if p.mapping.converter == "tags"]
    batch.board.directory.learn_tags({t: name for raw in read if raw for t, name in raw["names"].items()})


def _needing(subject: Subject) -> list[Planned]:
    return [planned for planned in subject.planned.values() if _missing(planned)]


def _missing(planned: Planned) -> list[str]:
    return planned.convert.missing(planned.send_raw) if planned.send_raw is not None else []


def _made(batch: Batch, names: Sequence[str]) -> dict[str, MondayError]:
    """Make these tags and learn their ids; return what was refused, found by halving; raises MondayError."""
    batch.calls += 1
    try:
        document = create_tags(names, batch.board.link.board_id)
        with sending(batch.board.link, len(names), writes=True):
            answer = account.client().execute(*document, idempotency_key=uuid.uuid4().hex)
        batch.board.directory.learn_tags(parse_tags(answer, names))
    except MondayError as error:
        if error.scope not in _REFUSALS:
            raise
        if len(names) == 1:
            return {names[0]: error}
        half = len(names) // 2
        return _made(batch, names[:half]) | _made(batch, names[half:])
    return {}
