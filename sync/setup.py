"""Set-up of the boards: link, mappings, columns and webhooks of every synced model, as often as one likes.

What an administrator changed is never overwritten: a mapping that is there keeps its settings, a board that
the environment names is used and not replaced.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from django.conf import settings
from django.db import transaction
from django.db.models import F

from sync import account, registry
from sync.boards import setting_of
from sync.choices import Cause, Priority, QueueDirection, SyncDirection
from sync.connectors.monday.client import MondayClient
from sync.connectors.monday.converters import converter
from sync.connectors.monday.documents import probe
from sync.connectors.monday.errors import MondayError
from sync.connectors.monday.hooks import WebhooksIncomplete, ensure_webhooks
from sync.connectors.monday.setup import BoardSetup, BoardSpec, ColumnSpec, ensure_board, plan_board
from sync.enqueue import enqueue_many
from sync.marks import mark_many_pending
from sync.models import BoardLink, FieldMapping, RefusedItem
from sync.models.synced import unsynced
from sync.registry import EntitySpec

NPD_ID_KEY = "npd_id"
NPD_ID_TITLE = "NPD ID"
NAME_TYPE = "name"
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


def set_up_all() -> Iterator[Outcome]:
    """Set up every registered model, one after another; raises SetupError, MondayError."""
    if not account.is_configured():
        raise SetupError(NOT_CONFIGURED)
    client = account.client()
    _greet(client)
    for spec in registry.entities():
        yield set_up(spec, client)


def set_up(spec: EntitySpec, client: MondayClient) -> Outcome:
    """Make or adopt the board and its columns, then register what is missing of its webhooks.

    A webhook that can't be registered is a problem of the outcome; everything else is done by then.
    Raises SetupError for a board that is gone, MondayError.
    """
    link = _link(spec)
    done = _ensure_board(spec, link, client)
    board = ensure_board(client, _board_spec(spec, link))
    done += _store(spec, link, board)
    words, problems = _register_webhooks(spec, link, client)
    return Outcome(spec, link, [*done, *words], problems)


def webhook_url() -> str:
    """The address to which Monday sends this installation's events; secret when it holds the token."""
    token = settings.MONDAY_WEBHOOK_TOKEN
    return f"{settings.SITE_URL}/webhooks/monday/" + (f"{token}/" if token else "")


def _greet(client: MondayClient) -> None:
    """Ask who the token's user is, by whom our own edits are known; an answer ends a pause for being away."""
    answer = client.execute(*probe())
    me = (answer.data or {}).get("me") or {}
    row = account.account()
    row.user_id, row.version_answered = str(me.get("id") or ""), answer.api_version or ""
    if row.needs_probe:
        row.paused_until, row.pause_reason, row.needs_probe, row.failures = None, "", False, 0
    row.save()


def _link(spec: EntitySpec) -> BoardLink:
    """The model's link with all its mappings, in the database from here on."""
    link, _ = BoardLink.objects.get_or_create(
        entity_type=spec.entity_type, defaults={"match_key": spec.match_key}
    )
    for position, mapping in enumerate(spec.mappings):
        FieldMapping.objects.get_or_create(
            link=link,
            key=mapping.key,
            defaults={
                "label": mapping.label,
                "fields": list(mapping.fields),
                "converter": mapping.converter,
                "required": mapping.required,
                "position": position,
                "column_id": NAME_TYPE if _column_type(mapping.converter) == NAME_TYPE else "",
            },
        )
    return link


def _column_type(converter_name: str) -> str:
    return converter(converter_name).column_type


def _ensure_board(spec: EntitySpec, link: BoardLink, client: MondayClient) -> list[str]:
    """Have a board, its id stored before anything else can fail, so that no run makes a second one."""
    wanted = setting_of(spec.entity_type) or link.board_id
    if wanted and plan_board(client, BoardSpec(spec.entity_type, spec.board_title, wanted, [])).board is None:
        raise SetupError(_board_gone(spec, wanted))
    if wanted == link.board_id != "":
        return []
    board = ensure_board(client, BoardSpec(spec.entity_type, spec.board_title, wanted or None, []))
    _begin_with_board(link, board)
    return [f"made the {words}" for words in board.created] or [f"now works with board {board.board_id}"]


