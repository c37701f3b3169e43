"""Authors: who edited a value on either side, the causes of a decision, and entries of the admin's log."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.contrib.admin.models import CHANGE, DELETION, LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.contrib.contenttypes.models import ContentType
from django.db.models import Count, Exists, F, Max, Min, Model, OuterRef, Q, Subquery, TextField, Window
from django.db.models.functions import Cast, RowNumber
from pghistory.core import event_models

from sync import registry
from sync.choices import Cause, QueueDirection, QueueStatus, SyncDirection, TombstoneState
from sync.kernel import humanize
from sync.kernel.humanize import timestamp
from sync.models import Decision, MondayAccount, SyncedModel, SyncMetadata, SyncQueue, Tombstone, WebhookEvent
from sync.models.decisions import MAX_ACTOR_LENGTH
from sync.monday import errors
from sync.monday.connector import MondayConnector

log = structlog.get_logger(__name__)

SYNC_ACTOR = "NPD Sync"

# The cause in the history context of a person's undo.
UNDO_CAUSE = "undo"

# The key in the sync's history context with the columns, by record, that an undone resolution gave back.
UNDONE_COLUMNS_KEY = "put_back"

# How many changes of a record's history are searched for the edit of a field.
MAX_EDITS = 20

# How many of an item's webhook events are searched for the edit of a column.
EVENTS_READ = 50

UNKNOWN_USER = "An unknown user"

# Cause → phrase. Empty for the sync: the author already says it.
_WAY_TEXTS = {"api": "by the API", "undo": "by an undo", "import": "by an import", "sync": ""}
_DELETED = "a deleted user"
_SCRIPT = "a script"
# Authors that aren't users with a name. A cause is there too, because actor_name falls back to it.
NOBODY = {SYNC_ACTOR, _DELETED, _SCRIPT, *_WAY_TEXTS}


@dataclass(frozen=True)
class Edit:
    """The edit that gave a field its value."""

    who: str
    way: str  # a phrase such as "by the API", or empty
    at: datetime
    is_undo: bool = False
    group_id: str = ""  # equal for edits of one batch or request; empty for a script's


def latest_edits(
    model: type[SyncedModel], ids: Iterable[UUID], *, limit: int = MAX_EDITS, without_batch: str = ""
) -> dict[UUID, list[Any]]:
    """Return up to `limit` changes of each record, newest first, in one query.

    `without_batch` is the pass whose own writes don't count.
    """
    models = event_models(tracks_model=model)
    record_ids = list(ids)
    if not models or not record_ids:
        return {}
    place = Window(RowNumber(), partition_by="pgh_obj_id", order_by=F("pgh_id").desc())
    events = models[0]._default_manager.filter(pgh_obj_id__in=record_ids).select_related("pgh_context")
    by_record: dict[UUID, list[Any]] = {}
    for event in events.annotate(place=place).filter(place__lte=limit).order_by("-pgh_id"):
        if without_batch and context_of(event).get("batch") == without_batch:
            continue
        by_record.setdefault(event.pgh_obj_id, []).append(event)
    return by_record


def context_of(event: Any) -> Mapping[str, Any]:
    return event.pgh_context.metadata if event.pgh_context else {}


def last_edit(history: Sequence[Any], attnames: Iterable[str], users: Mapping[Any, Any]) -> Edit | None:
    """Return the edit in `history` (newest first) that gave these columns their values, or None.

    If the sync gave back an earlier value (an undone resolution), return the edit that first gave it. A person's own
    undo counts as their edit.
    """
    names = list(attnames)
    restored_values: list[Any] | None = None
    for event, before in zip(history, [*history[1:], None], strict=False):
        metadata = context_of(event)
        values = [getattr(event, name) for name in names]
        # The history begins later than the record, so an earlier edit may be missing.
        if before is None and event.pgh_label != "insert":
            return None
        # This change didn't touch these columns.
        if before is not None and values == [getattr(before, name) for name in names]:
            continue
        if restored_values is not None and values != restored_values:
            continue
        # An undo restored an earlier value: search for the edit that gave it.
        if set(names) & set(metadata.get(UNDONE_COLUMNS_KEY, {}).get(str(event.pgh_obj_id), ())):
            restored_values = values
            continue
        is_undo = metadata.get("cause") == UNDO_CAUSE
        group_id = _group_id_of(metadata, event.pgh_context_id)
        return Edit(actor_name(metadata, users), edit_way(metadata), event.pgh_created_at, is_undo, group_id)
    return None


def last_author(history: Sequence[Any], users: Mapping[Any, Any]) -> tuple[str, str]:
    """Return the author and the group id of a record's last change, as in `Edit`; empty if it was the sync."""
    if not history:
        return "", ""
    context = context_of(history[0])
    name = actor_name(context, users)
    if name == SYNC_ACTOR:
        return "", ""
    return name[:MAX_ACTOR_LENGTH], _group_id_of(context, history[0].pgh_context_id)


