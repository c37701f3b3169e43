"""Set-up of the boards: link, mappings, columns and webhooks of every synced model, as often as one likes.

What an administrator changed is never overwritten: a mapping that is there keeps its settings, a board that
the environment names is used and not replaced.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from django.conf import settings
from django.db import transaction

from sync import account, directory, registry
from sync.boards import setting_of
from sync.choices import Cause, Priority, QueueDirection
from sync.connectors.monday.answers import Api
from sync.connectors.monday.errors import MondayError
from sync.connectors.monday.hooks import Hook, WebhooksIncomplete, ensure_webhooks
from sync.connectors.monday.setup import BoardSetup, BoardSpec, ensure_board, plan_board
from sync.drift import set_npd_id_problem
from sync.enqueue import enqueue_many
from sync.marks import mark_many_pending
from sync.models import BoardLink, MondayAccount, RefusedItem
from sync.models.synced import unsynced
from sync.registry import EntitySpec
from sync.setup_columns import NPD_ID_KEY, NPD_ID_TITLE, board_spec, make_mappings, optional_keys, store

__all__ = ["NOT_CONFIGURED", "NPD_ID_TITLE", "Outcome", "SetupError", "set_up", "set_up_all", "webhook_url"]

NOT_CONFIGURED = (
    "Monday isn't configured. Set MONDAY_API_KEY to an API token (on monday.com: your picture, Developers, "
    "My access tokens) and run `manage.py monday_setup` again."
)


class SetupError(RuntimeError):
    """Something that the set-up can't do by itself; the message says what to do."""


@dataclass(frozen=True)
class Outcome:
    """What the set-up of one model did, in words, and what is still missing."""

    entity: EntitySpec
    link: BoardLink
    done: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def set_up_all(requested: Collection[str] = ()) -> Iterator[Outcome]:
    """Set up every registered model, one after another; raises SetupError, MondayError.

    `requested` names optional columns to be made, such as "contact.organization".
    """
    if not account.is_configured():
        raise SetupError(NOT_CONFIGURED)
    _check_requested(requested)
    account.greet(urgent=True)
    _end_pause()
    client = account.client(urgent=True)
    directory.refresh(client)
    for spec in registry.entities():
        yield set_up(spec, client, requested)


def set_up(spec: EntitySpec, client: Api, requested: Collection[str] = ()) -> Outcome:
    """Make or adopt the board and its columns, then register what is missing of its webhooks.

    A webhook that can't be registered is a problem of the outcome; everything else is done by then.
    Raises SetupError for a board that is gone, MondayError.
    """
    link, _ = BoardLink.objects.get_or_create(
        entity_type=spec.entity_type, defaults={"match_key": spec.match_key}
    )
    make_mappings(spec, link)
    done = _ensure_board(spec, link, client)
    keys = [name.partition(".")[2] for name in requested if name.partition(".")[0] == spec.entity_type]
    board = ensure_board(client, board_spec(spec, link, keys))
    words, problems = _store(spec, link, board)
    hooks, without = register_webhooks(spec, link, client)
    return Outcome(spec, link, [*done, *words, *hooks], [*problems, *without])


def webhook_url() -> str:
    """The address to which Monday sends this installation's events; secret when it holds the token."""
    token = settings.MONDAY_WEBHOOK_TOKEN
    return f"{settings.SITE_URL}/webhooks/monday/" + (f"{token}/" if token else "")


def _check_requested(requested: Collection[str]) -> None:
    known = optional_keys()
    for name in requested:
        if name not in known:
            choices = ", ".join(known) or "none"
            raise SetupError(f"There is no optional column “{name}”. Those that can be made: {choices}.")


def _end_pause() -> None:
    """An answer ends a pause for being away."""
    MondayAccount.objects.filter(id=1, needs_probe=True).update(
        paused_until=None, pause_reason="", needs_probe=False, failures=0
    )


def _ensure_board(spec: EntitySpec, link: BoardLink, client: Api) -> list[str]:
    """Have a board, its id stored before anything else can fail, so that no run makes a second one."""
    wanted = setting_of(spec.entity_type) or link.board_id
    if wanted and plan_board(client, BoardSpec(spec.entity_type, spec.board_title, wanted, [])).board is None:
        raise SetupError(_board_gone(spec, wanted))
    if wanted == link.board_id != "":
        return []

    def keep(board_id: str) -> None:
        begin_with_board(link, board_id, made=True)

    board = ensure_board(client, BoardSpec(spec.entity_type, spec.board_title, wanted or None, []), keep=keep)
    if not board.made_board:
        begin_with_board(link, board.board_id, made=False)
    return [f"made the {words}" for words in board.created] or [f"now works with board {board.board_id}"]