def _board_gone(spec: EntitySpec, board_id: str) -> str:
    return (
        f"{spec.board_title}: board {board_id} is not on Monday any more, or the token's user can't see it. "
        "Restore it from Monday's archive or trash, or give the user access, or name another board in "
        f"{spec.board_setting}; then run `manage.py monday_setup` again."
    )


def _begin_with_board(link: BoardLink, board: BoardSetup) -> None:
    """Another board than before: what was allowed on the old one is not allowed on it by itself.

    Only a board that the set-up made is sure to hold nothing but what people put there for NPD.
    """
    link.board_id, link.group_id, link.webhooks = board.board_id, board.group_id or "", {}
    link.made_by_setup = link.creates_records = board.made_board
    with transaction.atomic():
        RefusedItem.objects.filter(entity_type=link.entity_type).delete()
        link.save()


def _board_spec(spec: EntitySpec, link: BoardLink) -> BoardSpec:
    preferred = {mapping.key: mapping.column_id for mapping in spec.mappings}
    columns = [
        ColumnSpec(
            key=mapping.key,
            title=mapping.label,
            type=_column_type(mapping.converter),
            preferred_id=mapping.column_id or preferred.get(mapping.key, mapping.key),
        )
        for mapping in link.mappings.all()
        if _column_type(mapping.converter) != NAME_TYPE and mapping.direction != SyncDirection.NONE
    ]
    npd_id = ColumnSpec(NPD_ID_KEY, NPD_ID_TITLE, "text", link.npd_id_column or NPD_ID_KEY)
    return BoardSpec(spec.entity_type, spec.board_title, link.board_id, [*columns, npd_id])


@transaction.atomic
def _store(spec: EntitySpec, link: BoardLink, board: BoardSetup) -> list[str]:
    """Write down what is on Monday now; a mapping that moved to another column gets a new version."""
    adopted = [] if link.npd_id_column else [f"uses the {words} that was there" for words in board.adopted]
    done = [*(f"made the {words}" for words in board.created), *adopted]
    link.group_id = link.group_id or board.group_id or ""
    link.npd_id_column = board.columns[NPD_ID_KEY]
    link.blocked_until, link.blocked_reason = None, ""
    link.save()
    moved = [m for m in link.mappings.all() if board.columns.get(m.key, m.column_id) != m.column_id]
    for mapping in moved:
        done += _move(mapping, board.columns[mapping.key])
    return [*done, *(_look_again(spec) if moved else [])]


def _look_again(spec: EntitySpec) -> list[str]:
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


def _move(mapping: FieldMapping, column_id: str) -> list[str]:
    stored = FieldMapping.objects.filter(pk=mapping.pk)
    if not mapping.column_id:
        stored.update(column_id=column_id)
        return []
    stored.update(column_id=column_id, version=F("version") + 1)
    return [f"{mapping.label} is now in the column {column_id} (it was {mapping.column_id}, which is gone)"]


def _register_webhooks(
    spec: EntitySpec, link: BoardLink, client: MondayClient
) -> tuple[list[str], list[str]]:
    """Register what is missing; return what was done and what could not be, both in words."""
    known = {hook_id: str(kept["fingerprint"]) for hook_id, kept in link.webhooks.items()}
    try:
        hooks, words = ensure_webhooks(client, link.board_id, webhook_url(), known)
        problems = []
    except WebhooksIncomplete as error:
        hooks, words, problems = error.hooks, [], [_webhooks_missing(spec, error)]
    except ValueError as error:
        return [], [f"{spec.board_title}: {error} Shorten SITE_URL or MONDAY_WEBHOOK_TOKEN."]
    link.webhooks = {hook.id: {"event": hook.event, "fingerprint": hook.fingerprint} for hook in hooks}
    link.save(update_fields=["webhooks"])
    return list(words), problems


def _webhooks_missing(spec: EntitySpec, error: MondayError) -> str:
    return (
        f"{spec.board_title}: the webhooks could not be registered. {error.message.rstrip(' .')}. "
        f"While this runs, Monday must reach SITE_URL ({settings.SITE_URL}): start the web process, check "
        "that Monday can reach it, then run `manage.py monday_setup` again. Everything else is done."
    )
