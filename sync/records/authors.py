"""Authors as pages name them: who edited a value on either side, names of people, and entries of the admin's log."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.admin.models import CHANGE, DELETION, LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.contrib.contenttypes.models import ContentType
from django.db.models import F, Model, Q, QuerySet, UUIDField, Value, Window
from django.db.models.functions import Cast, Concat, RowNumber
from pghistory.models import Context

from sync import registry
from sync.choices import ActivityKind
from sync.kernel import humanize
from sync.models import ActivityLine, MondayAccount, SyncedModel, Tombstone, history_of
from sync.models.activity_lines import MAX_ACTOR_LENGTH, log_event
from sync.words.message import Message

SYNC_ACTOR = "NPD Sync"

# The causes in the history context of a person's undo, of an import, and of a program's request.
UNDO_CAUSE = "undo"
IMPORT_CAUSE = "import"
API_CAUSE = "api"

# The key in the sync's history context with the columns, by record, that an undone resolution gave back.
UNDONE_COLUMNS_KEY = "put_back"

# How many changes of a record's history are searched for the edit of a field.
MAX_EVENTS = 20

# How many are searched for the person who turned a record's sync off.
MAX_EVENTS_OF_SWITCH = 500

UNKNOWN_USER = "An unknown user"

# Cause → phrase. Empty for the sync: the author already says it.
BY_API = "by the API"
_WAY_TEXTS = {API_CAUSE: BY_API, UNDO_CAUSE: "by an undo", IMPORT_CAUSE: "by an import", "sync": ""}
_DELETED = "a deleted user"
_SCRIPT = "a script"
_ON_MONDAY = " on Monday"
SOMEBODY_ON_MONDAY = f"Somebody{_ON_MONDAY}"


@dataclass(frozen=True)
class LastEdit:
    """The edit that gave a field its value."""

    who: str
    way: str  # a phrase such as "by the API", or empty
    at: datetime
    group_id: str = ""  # equal for edits of one batch or request; empty for a script's

    def __str__(self) -> str:
        return ", ".join(filter(None, [self.who, self.way, humanize.day_and_time(self.at)]))


def latest_events(
    model: type[SyncedModel], ids: Iterable[UUID], *, limit: int = MAX_EVENTS, without_batch: str = ""
) -> dict[UUID, list[Any]]:
    """Return up to `limit` events of each record's history, newest first, in one query.

    `without_batch` is the pass whose own writes don't count.
    """
    history = history_of(model)
    record_ids = list(ids)
    if history is None or not record_ids:
        return {}
    place = Window(RowNumber(), partition_by="pgh_obj_id", order_by=F("pgh_id").desc())
    events = history.objects.filter(pgh_obj_id__in=record_ids).select_related("pgh_context")
    by_record: dict[UUID, list[Any]] = {}
    for event in events.annotate(place=place).filter(place__lte=limit).order_by("-pgh_id"):
        if without_batch and context_of(event).get("batch") == without_batch:
            continue
        by_record.setdefault(event.pgh_obj_id, []).append(event)
    return by_record


def context_of(event: Any) -> Mapping[str, Any]:
    return event.pgh_context.metadata if event.pgh_context else {}


def last_edit(history: Sequence[Any], attnames: Iterable[str], users: Mapping[Any, Any]) -> LastEdit | None:
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
        group_id = group_id_of(metadata, event.pgh_context_id)
        who = actor_name(metadata, users)
        way = edit_way(metadata)
        # Omit a way that only repeats the author.
        way = "" if f" {who} " in f" {way} " else way
        return LastEdit(who, way, event.pgh_created_at, group_id)
    return None


def who_turned_sync_off(records: Sequence[SyncedModel]) -> dict[UUID, str]:
    """Return by record of one type who turned its sync off, as far as its newest changes tell."""
    ids = [record.pk for record in records]
    histories = latest_events(type(records[0]), ids, limit=MAX_EVENTS_OF_SWITCH) if records else {}
    users = users_of(event for history in histories.values() for event in history)
    by = {}
    for record in records:
        column = "sync_direction" if record.sync_enabled else "sync_enabled"
        if edit := last_edit(histories.get(record.pk, []), [column], users):
            by[record.pk] = edit.who[:MAX_ACTOR_LENGTH]
    return by


def last_author(history: Sequence[Any], users: Mapping[Any, Any]) -> tuple[str, str]:
    """Return the author and the group id of a record's last change, as in `LastEdit`; empty if it was the sync."""
    if not history:
        return "", ""
    context = context_of(history[0])
    name = actor_name(context, users)
    if name == SYNC_ACTOR:
        return "", ""
    return name[:MAX_ACTOR_LENGTH], group_id_of(context, history[0].pgh_context_id)