def _board_gone(spec: EntitySpec, board_id: str) -> str:
    return (
        f"{spec.board_title}: board {board_id} is not on Monday any more, or the token's user can't see it. "
        "Restore it from Monday's archive or trash, or give the user access, or name another board in "
        f"{spec.board_setting}; then run `manage.py monday_setup` again."
    )


def begin_with_board(link: BoardLink, board_id: str, *, made: bool) -> None:
    """Another board than before: what was allowed on the old one is not allowed on it by itself.

    Only a board that the set-up made is sure to hold nothing but what people put there for NPD.
    """
    link.board_id, link.group_id, link.webhooks = board_id, "", {}
    link.made_by_setup = link.creates_records = made
    link.swept_to = link.swept_at = link.compared_at = link.webhooks_checked_at = None
    link.sweep_problem = link.webhooks_problem = link.silence = link.compared = link.npd_id_problem = ""
    link.shape, link.known_titles = {}, {}
    with transaction.atomic():
        RefusedItem.objects.filter(entity_type=link.entity_type).delete()
        link.save()


@transaction.atomic
def _store(spec: EntitySpec, link: BoardLink, board: BoardSetup) -> tuple[list[str], list[str]]:
    """Write down what is on Monday now; return what was done and what is wrong, both in words."""
    adopted = [] if link.npd_id_column else [f"uses the {words} that was there" for words in board.adopted]
    done = [*(f"made the {words}" for words in board.created), *adopted, *choose_group(link, board)]
    column = board.columns[NPD_ID_KEY].id
    moved, link.npd_id_column = link.npd_id_column not in ("", column), column
    link.blocked_until, link.blocked_reason = None, ""
    link.save(update_fields=["group_id", "npd_id_column", "blocked_until", "blocked_reason"])
    set_npd_id_problem(link, "")
    stored = store(spec, link, board)
    again = look_again(spec) if stored.look_again or moved else []
    return [*done, *stored.done, *again], stored.problems


def choose_group(link: BoardLink, board: BoardSetup) -> list[str]:
    """New items go to the topmost group, unless a person named another that still takes items."""
    before, group_id = link.group_id, board.group_id or ""
    if before in board.groups:
        return []
    link.group_id = group_id
    if not before:
        return []
    title = board.groups.get(group_id, group_id)
    return [f"new items go to the group “{title}” now, for the group {before} is archived or deleted"]


def look_again(spec: EntitySpec) -> list[str]:
    """A column made anew is empty, so no linked record is known to be in sync with it."""
    records = spec.model._default_manager.filter(monday_id__isnull=False).exclude(unsynced())
    # In the order of ids, as looks lock them. NO KEY: others may go on pointing at these records.
    locked = records.order_by("id").select_for_update(no_key=True, of=("self",))
    ids = list(locked.values_list("pk", flat=True))
    if not ids:
        return []
    mark_many_pending(spec.entity_type, ids)
    enqueue_many(
        spec.entity_type,
        ids,
        cause=Cause.SWEEP,
        priority=Priority.SWEEP,
        direction=QueueDirection.TO_NPD,
    )
    options = spec.model._meta
    noun = options.verbose_name if len(ids) == 1 else options.verbose_name_plural
    return [f"{len(ids):,} {noun} will be looked at again"]


def register_webhooks(spec: EntitySpec, link: BoardLink, client: Api) -> tuple[list[str], list[str]]:
    """Register what is missing; return what was done and what could not be, both in words."""
    known = {hook_id: str(kept["fingerprint"]) for hook_id, kept in link.webhooks.items()}
    try:
        hooks, words = ensure_webhooks(client, link.board_id, webhook_url(), known, partial(_keep, link))
        problems = []
    except WebhooksIncomplete as error:
        hooks, words, problems = error.hooks, [], [_webhooks_missing(spec, error)]
    except ValueError as error:
        return [], [f"{spec.board_title}: {error} Shorten SITE_URL or MONDAY_WEBHOOK_TOKEN."]
    _keep(link, hooks)
    return list(words), problems


def _keep(link: BoardLink, hooks: Sequence[Hook]) -> None:
    link.webhooks = {hook.id: {"event": hook.event, "fingerprint": hook.fingerprint} for hook in hooks}
    link.save(update_fields=["webhooks"])


def _webhooks_missing(spec: EntitySpec, error: MondayError) -> str:
    return (
        f"{spec.board_title}: the webhooks could not be registered. {error.message.rstrip(' .')}. "
        f"While this runs, Monday must reach SITE_URL ({settings.SITE_URL}): start the web process, check "
        "that Monday can reach it, then run `manage.py monday_setup` again. Everything else is done."
    )