def npd_editors(model: type[SyncedModel], entity_id: UUID, fields: Mapping[str, Iterable[str]]) -> dict[str, Edit]:
    """Return the last edit of each of these fields of a record, by key, as far as its history goes; two queries."""
    history = latest_edits(model, [entity_id]).get(entity_id, [])
    users = users_of(history)
    edits = {key: last_edit(history, column_names(model, names), users) for key, names in fields.items()}
    # Omit a way that only repeats the author.
    return {key: replace(edit, way="" if edit.who in edit.way else edit.way) for key, edit in edits.items() if edit}


def monday_editors(item_id: str, keys: Mapping[str, str]) -> dict[str, Edit]:
    """Return the last edit of each of an item's columns, by its key in `keys`, without our own writes."""
    if not keys or not item_id:
        return {}
    history = WebhookEvent.objects.filter(item_id=item_id, column_id__in=list(keys))
    account = MondayAccount.objects.filter(id=1).only("users", "user_id").first()
    account = account or MondayAccount(users={}, user_id="")
    people = account.users
    edits: dict[str, Edit] = {}
    for event in history.order_by("-received_at")[:EVENTS_READ]:
        user = event.user_id
        key = keys[str(event.column_id)]
        if user and user != account.user_id and key not in edits:
            # While we don't know our own id, don't show an unnamed id as a person: it may be the token's.
            is_known = account.user_id or people.get(user, {}).get("name")
            edits[key] = Edit(monday_user_name(user, people) if is_known else UNKNOWN_USER, "", event.happened_at)
    return edits


def column_names(model: type[SyncedModel], fields: Iterable[str]) -> list[str]:
    return [str(model._meta.get_field(name).attname) for name in fields]  # type: ignore[union-attr]


def actor_name(context: Mapping[str, Any], users: Mapping[Any, Any]) -> str:
    """Return the name of a change's author, from its history context."""
    if context.get("cause") == "sync":
        return SYNC_ACTOR
    user = users.get(context.get("user"))
    if user is not None:
        return full_name(user)
    if context.get("user"):
        return _DELETED
    return str(context.get("cause") or _SCRIPT)


def _group_id_of(context: Mapping[str, Any], context_id: UUID | None) -> str:
    return str(context.get("batch") or context_id or "")


def edit_way(context: Mapping[str, Any]) -> str:
    """Return the way of a change as a phrase, or an empty text."""
    cause = str(context.get("cause") or "")
    if cause:
        return _WAY_TEXTS.get(cause, f"by {cause}")
    # The history's middleware stores the address of a request, which for a page is below /admin/.
    return "in the admin" if "/admin/" in str(context.get("url", "")) else ""


def users_of(events: Iterable[Any]) -> dict[Any, Any]:
    """Return the NPD users that these changes refer to, by id."""
    ids = {user for event in events if (user := context_of(event).get("user"))}
    return dict(get_user_model()._default_manager.in_bulk(list(ids))) if ids else {}


def refresh_users(connector: MondayConnector) -> errors.MondayError | None:
    """Read and store the account's users; return any refusal by Monday.

    Raises MondayError if Monday can't be reached or a limit stops the call.
    """
    try:
        users = connector.users()
    except errors.MondayError as error:
        if error.scope in (errors.Scope.TRANSPORT, errors.Scope.UNREACHABLE, errors.Scope.LIMIT):
            raise
        log.info("the account's users can't be read", reason=error.sentence)
        return error
    MondayAccount.objects.update_or_create(id=1, defaults={"users": users})
    return None


