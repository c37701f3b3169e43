"""Who did what: who edited a value on either side, what led to a decision, and lines in the admin's log."""

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

# The cause, in the history's context, of what a person's undo restored.
UNDO_CAUSE = "undo"

# In the history context of a change by the sync: the columns, by record, that an undo restored.
RESTORED_KEY = "put_back"

# How many changes of a record's history are searched for the edit of a field that is being sent.
MAX_EDITS = 20

# How many of an item's last webhook events are searched for who edited a column.
EVENTS_READ = 50

UNKNOWN_USER = "An unknown user"

# The sync's own edits have no way: SYNC_ACTOR says it all.
_WAY_TEXTS = {"api": "by the API", "undo": "by an undo", "import": "by an import", "sync": ""}
_DELETED = "a deleted user"
_SCRIPT = "a script"
# Who made a change, where that is no user with a name.
NOBODY = {SYNC_ACTOR, _DELETED, _SCRIPT, *_WAY_TEXTS}


@dataclass(frozen=True)
class Edit:
    """Who gave a field its value, by which way (a phrase, as "by the API", or empty), and when; or restored it.

    `act` is equal for what was edited at once: a batch's, else a request's; empty of a script's.
    """

    who: str
    way: str
    at: datetime
    is_undo: bool = False
    act: str = ""


def latest_edits(
    model: type[SyncedModel], ids: Iterable[UUID], *, most: int = MAX_EDITS, without_batch: str = ""
) -> dict[UUID, list[Any]]:
    """Return the newest changes of these records, of each so many at most and its newest first, in one query.

    `without_batch` is a pass whose own writes are left out.
    """
    models = event_models(tracks_model=model)
    wanted = list(ids)
    if not models or not wanted:
        return {}
    place = Window(RowNumber(), partition_by="pgh_obj_id", order_by=F("pgh_id").desc())
    events = models[0]._default_manager.filter(pgh_obj_id__in=wanted).select_related("pgh_context")
    by_record: dict[UUID, list[Any]] = {}
    for event in events.annotate(place=place).filter(place__lte=most).order_by("-pgh_id"):
        # The pass's own writes would otherwise count as the latest edit.
        if without_batch and context_of(event).get("batch") == without_batch:
            continue
        by_record.setdefault(event.pgh_obj_id, []).append(event)
    return by_record


def context_of(event: Any) -> Mapping[str, Any]:
    return event.pgh_context.metadata if event.pgh_context else {}


def last_edit(history: Sequence[Any], attnames: Iterable[str], users: Mapping[Any, Any]) -> Edit | None:
    """Return the last edit in `history` (newest first) that gave these columns their values, or None.

    A value that an undo restored is the work of whoever had given it before.
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
        # An undo put an earlier value back: search on for whoever gave it that value.
        if set(names) & set(metadata.get(RESTORED_KEY, {}).get(str(event.pgh_obj_id), ())):
            restored_values = values
            continue
        is_undo = metadata.get("cause") == UNDO_CAUSE
        act = _act_of(metadata, event.pgh_context_id)
        return Edit(actor_name(metadata, users), edit_way(metadata), event.pgh_created_at, is_undo, act)
    return None


def last_author(history: Sequence[Any], users: Mapping[Any, Any]) -> tuple[str, str]:
    """Return who changed a record last, and the act as of an `Edit`: whose edit made its item wanted. Not the sync."""
    for last in history[:1]:
        context = context_of(last)
        if (name := actor_name(context, users)) != SYNC_ACTOR:
            return name[:MAX_ACTOR_LENGTH], _act_of(context, last.pgh_context_id)
    return "", ""


def npd_editors(model: type[SyncedModel], entity_id: UUID, fields: Mapping[str, Iterable[str]]) -> dict[str, Edit]:
    """Return who last edited each of these fields of a record, by key, as far as its history is kept; two queries."""
    history = latest_edits(model, [entity_id]).get(entity_id, [])
    users = users_of(history)
    edits = {key: last_edit(history, column_names(model, names), users) for key, names in fields.items()}
    # A way that names who it was says nothing more.
    return {key: replace(edit, way="" if edit.who in edit.way else edit.way) for key, edit in edits.items() if edit}


def monday_editors(item_id: str, keys: Mapping[str, str]) -> dict[str, Edit]:
    """Return who last edited each of an item's columns, by the key that `keys` has for it, without our own writes."""
    if not keys or not item_id:
        return {}
    history = WebhookEvent.objects.filter(item_id=item_id, column_id__in=list(keys))
    account = MondayAccount.objects.filter(id=1).only("users", "user_id").first()
    people, own_user_id = (account.users, account.user_id) if account else ({}, "")
    edits: dict[str, Edit] = {}
    for event in history.order_by("-received_at")[:EVENTS_READ]:
        user = event.user_id
        key = keys[str(event.column_id)]
        if user and user != own_user_id and key not in edits:
            # Until it is known which user is ours, one whom nobody named may be ourselves.
            is_known = own_user_id or people.get(user, {}).get("name")
            edits[key] = Edit(monday_user_name(user, people) if is_known else UNKNOWN_USER, "", event.happened_at)
    return edits