def last_npd_edits(
    model: type[SyncedModel], entity_id: UUID, fields: Mapping[str, Iterable[str]]
) -> dict[str, LastEdit]:
    """Return the last edit of each of these fields of a record, by key, as far as its history goes; two queries."""
    return last_edits_of_records(model, {entity_id: fields}).get(entity_id, {})


def last_edits_of_records(
    model: type[SyncedModel], fields_by_id: Mapping[UUID, Mapping[str, Iterable[str]]]
) -> dict[UUID, dict[str, LastEdit]]:
    """Return the same for several records, by id."""
    histories = latest_events(model, fields_by_id)
    users = users_of(event for history in histories.values() for event in history)
    edits: dict[UUID, dict[str, LastEdit]] = {}
    for entity_id, history in histories.items():
        edits[entity_id] = {}
        for key, names in fields_by_id[entity_id].items():
            attnames = [str(model._meta.get_field(name).attname) for name in names]  # type: ignore[union-attr]
            if edit := last_edit(history, attnames, users):
                edits[entity_id][key] = edit
    return edits


def last_edits(record: SyncedModel, names: Iterable[str]) -> dict[str, LastEdit]:
    """Return the last edit of each of these columns of a record; for a value that a pass brought, that on Monday."""
    edits = last_npd_edits(type(record), record.pk, {name: [name] for name in names})
    passes = {edit.group_id for edit in edits.values() if edit.who == SYNC_ACTOR}
    lines = ActivityLine.objects.filter(entity_id=record.pk, batch_id__in=passes).exclude(actor="")
    keys = {mapping.key: mapping.fields for mapping in registry.entity(record.entity_type()).mappings}
    for line in lines if passes else ():
        for name in keys.get(line.key, ()):
            if name in edits and edits[name].group_id == str(line.batch_id):
                edits[name] = replace(edits[name], who=line.actor, at=line.happened_at)
    return edits


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


def told_batch(event: Any) -> str:
    """Return the batch of the undo or import that made this change, which has lines of its own; empty for others."""
    context = context_of(event)
    return str(context.get("batch", "")) if context.get("cause") in (UNDO_CAUSE, IMPORT_CAUSE) else ""


def group_id_of(context: Mapping[str, Any], context_id: UUID | None) -> str:
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


def monday_editor_name(user_id: str, people: Mapping[str, Any]) -> str:
    """Return "Bea Board on Monday", or "Monday user 4711" if the name is unknown; empty for nobody."""
    name = monday_user_name(user_id, people) if user_id else ""
    return f"{name}{_ON_MONDAY}" if people.get(user_id, {}).get("name") else name


def monday_user_name(user_id: str, people: Mapping[str, Any]) -> str:
    """Return the name of a Monday user, or "Monday user 4711", cut to the columns that store it."""
    name = str(people.get(user_id, {}).get("name") or f"Monday user {user_id}")
    return name[: MAX_ACTOR_LENGTH - len(_ON_MONDAY)]