def monday_editor_name(user_id: str, people: Mapping[str, Any]) -> str:
    """Return "Bea Board on Monday", or "Monday user 4711" if the name is unknown."""
    name = monday_user_name(user_id, people)
    return f"{name} on Monday" if people.get(user_id, {}).get("name") else name


def monday_user_name(user_id: str, people: Mapping[str, Any]) -> str:
    """Return the name of a Monday user, or "Monday user 4711"."""
    return str(people.get(user_id, {}).get("name") or f"Monday user {user_id}")


def actor_label(user: AbstractBaseUser) -> str:
    """Return a person's name, cut to the column of decisions."""
    return full_name(user)[:MAX_ACTOR_LENGTH]


def full_name(user: AbstractBaseUser) -> str:
    return str(user.get_full_name() or user.get_username())  # type: ignore[attr-defined]


def person_line(record: SyncedModel, kind: str, sentence: str, by: str) -> Decision:
    """Return an unsaved entry about a person's act on a record."""
    return Decision(
        entity_type=record.entity_type(),
        entity_id=record.pk,
        remote_id=record.monday_id or "",
        kind=kind,
        sentence=sentence,
        actor=by,
        cause={"by": by, "causes": ["person"]},
    )


def who_may(permission: str, entity_type: str) -> str:
    """Return the names of some people with a permission (view, add, change, delete) for records of a type."""
    model = registry.entity(entity_type).model._meta
    return who_has(f"{model.app_label}.{permission}_{model.model_name}")


def who_has(right: str) -> str:
    """Return the names of some people with a permission, or "administrators" if nobody has it."""
    people: Any = get_user_model()._default_manager
    users = people.with_perm(right, backend="django.contrib.auth.backends.ModelBackend").filter(is_staff=True)
    names = [full_name(user) for user in users.order_by("is_superuser", "username")]
    return humanize.join_first(names) or "administrators"


# The directions that send NPD's edits.
SENDING_DIRECTIONS = (SyncDirection.BIDIRECTIONAL, SyncDirection.NPD_TO_MONDAY)


@dataclass(frozen=True)
class PendingSave:
    """Whether a record's saves still wait to be sent, or their job failed for good."""

    since: datetime
    has_failed: bool

    @property
    def words(self) -> str:
        return "Not synced: its job failed" if self.has_failed else "Pending"

    def is_later(self, event: Any) -> bool:
        """Whether a person's change came after the last sync and so is still to be sent."""
        return event.pgh_created_at > self.since and context_of(event).get("cause") != "sync"


@dataclass(frozen=True)
class WaitingEdit:
    """An edit of a record that waits to be sent."""

    entity_type: str
    entity_id: UUID
    at: datetime
    who: str
    columns: Sequence[str]  # those that it changed; none if it created the record
    words: str  # its status
    group_id: str  # as in `Edit`


def pending_saves(ids: Sequence[UUID] | None = None, *, limit: int) -> dict[registry.RecordKey, PendingSave]:
    """Return the pending saves of these records, or of those with the newest jobs; one query."""
    # Each status separately, because each has its own index.
    is_left = Q(status=QueueStatus.PENDING) | Q(status=QueueStatus.IN_PROGRESS) | Q(status=QueueStatus.FAILED)
    about = Q(entity_id__isnull=False) if ids is None else Q(entity_id__in=ids)
    jobs = SyncQueue.objects.alias(saves=F("causes").bitand(int(Cause.SAVE)))
    jobs = jobs.filter(is_left, about, direction=QueueDirection.TO_MONDAY, saves__gt=0)
    # For a deleted record only its deletion waits.
    deleted = Tombstone.objects.filter(entity_type=OuterRef("entity_type"), entity_id=OuterRef("entity_id"))
    jobs = jobs.exclude(Exists(deleted.exclude(state=TombstoneState.RESTORED)))
    states = SyncMetadata.objects.filter(entity_type=OuterRef("entity_type"), system="monday")
    states = states.filter(entity_id=Cast(OuterRef("entity_id"), TextField()))
    records = jobs.annotate(synced_at=Subquery(states.values("last_successful_sync")))
    rows = records.values("entity_type", "entity_id", "synced_at").annotate(
        first=Min("created_at"), newest=Max("pk"), alive=Count("pk", filter=~Q(status=QueueStatus.FAILED))
    )
    saves: dict[Any, PendingSave] = {}
    for row in rows.order_by("-newest")[:limit]:
        # A job is written a moment after the history's row of its save.
        since = row["first"] - timedelta(seconds=1)
        since = max(since, row["synced_at"] or since)
        saves[row["entity_type"], row["entity_id"]] = PendingSave(since, has_failed=not row["alive"])
    return saves


