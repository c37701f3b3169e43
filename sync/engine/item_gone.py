"""Linked records whose item is gone: left alone for a while, then the board link's policy or a person decides.

“Gone” is what the item says of itself when it is asked for by its id, while the board itself answers `active`
(parse_look), and still says after the quiet time: Monday has an undo. What Monday doesn't show is never deleted here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from django.conf import settings

from sync.authors import monday_people, name_on_monday
from sync.choices import GuardState, ItemGone, SyncDirection
from sync.clock import sync_now
from sync.connectors.monday.items import Item
from sync.engine.gone import ARCHIVED, DELETED, MISSING, MOVED, SAID_SO, STATES, Act, Gone
from sync.engine.gone_again import TOO_OFTEN, made_too_often
from sync.engine.gone_edits import edits, is_in_dispute
from sync.engine.gone_guard import guard_deletions, release_unwanted, turned_down
from sync.engine.gone_words import act_of, asked, happened, needs, options, way_back
from sync.engine.paused import hold_gone
from sync.engine.subjects import Batch, Outcome, Subject
from sync.engine.unlinking import unlink
from sync.hooks import KIND_DELETE, RECORD, Choice
from sync.models import BoardLink, WebhookEvent

LOOKS_BEFORE_ASKING = 3
"""How often an item has to be missing from Monday's answers before a person is asked; looks are a quiet time apart."""
_TOLD = {"archive_pulse": ARCHIVED, "delete_pulse": DELETED}
_POLICIES = {ItemGone.UNLINK: Act.UNLINK, ItemGone.DELETE: Act.DELETE, ItemGone.CREATE: Act.CREATE}


def state_of(batch: Batch, subject: Subject, item: Item | None) -> str:
    """Return in which way a linked record's item is gone, an empty text where it is on its board.

    An item that was deleted when it was last seen, and is not shown any more, is deleted: Monday forgets it in time.
    """
    if item is None:
        return DELETED if subject.ledger.remote_state == DELETED else MISSING
    if item.state != "active":
        return item.state if item.state in SAID_SO else MISSING
    elsewhere = item.board_id and item.board_id != batch.board.link.board_id
    return MOVED if elsewhere else ""


def is_back(subject: Subject) -> None:
    """The item is on its board: whatever was known of its absence is over."""
    if subject.ledger.gone_since and subject.ledger.remote_state in STATES:
        subject.say("restored", "Its item is on the board again.")
    subject.ledger.gone_since, subject.ledger.gone_looks = None, 0
    subject.ledger.remote_state = "active"


def decide_gone(batch: Batch) -> None:
    """End every open subject whose item is gone: quiet for now, acted on, held, or asked about."""
    subjects = [subject for subject in batch.open if subject.gone]
    if not subjects:
        return
    link = batch.board.link
    # As it is now, and not as it was when the board was taken: a run may last for minutes.
    link.item_gone = BoardLink.objects.values_list("item_gone", flat=True).get(pk=link.pk)
    now, who, kept = sync_now(), _who_took_away(subjects), turned_down(batch, subjects)
    again = made_too_often(subjects) if link.item_gone == ItemGone.CREATE else set()
    for subject in subjects:
        who_did = who.get(subject.record.monday_id or "", "")
        _decide(batch, subject, now, who_did, kept.get(subject.id, ""))
        if subject.id in again:
            _ask_instead(subject)
    hold_gone(batch, subjects)
    release_unwanted(batch, [s for s in subjects if s.gone and s.gone.asks and s.gone.act is not Act.DELETE])
    guard_deletions(batch, [s for s in subjects if s.gone and s.gone.act is Act.DELETE])


def _decide(batch: Batch, subject: Subject, now: datetime, who: str, kept: str) -> None:
    assert subject.gone is not None
    state = subject.gone.state
    since = _remember(subject, state, now)
    board = subject.item.board_id if subject.item else ""
    happening = happened(subject, state, who, board or "")
    if since == now and subject.record.may_sync:
        subject.say("gone", happening)
    if not subject.record.may_sync:
        return subject.end(Outcome.SETTLED, note=f"{happening} Nothing was sent.")
    if (wait := _quiet(subject, state, since, now)) > 0:
        return _wait(subject, happening, state, wait)
    fields = edits(batch, subject, subject.item)
    what = asked(happening, [_label(batch, conflict.key) for conflict in fields])
    gone = replace(subject.gone, what=what, fields=fields, options=options(subject, state))
    subject.gone = _turned_down(_with_act(batch, subject, gone), kept)
    _act_or_ask(subject, subject.gone)
    return None


def _remember(subject: Subject, state: str, now: datetime) -> datetime:
    """Note that the item was found gone once more; return since when it is."""
    ledger = subject.ledger
    known = ledger.gone_since if ledger.remote_state in STATES else None
    ledger.gone_looks = (ledger.gone_looks or 0) + 1 if known and ledger.remote_state == state else 1
    ledger.gone_since, ledger.remote_state = known or now, state
    return ledger.gone_since


