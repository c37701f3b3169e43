"""A confirmed set-up is carried out: board, columns, mappings, links, webhooks, records. Safe to begin again anywhere.

Nothing flows before the one transaction that stores the board link: in it stand the mappings, the links that a
person confirmed, and the records that stay out. From then on the ordinary looks do the work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from sync import account, backfill, drift, registry, wake
from sync.backfill.later import Later
from sync.boards import link_of
from sync.choices import Cause, Priority
from sync.connectors.monday.answers import Answer, Api
from sync.connectors.monday.boards import Board, read_boards
from sync.connectors.monday.setup import BoardSetup, BoardSpec, ColumnSpec, ensure_board
from sync.enqueue import enqueue_many
from sync.models import BoardLink, SetupDraft, SetupState
from sync.models.synced import unsynced
from sync.registry import EntitySpec
from sync.setup import begin_with_board, choose_group, look_again, register_webhooks
from sync.setup_columns import NPD_ID_KEY, NPD_ID_TITLE
from sync.sweeps.handing import wake_items
from sync.wizard.boards import columns_told
from sync.wizard.confirming import BULK, totals
from sync.wizard.drafts import draft_of, fields_of, link_with, npd_id_of
from sync.wizard.fields import MAKE, Chosen, Wanted, chosen_of, why_not
from sync.wizard.meanwhile import WAS, changed_since, standing_of
from sync.wizard.people import carry_out_answers
from sync.wizard.storing import store_mappings

Keep = Callable[..., None]
"""Stores values on the draft while this worker still has it; raises Overtaken."""
Wait = Callable[[float, str], None]


class Stopped(RuntimeError):
    """The set-up can't be carried out as it was drawn up; the message says why and what to do."""


class NotYet(RuntimeError):
    """Another set-up has to come first; the message says which, and it is tried again."""