def column_names(model: type[SyncedModel], fields: Iterable[str]) -> list[str]:
    return [str(model._meta.get_field(name).attname) for name in fields]  # type: ignore[union-attr]


def actor_name(context: Mapping[str, Any], users: Mapping[Any, Any]) -> str:
    """Return the name of who made a change, from its history context."""
    if context.get("cause") == "sync":
        return SYNC_ACTOR
    user = users.get(context.get("user"))
    if user is not None:
        return full_name(user)
    if context.get("user"):
        return _DELETED
    return str(context.get("cause") or _SCRIPT)


def _act_of(context: Mapping[str, Any], context_id: UUID | None) -> str:
    return str(context.get("batch") or context_id or "")


def edit_way(context: Mapping[str, Any]) -> str:
    """Return the way in which a change was made, as a phrase; empty where unknown."""
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
    """Read the account's users and store them; return the error where the token lacks the scope users:read.

    Then the stored users stay. Raises MondayError where Monday can't be asked at all.
    """
    try:
        users = connector.users()
    # Any other error means a missing permission (users:read): the stored users stay.
    except errors.MondayError as error:
        if error.scope in (errors.Scope.TRANSPORT, errors.Scope.UNREACHABLE, errors.Scope.LIMIT):
            raise
        log.info("the account's users can't be read", reason=error.sentence)
        return error
    MondayAccount.objects.update_or_create(id=1, defaults={"users": users})
    return None


def monday_editor_name(user_id: str, people: Mapping[str, Any]) -> str:
    """Return a Monday user's name and where it is from: "Bea Board on Monday", else "Monday user 4711"."""
    name = monday_user_name(user_id, people)
    return f"{name} on Monday" if people.get(user_id, {}).get("name") else name


def monday_user_name(user_id: str, people: Mapping[str, Any]) -> str:
    """Return the name of a Monday user, or the id where the account's users don't include it."""
    return str(people.get(user_id, {}).get("name") or "") or f"Monday user {user_id}"


def actor_label(user: AbstractBaseUser) -> str:
    """A person's name in a decision: the full name, else the username, cut to its column."""
    return full_name(user)[:MAX_ACTOR_LENGTH]


def full_name(user: AbstractBaseUser) -> str:
    return str(user.get_full_name() or user.get_username())  # type: ignore[attr-defined]


def person_line(record: SyncedModel, kind: str, sentence: str, by: str) -> Decision:
    """Return a line of a record's activity about what a person did with it, unsaved."""
    return Decision(
        entity_type=record.entity_type(),
        entity_id=record.pk,
        remote_id=record.monday_id or "",
        kind=kind,
        sentence=sentence,
        actor=by,
        cause={"by": by, "causes": ["person"]},
    )


def who_may(act: str, entity_type: str) -> str:
    """Name some of those who may view, add, change or delete records of a type."""
    model = registry.entity(entity_type).model._meta
    return who_has(f"{model.app_label}.{act}_{model.model_name}")