def waiting_edits(ids: Sequence[UUID] | None = None, *, limit: int) -> list[WaitingEdit]:
    """Return the edits that wait to be sent, newest first, of these records or of those with the newest jobs.

    At most MAX_EDITS of each record; two queries, and one for each type.
    """
    saves = pending_saves(ids, limit=limit)
    histories = []
    for spec in registry.entities():
        history = latest_edits(spec.model, [key for entity_type, key in saves if entity_type == spec.entity_type])
        for key, events in history.items():
            if events[0].sync_enabled and events[0].sync_direction in SENDING_DIRECTIONS:
                histories.append((spec, key, events))
    users = users_of(event for _, _, events in histories for event in events)
    edits = []
    for spec, key, events in histories:
        save = saves[spec.entity_type, key]
        columns = [str(field.attname) for field in registry.own_fields(spec.model)]
        for event, before in zip(events, [*events[1:], None], strict=True):
            # The changes of the oldest kept row are unknown.
            if not save.is_later(event) or (before is None and event.pgh_label != "insert"):
                continue
            context = context_of(event)
            changed = [name for name in columns if before and getattr(event, name) != getattr(before, name)]
            edits.append(
                WaitingEdit(
                    entity_type=spec.entity_type,
                    entity_id=key,
                    at=event.pgh_created_at,
                    who=actor_name(context, users),
                    columns=changed,
                    words=save.words,
                    group_id=_group_id_of(context, event.pgh_context_id),
                )
            )
    return sorted(edits, key=lambda edit: edit.at, reverse=True)


MAX_NAME_LENGTH = 200  # of LogEntry.object_repr


@dataclass(frozen=True)
class Deletion:
    """The author of a record's deletion in NPD."""

    by: str
    message: str = ""  # of the admin's log; empty if Django's own delete page logged it
    request: str = ""  # equal for records deleted at once


def deletion_authors(keys: Iterable[tuple[str, UUID | None]]) -> dict[UUID, Deletion]:
    """Return the authors of these records' deletions, by id, from the admin's log; two queries."""
    record_keys = {(str(entity_id), entity_type) for entity_type, entity_id in keys if entity_id is not None}
    if not record_keys:
        return {}
    labels = {spec.model._meta.label_lower: spec.entity_type for spec in registry.entities()}
    rows = LogEntry.objects.filter(object_id__in=[key for key, _ in record_keys], action_flag=DELETION).order_by("pk")
    deletions = {}
    user = f"user__{get_user_model().USERNAME_FIELD}"
    columns = ("object_id", "content_type__app_label", "content_type__model", user, "change_message")
    for key, app, model, name, message in rows.values_list(*columns):
        if key is not None and (key, labels.get(f"{app}.{model}")) in record_keys:
            # Django's own pages log a list of changes, which for a deletion is empty.
            deletions[UUID(key)] = Deletion(str(name), "" if message.startswith("[") else message)
    tombstones = Tombstone.objects.filter(entity_id__in=deletions).exclude(context_id=None)
    requests = dict(tombstones.values_list("entity_id", "context_id"))
    return {key: replace(deletion, request=str(requests.get(key, ""))) for key, deletion in deletions.items()}