@dataclass(frozen=True)
class _Held:
    """An API of which each call holds the draft on: many slow ones take longer than it is held for."""

    api: Api
    keep: Keep

    def execute(
        self, document: str, variables: Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> Answer:
        """Send one document."""
        self.keep()
        return self.api.execute(document, variables, idempotency_key=idempotency_key)


def apply(draft: SetupDraft, keep: Keep, wait: Wait) -> dict[str, Any]:
    """Carry a confirmed set-up out and return what was done, in words; raises Stopped, NotYet, MondayError."""
    spec, api = registry.entity(draft.entity_type), _Held(account.client(urgent=True), keep)
    done: list[str] = []
    keep(progress=_("Looking at the board"))
    board = _board(draft, spec, api, keep, done)
    keep(progress=_("Making what is missing on the board"))
    made = ensure_board(api, BoardSpec(spec.entity_type, spec.board_title, board.id, _columns(draft, board)))
    done += [_("made the %(what)s") % {"what": words} for words in made.created]
    keep(progress=_("Storing the mappings"))
    link = _store(draft, spec, made, done, keep)
    drift.look_at_board(link)
    keep(progress=_("Registering the webhooks"))
    hooks, problems = register_webhooks(spec, link, api)
    keep(progress=_("Putting the records on the board"))
    problems += _records(draft, spec, keep, wait)
    return {**draft.outcome, "done": [*done, *hooks], "problems": problems}


def _board(draft: SetupDraft, spec: EntitySpec, api: Api, keep: Keep, done: list[str]) -> Board:
    """The board as it is now: made where one is to be, refused where it doesn't fit the draft any more."""
    if not draft.board_id:
        made = ensure_board(
            api,
            BoardSpec(spec.entity_type, spec.board_title, None, []),
            keep=lambda board_id: keep(board_id=board_id, outcome={**draft.outcome, "made_board": True}),
        )
        draft.refresh_from_db()
        done += [_("made the %(what)s") % {"what": words} for words in made.created]
    board = read_boards(api, [draft.board_id]).get(draft.board_id)
    if board is None or not board.is_active:
        raise Stopped(
            _(
                "The board “%(name)s” is gone from Monday, or hidden from the token's user. Restore it, or choose "
                "another."
            )
            % {"name": draft.board_name or draft.board_id}
        )
    told = columns_told(api, board)
    for one, choice in _synced(draft):
        if choice.column == MAKE or one.is_name:
            continue
        reason = (
            why_not(one, told[choice.column])
            if choice.column in told
            else _("It is not on the board any more.")
        )
        if reason:
            raise Stopped(
                _("%(field)s can't have its column: %(reason)s Choose another column.")
                % {"field": one.label, "reason": reason}
            )
    return board


def _synced(draft: SetupDraft) -> list[tuple[Wanted, Chosen]]:
    chosen = chosen_of(draft.fields)
    pairs = ((one, chosen.get(one.key, Chosen())) for one in fields_of(draft.entity_type))
    return [(one, choice) for one, choice in pairs if choice.synced]


def _columns(draft: SetupDraft, board: Board) -> Sequence[ColumnSpec]:
    """The columns that are chosen, then those to be made: what is chosen must not be taken for what is missing."""
    chosen, make = [], []
    for one, choice in _synced(draft):
        if one.is_name:
            continue
        target = one.target_board or None
        if choice.column == MAKE:
            if one.target and target is None:
                _wait_for(one)
                raise Stopped(
                    _("%(field)s needs the board of the %(other)s records, which isn't set up. Set it up, too, or "
                      "leave the field out.") % {"field": one.label, "other": one.target}
                )  # fmt: skip
            make.append(
                ColumnSpec(one.key, one.label, one.made_type, _free_id(one, board), target_board=target)
            )
        elif (column := board.column(choice.column)) is not None:
            chosen.append(ColumnSpec(one.key, column.title, column.type, column.id, target_board=target))
    npd_id = ColumnSpec(NPD_ID_KEY, NPD_ID_TITLE, "text", npd_id_of(draft) or NPD_ID_KEY)
    return [*chosen, npd_id, *make]


def _free_id(one: Wanted, board: Board) -> str | None:
    """The id that its column is to have; none where a column that is another thing has it: that stays as it is."""
    there = board.column(one.preferred_id)
    same = there is None or there.title.strip().casefold() == one.label.strip().casefold()
    return one.preferred_id if same else None


def _wait_for(one: Wanted) -> None:
    """The board that a relation leads to may be about to be made, by a set-up that was confirmed as well."""
    other = draft_of(one.target)
    if other is not None and other.state == SetupState.RUNNING:
        said = _("Waits for the board of the %(other)s records, which is being made.")
        raise NotYet(said % {"other": one.target})


@transaction.atomic
def _store(draft: SetupDraft, spec: EntitySpec, board: BoardSetup, done: list[str], keep: Keep) -> BoardLink:
    BoardLink.objects.get_or_create(entity_type=spec.entity_type, defaults={"match_key": spec.match_key})
    link = BoardLink.objects.select_for_update().get(entity_type=spec.entity_type)
    if since := changed_since(draft, link_with(draft), fields_of(spec.entity_type)):
        said = _(
            "Settings were changed elsewhere after the plan was confirmed: %(what)s. Look at the plan again."
        )
        raise Stopped(said % {"what": since})
    if link.board_id != board.board_id:
        begin_with_board(link, board.board_id, made=bool(draft.outcome.get("made_board")))
    done += choose_group(link, board)
    column = board.columns[NPD_ID_KEY].id
    moved = link.npd_id_column not in ("", column)
    link.npd_id_column, link.creates_records = column, draft.creates_records
    link.blocked_until, link.blocked_reason = None, ""
    link.save(
        update_fields=["group_id", "npd_id_column", "creates_records", "blocked_until", "blocked_reason"]
    )
    drift.set_npd_id_problem(link, "")
    words, again = store_mappings(draft, link, board)
    done += words
    if again or moved:
        done += look_again(spec)
    done += carry_out_answers(draft, spec)
    if totals(draft)["create"] >= BULK:
        Later(spec.entity_type, _without_item(spec)).__enter__()
    # In the same transaction: begun again after this, the run is to find what it wrote itself.
    keep(outcome={**draft.outcome, WAS: standing_of(link_with(draft))})
    return link


def _without_item(spec: EntitySpec) -> list[UUID]:
    records = spec.model._default_manager.filter(monday_id=None).exclude(unsynced())
    return list(records.order_by("created_at", "pk").values_list("pk", flat=True))


def _records(draft: SetupDraft, spec: EntitySpec, keep: Keep, wait: Wait) -> list[str]:
    """Have every record looked at: many new ones travel in bulk; return what went wrong, in words."""
    problems: list[str] = []
    if (open_one := backfill.open_backfill(spec.entity_type)) is not None:
        backfill.drive(open_one, wait=wait)
    if totals(draft)["create"] >= BULK:
        problems += _in_bulk(draft, spec, keep, wait)
    with transaction.atomic():
        enqueue_many(spec.entity_type, _without_item(spec), cause=Cause.SWEEP, priority=Priority.BACKFILL)
        link = link_of(spec.entity_type)
        if draft.creates_records and link is not None:
            wake_items(link, _items_to_take(draft), cause=Cause.SWEEP)
    wake.send(spec.entity_type)
    return problems


def _items_to_take(draft: SetupDraft) -> Iterable[str]:
    """Items that no record has; those that were left out are remembered as refused, and passed over by that."""
    return set(draft.found.get("free", []))


def _in_bulk(draft: SetupDraft, spec: EntitySpec, keep: Keep, wait: Wait) -> list[str]:
    try:
        seen = backfill.preview(spec, lambda done, of: keep())
        if len(seen.create.ids) < BULK:
            return []
        done = backfill.run(seen, by=str(draft.outcome.get("by", "")), wait=wait)
    except backfill.Impossible as why:
        return [_("The bulk import was not used: %(why)s The records are created one by one.") % {"why": why}]
    return [one.problem for one in done if one.problem]