def who_has(right: str) -> str:
    """Name some of those who have a right; administrators where nobody has."""
    people: Any = get_user_model()._default_manager
    may = people.with_perm(right, backend=_MODEL_BACKEND).filter(is_staff=True)
    return (
        humanize.join_first([full_name(user) for user in may.order_by("is_superuser", "username")]) or "administrators"
    )


_MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"


# What was edited in NPD and waits to be sent, as the jobs and the history have it.


# The directions in which what is edited in NPD is sent.
SENT_WAYS = (SyncDirection.BIDIRECTIONAL, SyncDirection.NPD_TO_MONDAY)


@dataclass(frozen=True)
class Wait:
    """A record's job of a save that is to be sent, or has failed: then nothing is tried again."""

    since: datetime
    has_failed: bool

    @property
    def words(self) -> str:
        return "Not synced: its job failed" if self.has_failed else "Pending"

    def is_for(self, event: Any) -> bool:
        """Whether a row of the record's history is an edit that waits; what the sync itself wrote is none."""
        return event.pgh_created_at > self.since and context_of(event).get("cause") != "sync"


@dataclass(frozen=True)
class WaitingEdit:
    """An edit of a record that waits to be sent."""

    entity_type: str
    entity_id: UUID
    at: datetime
    who: str
    columns: Sequence[str]  # those that it changed; none where it added the record
    words: str  # how it waits
    act: str  # as of an `Edit`


def waits(ids: Sequence[UUID] | None = None, *, limit: int) -> dict[registry.RecordKey, Wait]:
    """Return how the edits of these records wait, or of those with the newest jobs; one query."""
    # Each status by itself, because each has an index of its own.
    is_left = Q(status=QueueStatus.PENDING) | Q(status=QueueStatus.IN_PROGRESS) | Q(status=QueueStatus.FAILED)
    about = Q(entity_id__isnull=False) if ids is None else Q(entity_id__in=ids)
    jobs = SyncQueue.objects.alias(saves=F("causes").bitand(int(Cause.SAVE)))
    jobs = jobs.filter(is_left, about, direction=QueueDirection.TO_MONDAY, saves__gt=0)
    # Of a deleted record its deletion waits, and no edit.
    deleted = Tombstone.objects.filter(entity_type=OuterRef("entity_type"), entity_id=OuterRef("entity_id"))
    jobs = jobs.exclude(Exists(deleted.exclude(state=TombstoneState.RESTORED)))
    states = SyncMetadata.objects.filter(entity_type=OuterRef("entity_type"), system="monday")
    states = states.filter(entity_id=Cast(OuterRef("entity_id"), TextField()))
    records = jobs.annotate(synced_at=Subquery(states.values("last_successful_sync")))
    rows = records.values("entity_type", "entity_id", "synced_at").annotate(
        first=Min("created_at"), newest=Max("pk"), alive=Count("pk", filter=~Q(status=QueueStatus.FAILED))
    )
    waits_of: dict[Any, Wait] = {}
    for row in rows.order_by("-newest")[:limit]:
        # A job is written a moment after the history's row of its save.
        since = row["first"] - timedelta(seconds=1)
        waits_of[row["entity_type"], row["entity_id"]] = Wait(max(since, row["synced_at"] or since), not row["alive"])
    return waits_of


def waiting_edits(ids: Sequence[UUID] | None = None, *, limit: int) -> list[WaitingEdit]:
    """Return the edits that wait to be sent, newest first, of these records or of those with the newest jobs.

    Of each record MAX_EDITS at most; two queries, and one for each type.
    """
    jobs = waits(ids, limit=limit)
    histories = []
    for spec in registry.entities():
        history = latest_edits(spec.model, [key for entity_type, key in jobs if entity_type == spec.entity_type])
        for key, events in history.items():
            if events[0].sync_enabled and events[0].sync_direction in SENT_WAYS:
                histories.append((spec, key, events))
    users = users_of(event for _, _, events in histories for event in events)
    edits = []
    for spec, key, events in histories:
        wait = jobs[spec.entity_type, key]
        columns = [str(field.attname) for field in registry.own_fields(spec.model)]
        for event, before in zip(events, [*events[1:], None], strict=True):
            # What the oldest row that is kept has changed isn't known.
            if not wait.is_for(event) or (before is None and event.pgh_label != "insert"):
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
                    words=wait.words,
                    act=_act_of(context, event.pgh_context_id),
                )
            )
    return sorted(edits, key=lambda edit: edit.at, reverse=True)