def _quiet(subject: Subject, state: str, since: datetime, now: datetime) -> float:
    """Seconds until the absence counts; what Monday merely doesn't show has to be missed several times."""
    quiet = float(settings.GONE_QUIET_SECONDS)
    left = quiet - (now - since).total_seconds()
    if state == MISSING and subject.ledger.gone_looks < LOOKS_BEFORE_ASKING and not _is_asked(subject):
        return max(left, quiet)
    return left


def _is_asked(subject: Subject) -> bool:
    return any(conflict.kind == KIND_DELETE for conflict in subject.conflicts)


def _wait(subject: Subject, happening: str, state: str, seconds: float) -> None:
    subject.wait_seconds = seconds
    minutes = max(1, round(seconds / 60))
    waits = f"{minutes} minute{'s' if minutes > 1 else ''}"
    words = (
        f"{happening} Nothing was changed in NPD, and nothing is sent. It is looked at again in {waits}; until "
        f"then you may {way_back(state)}."
    )
    subject.end(Outcome.SNOOZED, words, note=words)


def _with_act(batch: Batch, subject: Subject, gone: Gone) -> Gone:
    """Decide by what a person chose, else by the policy where nothing was edited."""
    choice = _choice(subject)
    if choice is not None:
        return _by_choice(subject, gone, choice)
    act = _policy(batch, subject, gone)
    return replace(gone, act=act, by="as this board's setting says" if act else "")


def _turned_down(gone: Gone, kept: str) -> Gone:
    """What a person didn't approve stays undone (`kept` as turned_down() says); a choice made later is a new wish."""
    if not kept or gone.act is not Act.DELETE or (gone.chosen and kept != GuardState.REJECTED):
        return gone
    problem = "Deleting this record was not approved." if gone.chosen else ""
    return replace(gone, act=Act.NOTHING, problem=problem)


def _act_or_ask(subject: Subject, gone: Gone) -> None:
    if not gone.act:
        subject.end(Outcome.SETTLED, note=f"{gone.what} A person has to say what becomes of the record.")
        return
    subject.end(Outcome.SETTLED, note="")
    if gone.act is Act.UNLINK:
        unlink(subject, f"{_reason(gone)}, {gone.by}")


def _ask_instead(subject: Subject) -> None:
    """What takes the item away takes every new one away too: a person has to say what becomes of it."""
    gone = subject.gone
    if gone is None or gone.act is not Act.CREATE or gone.chosen:
        return
    subject.gone = replace(gone, act=Act.NOTHING, by="", what=f"{gone.what} {TOO_OFTEN}")
    _act_or_ask(subject, subject.gone)


def _reason(gone: Gone) -> str:
    return {ARCHIVED: "its item was archived", DELETED: "its item was deleted"}.get(
        gone.state, "its item is gone"
    )


def _choice(subject: Subject) -> Choice | None:
    found = (c.choices.get(RECORD) for c in subject.conflicts if c.kind == KIND_DELETE)
    return next((choice for choice in found if choice is not None), None)


def _by_choice(subject: Subject, gone: Gone, choice: Choice) -> Gone:
    """A choice holds for exactly the values that its author saw, and while its way out is open."""
    seen = {key: (npd or None, monday or None) for key, (npd, monday) in choice.seen.items()}
    now = {conflict.key: (conflict.npd, conflict.monday) for conflict in gone.fields}
    chosen = next(
        (o for o in gone.options if (o.choose, o.value) == (choice.choose, choice.value or "")), None
    )
    if seen != now:
        problem = "The record was edited after you chose. Look at the values of now, then choose again."
        return replace(gone, problem=problem)
    if chosen is None:
        return replace(gone, problem=_not_offered(subject, choice))
    return replace(gone, act=act_of(chosen), by="as a person chose", chosen=True)


def _not_offered(subject: Subject, choice: Choice) -> str:
    needed = needs(subject.record)[0] if choice.choose == "monday" else ""
    return needed or "This is not possible any more as things stand. Choose another way out."


def _policy(batch: Batch, subject: Subject, gone: Gone) -> Act:
    """What the board link says of a record that stands as both sides agreed; nothing where it can't decide."""
    act = _POLICIES.get(ItemGone(batch.board.link.item_gone), Act.NOTHING)
    if gone.fields or is_in_dispute(subject) or gone.state not in SAID_SO or subject.item is None:
        return Act.NOTHING
    direction = subject.record.sync_direction
    against = {Act.CREATE: SyncDirection.MONDAY_TO_NPD, Act.DELETE: SyncDirection.NPD_TO_MONDAY}
    if direction == against.get(act) or (act is Act.DELETE and any(needs(subject.record))):
        return Act.NOTHING
    return act


def _who_took_away(subjects: Iterable[Subject]) -> dict[str, str]:
    """Who archived or deleted these items, by name, as far as webhooks told: item id → name."""
    ids = [subject.record.monday_id for subject in subjects]
    events = WebhookEvent.objects.filter(item_id__in=ids, type__in=_TOLD).order_by("id")
    users = {str(e.item_id): str((e.body.get("event") or {}).get("userId") or "") for e in events}
    people = monday_people() if users else {}
    return {
        item: name_on_monday(user, people).removesuffix(" on Monday") for item, user in users.items() if user
    }


def _label(batch: Batch, key: str) -> str:
    return next((mapping.label for mapping in batch.board.mappings if mapping.key == key), key)