def log_action(user: AbstractBaseUser | AnonymousUser, about: Model, sentence: str, *, flag: int = CHANGE) -> None:
    log_action_many(user, [about], sentence, flag=flag)


def log_action_many(
    user: AbstractBaseUser | AnonymousUser, about: Iterable[Model], sentence: str, *, flag: int = CHANGE
) -> None:
    """Log the same action on several objects, in one statement, in the caller's transaction."""
    log_action_each(user, [(row, sentence) for row in about], flag=flag)


def log_action_each(
    user: AbstractBaseUser | AnonymousUser, entries: Iterable[tuple[Model, str]], *, flag: int = CHANGE
) -> None:
    """Log an action on several objects, each with its own sentence, in one statement."""
    LogEntry.objects.bulk_create(
        LogEntry(
            user_id=user.pk,  # type: ignore[misc]  # permissions let nobody anonymous in
            content_type=ContentType.objects.get_for_model(type(row)),
            object_id=str(row.pk),
            object_repr=str(row)[:MAX_NAME_LENGTH],
            action_flag=flag,
            change_message=sentence,
        )
        for row, sentence in entries
    )


def log_kind_action(
    user: AbstractBaseUser | AnonymousUser, kind: type[Model], sentence: str, *, name: str, key: object | None = None
) -> None:
    """Log an action about a model. `name` is shown as its object; `key` links it to one row."""
    LogEntry.objects.create(
        user_id=user.pk,  # type: ignore[misc]  # permissions let nobody anonymous in
        content_type=ContentType.objects.get_for_model(kind),
        object_id=None if key is None else str(key),
        object_repr=name[:MAX_NAME_LENGTH],
        action_flag=CHANGE,
        change_message=sentence,
    )


def log_queue_action(user: AbstractBaseUser | AnonymousUser, sentence: str, row: SyncQueue | None = None) -> None:
    """Log an action on one job, or on the queue as a whole."""
    name = f"#{row.pk} {row}" if row else "Sync queue"
    log_kind_action(user, SyncQueue, sentence, key=row.pk if row else None, name=name)


_CAUSES = {
    "save": "a save in NPD",
    "person": "a person's click",
    "webhook": "a webhook",
    "sweep": "a check for missed changes",
    "failure": "a failed pass before it",
    "dependency": "a change of something it depends on",
    "setup": "the board's set-up",
}


def reasons_of(row: Decision) -> list[str]:
    """Return the edits on either side, and the rule that decided, as phrases."""
    reasons = []
    for side, place in (("npd", "edited in NPD"), ("monday", "edited on Monday")):
        if edit := row.cause.get(side):
            way = f" {edit['way']}" if edit.get("way") else ""
            when = f" at {timestamp(datetime.fromisoformat(edit['at']))}" if edit.get("at") else ""
            reasons.append(f"{place} by {edit['who']}{way}{when}")
    if rule := row.cause.get("rule"):
        reasons.append(f"decided by: {rule}")
    return reasons


def triggers_of(row: Decision) -> list[str]:
    """Return the jobs, webhooks and calls that led to a decision, as phrases."""
    cause: Mapping[str, Any] = row.cause
    triggers = [f"webhook #{pk}" for pk in cause.get("events", [])]
    kinds = " and ".join(_CAUSES.get(kind, kind) for kind in cause.get("causes", []))
    about = ", asked for by ".join(filter(None, [kinds, cause.get("by")]))
    jobs = cause.get("rows", [])
    triggers += [f"job #{pk} ({about})" for pk in jobs]
    if kinds and not jobs:
        triggers.append(f"({about})")
    read = cause.get("read")
    if read:
        triggers.append(f"Monday read [Monday request {read}]")
    if row.request_id and row.request_id != read:
        alias = f", alias {cause['alias']}" if cause.get("alias") else ""
        triggers.append(f"written to Monday [Monday request {row.request_id}{alias}]")
    if row.undoes is not None:
        triggers.append(f"undoes entry #{row.undoes}")
    return triggers


def causes_text(row: Decision) -> str:
    """Return the triggers and reasons of a decision as a chain."""
    return " → ".join([*triggers_of(row), *reasons_of(row)])