# The admin's log of actions by hand on records and rows, from pages and API alike.


MAX_NAME_LENGTH = 200


@dataclass(frozen=True)
class Deletion:
    """Who deleted a record in NPD, and by what act, as the log of people's acts says; empty: on a page.

    `request` is equal for what was deleted at once, on a page too.
    """

    by: str
    act: str = ""
    request: str = ""


def deletion_authors(keys: Iterable[tuple[str, UUID | None]]) -> dict[UUID, Deletion]:
    """Return who deleted these records in NPD, by their ids, as far as the log of people's acts says; two queries."""
    wanted = {(str(entity_id), entity_type) for entity_type, entity_id in keys if entity_id is not None}
    if not wanted:
        return {}
    labels = {spec.model._meta.label_lower: spec.entity_type for spec in registry.entities()}
    rows = LogEntry.objects.filter(object_id__in=[key for key, _ in wanted], action_flag=DELETION).order_by("pk")
    deletions = {}
    user = f"user__{get_user_model().USERNAME_FIELD}"
    columns = ("object_id", "content_type__app_label", "content_type__model", user, "change_message")
    for key, app, model, name, message in rows.values_list(*columns):
        if key is not None and (key, labels.get(f"{app}.{model}")) in wanted:
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
    """Log an action on each of these, in one statement, in the caller's transaction."""
    log_action_each(user, [(row, sentence) for row in about], flag=flag)


def log_action_each(
    user: AbstractBaseUser | AnonymousUser, acts: Iterable[tuple[Model, str]], *, flag: int = CHANGE
) -> None:
    """Log an action on each of these, each with a sentence of its own, in one statement."""
    LogEntry.objects.bulk_create(
        LogEntry(
            user_id=user.pk,  # type: ignore[misc]  # permissions let nobody anonymous in
            content_type=ContentType.objects.get_for_model(type(row)),
            object_id=str(row.pk),
            object_repr=str(row)[:MAX_NAME_LENGTH],
            action_flag=flag,
            change_message=sentence,
        )
        for row, sentence in acts
    )


def log_kind_action(
    user: AbstractBaseUser | AnonymousUser, kind: type[Model], sentence: str, *, name: str, key: object | None = None
) -> None:
    """Log an action on one thing of a kind, or without `key` on many of them, under this name."""
    LogEntry.objects.create(
        user_id=user.pk,  # type: ignore[misc]  # permissions let nobody anonymous in
        content_type=ContentType.objects.get_for_model(kind),
        object_id=None if key is None else str(key),
        object_repr=name[:MAX_NAME_LENGTH],
        action_flag=CHANGE,
        change_message=sentence,
    )


QUEUE_NAME = "Sync queue"


def log_queue_action(user: AbstractBaseUser | AnonymousUser, sentence: str, row: SyncQueue | None = None) -> None:
    """Log an action on one row, or on the queue as a whole."""
    if row is None:
        log_kind_action(user, SyncQueue, sentence, name=QUEUE_NAME)
    else:
        log_kind_action(user, SyncQueue, sentence, key=row.pk, name=f"#{row.pk} {row}")


# What led to a decision: whose edit and which rule, and the jobs, webhooks and calls behind it.

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
    """Return who edited the value on either side, and the rule by which the sync decided."""
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
    """Return the jobs, webhooks and calls that led to a decision; nothing where it was written without a cause."""
    cause: Mapping[str, Any] = row.cause
    triggers = [f"webhook #{pk}" for pk in cause.get("events", [])]
    kinds = " and ".join(_CAUSES.get(kind, kind) for kind in cause.get("causes", []))
    about = ", asked for by ".join(filter(None, [kinds, cause.get("by")]))
    jobs = [f"job #{pk}" for pk in cause.get("rows", [])] or ([""] if kinds else [])
    triggers += [f"{job} ({about})".strip() for job in jobs]
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
    """Return all that led to a decision, as a chain."""
    return " → ".join([*triggers_of(row), *reasons_of(row)])