def monday_editor(user_id: str, people: Mapping[str, Any], token_user: str) -> str:
    """Return the name of who edited something on Monday; empty if it was nobody, or we by the token."""
    if user_id in ("", token_user):
        return ""
    # While our own id isn't known, an unnamed one may be the token's, so it isn't shown as a person.
    is_known = token_user or people.get(user_id, {}).get("name")
    return monday_user_name(user_id, people) if is_known else UNKNOWN_USER


def actor_label(user: AbstractBaseUser) -> str:
    """Return a person's name, cut to the column of decisions."""
    return full_name(user)[:MAX_ACTOR_LENGTH]


def full_name(user: AbstractBaseUser) -> str:
    return str(user.get_full_name() or user.get_username())  # type: ignore[attr-defined]


def person_line(record: SyncedModel, kind: ActivityKind, sentence: Message, by: str) -> ActivityLine:
    """Return an unsaved entry about a person's act on a record."""
    return ActivityLine(
        entity_type=record.entity_type(),
        entity_id=record.pk,
        remote_id=record.monday_id or "",
        kind=kind,
        sentence=sentence,
        actor=by,
        cause={"by": by, "causes": ["person"]},
    )


def who_has(right: str) -> str:
    """Return the names of some people with a permission, or "administrators" if nobody has it."""
    people: Any = get_user_model()._default_manager
    users = people.with_perm(right, backend="django.contrib.auth.backends.ModelBackend").filter(is_staff=True)
    names = [full_name(user) for user in users.order_by("is_superuser", "username")]
    return humanize.join_first(names) or "administrators"


def log_setting(by: Any, sentence: Message, row: Model | None = None) -> None:
    """Log in the activity what a person, or a command by its name, did with settings or users."""
    actor = by if isinstance(by, str) else actor_label(by)
    log_event(ActivityKind.SETTINGS, sentence, by=actor, entity_type=getattr(row, "entity_type", ""))


def log_settings_changed(by: Any, row: Model | str, *changes: str) -> None:
    """Log changes of settings as messages; `row` is what has these settings, or its name."""
    about = row if isinstance(row, str) else setting_name(row)
    sentence = Message("settings_changed", about=about, changes=list(changes))
    log_setting(by, sentence, None if isinstance(row, str) else row)


def setting_name(row: Model) -> Message:
    """Return what a line about settings calls a row, such as “the user “olga””."""
    entity_type = getattr(row, "entity_type", "")
    title = registry.board_title(entity_type) if entity_type else str(row)
    return Message("the_related", kind=str(row._meta.verbose_name), name=title)


def setting_edits(row: Model) -> dict[str, LastEdit]:
    """Return who changed each setting of a row last, by its label, as far as the activity tells."""
    lines = ActivityLine.objects.filter(kind=ActivityKind.SETTINGS, entity_type=getattr(row, "entity_type", ""))
    edits: dict[str, LastEdit] = {}
    for line in lines.exclude(actor="")[:MAX_EVENTS]:
        if line.sentence.params.get("about") != setting_name(row):
            continue
        for change in line.sentence.params.get("changes", ()):
            edits.setdefault(getattr(change, "params", {}).get("label", ""), LastEdit(line.actor, "", line.at))
    return edits


MAX_NAME_LENGTH = 200  # of LogEntry.object_repr


@dataclass(frozen=True)
class Deletion:
    """The author of a record's deletion in NPD."""

    by: str
    message: str = ""  # of the admin's log; empty if Django's own delete page logged it
    request: str = ""  # equal for records deleted at once
    undo: str = ""  # the batch of the undo of an import that deleted it


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
    contexts = Context.objects.in_bulk(set(requests.values()))
    for key, context_id in requests.items():
        context = contexts.get(context_id)
        undo = context.metadata["batch"] if context and context.metadata.get("cause") == UNDO_CAUSE else ""
        deletions[key] = replace(deletions[key], request=str(context_id), undo=undo)
    return deletions


def last_deletions(entity_type: str, ids: Collection[UUID]) -> dict[UUID, LastEdit]:
    """Return when these records of a type were deleted in NPD, by id, and “deleted by Ann” as far as that is known."""
    deletions = deletion_authors((entity_type, entity_id) for entity_id in ids)
    names = full_names(deletion.by for deletion in deletions.values())
    rows = Tombstone.objects.filter(entity_type=entity_type, entity_id__in=deletions)
    times = dict(rows.order_by("deleted_at").values_list("entity_id", "deleted_at"))
    return {key: LastEdit(f"deleted by {names[deletions[key].by]}", "", at) for key, at in times.items()}


def full_names(usernames: Iterable[str]) -> dict[str, str]:
    """Return the full names of users by their usernames, without those who have none."""
    users: Any = get_user_model()._default_manager.filter(username__in=set(usernames))
    return {user.get_username(): full_name(user) for user in users}


def users_named(name: str) -> QuerySet[Any]:
    """Return the users whose username or name contains each of these words."""
    users: QuerySet[Any] = get_user_model()._default_manager.alias(name=Concat("first_name", Value(" "), "last_name"))
    for word in name.split():
        users = users.filter(Q(username__icontains=word) | Q(name__icontains=word))
    return users


def done_by(name: str) -> Q:
    """Return the condition for lines of activity by, or requested by, somebody whose name contains these words.

    A line has a user's username or full name, and of somebody on Monday the number until the name is known.
    """
    people = MondayAccount.objects.filter(id=1).values_list("users", flat=True).first() or {}
    usernames = list(users_named(name).values_list("username", flat=True))
    numbers = [key for key, person in people.items() if has_words(str(person.get("name")), name)]
    unnamed = [monday_user_name(number, {}) for number in numbers]
    by_text = Q()
    requested_by_text = Q()
    for word in name.split():
        by_text &= Q(actor__icontains=word)
        requested_by_text &= Q(values__by__icontains=word)
    by_name = by_text | requested_by_text | Q(actor__in=[*usernames, *unnamed]) | Q(values__by__in=usernames)
    return by_name | Q(cause__monday__user__in=numbers)


def has_words(text: str, words: str) -> bool:
    """Whether a text contains each of these words."""
    return all(word.casefold() in text.casefold() for word in words.split())


def deleted_by(name: str) -> QuerySet[LogEntry, Any]:
    """Return the ids, as a subquery, of the records that somebody whose name contains this has deleted in the admin."""
    types = [ContentType.objects.get_for_model(spec.model) for spec in registry.entities()]
    rows = LogEntry.objects.filter(action_flag=DELETION, user__in=users_named(name), content_type__in=types)
    return rows.values_list(Cast("object_id", UUIDField()), flat=True)


def log_action(user: AbstractBaseUser | AnonymousUser, about: Model, sentence: str, *, flag: int = CHANGE) -> None:
    """Log an action on one object in the admin's log."""
    log_action_many(user, [about], sentence, flag=flag)


def log_action_many(
    user: AbstractBaseUser | AnonymousUser, about: Iterable[Model], sentence: str, *, flag: int = CHANGE
) -> None:
    """Log the same action on several objects in the admin's log, in the caller's transaction."""
    # Permissions let nobody anonymous in.
    LogEntry.objects.log_actions(user.pk, about, flag, sentence)  # type: ignore[arg-type]


def log_model_action(
    user: AbstractBaseUser | AnonymousUser, model: type[Model], sentence: str, *, name: str = "", key: object = None
) -> None:
    """Log an action about a model, by default by the model's name; `key` links it to one row."""
    LogEntry.objects.create(
        user_id=user.pk,  # type: ignore[misc]  # permissions let nobody anonymous in
        content_type=ContentType.objects.get_for_model(model),
        object_id=None if key is None else str(key),
        object_repr=(name or str(model._meta.verbose_name_plural))[:MAX_NAME_LENGTH],
        action_flag=CHANGE,
        change_message=sentence,
    )
