"""Many records in one request: what each row names, which are refused, how the others are written at once.

A row is refused for itself: unknown fields, a stale ETag, no permission. What is left is written in one
transaction, all creates in a statement, then all changes, then all deletes; triggers, outbox and history see
them as they see single ones. Where the database refuses a statement it is divided until the row is found.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any, cast
from uuid import UUID

import pghistory
from django.contrib.admin.models import ADDITION, CHANGE, DELETION
from django.core.exceptions import ValidationError
from django.db import DatabaseError, OperationalError, models, transaction
from django.db.models import ProtectedError, RestrictedError
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import exceptions, serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from sync.api.preconditions import FAILED, SameValue, WarningSerializer, check_tag, etag_of
from sync.api.problems import MEDIA_TYPE, ActionProblem, ProblemSerializer, Refused, problem_body, problem_of
from sync.api.request_rules import KnownFieldsMixin, act, allowed
from sync.kernel.db import update_many
from sync.kernel.messages import Conflict
from sync.models import SyncedModel
from sync.outbox.notify import notify_board
from sync.reconcile.lookups import match_key, phone_region
from sync.records.authors import log_action_each
from sync.records.external_ids import Name, lock_sources, parse_name, records_named, set_external_ids, taken
from sync.registry import has_right

MAX_OPERATIONS = 1_000


class BulkAction(models.TextChoices):
    """What is to be done with a record."""

    CREATE = "create", "Create it"
    UPDATE = "update", "Write the fields sent"
    UPSERT = "upsert", "Write them, or create it"
    DELETE = "delete", "Delete it"


NEEDED: Mapping[BulkAction, Sequence[str]] = {
    BulkAction.CREATE: ("add",),
    BulkAction.UPDATE: ("change",),
    BulkAction.UPSERT: ("add", "change"),
    BulkAction.DELETE: ("delete",),
}
"""The permissions on the model that an action needs."""

NAMED_BY: Mapping[BulkAction, Sequence[str]] = {
    BulkAction.CREATE: (),
    BulkAction.UPDATE: ("id", "external_id"),
    BulkAction.UPSERT: ("external_id",),
    BulkAction.DELETE: ("id", "external_id"),
}
"""By which of its members an action may name a record: just one of them."""


class BulkOperationSerializer(KnownFieldsMixin):
    """One row: what is to be done, with which record, and its fields."""

    action = serializers.ChoiceField(choices=BulkAction.choices)
    id = serializers.UUIDField(required=False, help_text="The record, of an update or a delete.")
    external_id = serializers.CharField(
        required=False, help_text="The record, of an update, upsert or delete, as source:value."
    )
    if_match = serializers.CharField(
        required=False, help_text="ETags as read: where the record has another now, the row is refused (412)."
    )
    record = serializers.DictField(required=False, help_text="The fields to write; not of a delete.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        action = BulkAction(attrs["action"])
        names, errors = [name for name in ("id", "external_id") if name in attrs], {}
        if len(names) != bool(NAMED_BY[action]) or not set(names) <= set(NAMED_BY[action]):
            wanted = " or ".join(NAMED_BY[action])
            errors["id"] = [f"Of {action} give {wanted}." if wanted else "A create takes neither id nor external_id."]
        if ("record" in attrs) == (action == BulkAction.DELETE):
            errors["record"] = ["A delete takes none." if "record" in attrs else "Give the fields to write."]
        if "if_match" in attrs and action == BulkAction.CREATE:
            errors["if_match"] = ["There is no record yet that it could be the tag of."]
        if errors:
            raise serializers.ValidationError(errors)
        return attrs

    def validate_external_id(self, value: str) -> Name:
        try:
            return parse_name(value)
        except ValueError as wrong:
            raise serializers.ValidationError(str(wrong), code="bad_external_id") from wrong


class BulkSerializer(KnownFieldsMixin):
    """Up to 1,000 operations on records of one type, each record once."""

    atomic = serializers.BooleanField(
        default=False, help_text="Do all or nothing. Otherwise a row that is refused stops no other."
    )
    operations = serializers.ListField(
        child=serializers.JSONField(), allow_empty=False, max_length=MAX_OPERATIONS, help_text="In any order."
    )


class BulkResultSerializer(serializers.Serializer[Any]):
    """What became of one row."""

    index = serializers.IntegerField(help_text="The row's place in `operations`, from 0.")
    status = serializers.IntegerField(help_text="As of a request of its own: 200, 201, 204, or the problem's.")
    id = serializers.UUIDField(allow_null=True)
    etag = serializers.CharField(allow_null=True, help_text="As it is now; null of a deleted or refused one.")
    problem = ProblemSerializer(allow_null=True)
    warnings = WarningSerializer(many=True)


class BulkAnswerSerializer(serializers.Serializer[Any]):
    """What became of all rows, in their order."""

    batch = serializers.UUIDField(help_text="Stands with each change in the records' history.")
    done = serializers.IntegerField()
    refused = serializers.IntegerField()
    results = BulkResultSerializer(many=True)


class BulkRefusedSerializer(ProblemSerializer):
    """Why nothing was done: the rows that were refused."""

    results = BulkResultSerializer(many=True, required=False)


MayChangeSome = allowed(
    lambda request, view: any(
        has_right(request.user, act, view.queryset.model._meta.label_lower) for act in ("add", "change", "delete")
    )
)
"""For a request whose rows need one permission or another; each row is checked for its own."""


@dataclass
class _Row:
    """One operation on its way: `pk` is the record's id once that is known, `problem` why it isn't done."""

    index: int
    action: BulkAction | None = None
    given: dict[str, Any] = field(default_factory=dict)
    pk: UUID | None = None
    record: SyncedModel | None = None
    names: dict[str, str | None] = field(default_factory=dict)
    problem: dict[str, Any] | None = None

    def refuse(self, error: exceptions.APIException) -> None:
        self.problem = problem_of(error)

    @property
    def named(self) -> Name | None:
        return self.given.get("external_id")


class Bulk:
    """The rows of one request, checked and written in the caller's transaction."""

    def __init__(self, serializer: type[serializers.ModelSerializer[Any]], user: Any, same: SameValue) -> None:
        self.model, self.serializer, self.user, self.same = same.model, serializer, user, same
        self.entity_type = same.model.entity_type()
        self.rows: list[_Row] = []

    def check(self, operations: Sequence[Any]) -> None:
        """Read the rows, find and lock their records, and refuse what can't be done; nothing is written."""
        self.rows = [_Row(index) for index in range(len(operations))]
        for row, operation in zip(self.rows, operations, strict=True):
            self._read(row, operation)
        self._find_records()
        self._check_records()
        self._check_external_ids()
        if self.same.is_unique:
            self._check_unique()

    @property
    def is_refused(self) -> bool:
        return any(row.problem is not None for row in self.rows)

    @property
    def open(self) -> Iterator[_Row]:
        return (row for row in self.rows if row.problem is None)

    def _read(self, row: _Row, operation: Any) -> None:
        try:
            row.given = BulkOperationSerializer().run_validation(operation)
        except exceptions.ValidationError as error:
            return row.refuse(error)
        row.action = BulkAction(row.given["action"])
        label = self.model._meta.label_lower
        if missing := [act for act in NEEDED[row.action] if not has_right(self.user, act, label)]:
            row.refuse(exceptions.PermissionDenied(f"You may not {missing[0]} these records."))
        return None

    def _find_records(self) -> None:
        # A look-up that may create, before any row is locked.
        upserts = (row.named for row in self.open if row.action == BulkAction.UPSERT)
        lock_sources(self.entity_type, {named[0] for named in upserts if named})
        self.same.lock(row.given.get("record") for row in self.open)
        owners = records_named(self.entity_type, {row.named for row in self.open if row.named})
        for row in self.open:
            row.pk = row.given.get("id") or (owners.get(row.named) if row.named else None)
        wanted = [row.pk for row in self.open if row.pk]
        # In the order of ids, as everything that locks several records, or two would wait for each other in a circle.
        locked = self.model._default_manager.select_for_update(no_key=True, of=("self",)).filter(pk__in=wanted)
        related = locked.select_related(*self.model.sync_related)
        records = {record.pk: record for record in related.order_by("pk")}
        times = Counter(key for row in self.open if (key := row.pk or row.named))
        for row in self.open:
            row.record = records.get(row.pk) if row.pk else None
            if row.action == BulkAction.UPSERT:
                row.action = BulkAction.UPDATE if row.record else BulkAction.CREATE
                if row.record is None and row.named:
                    row.pk, row.names = None, dict([row.named])
            elif row.action != BulkAction.CREATE and row.record is None:
                row.refuse(exceptions.NotFound("There is no such record."))
            if times[row.pk or row.named] > 1:  # type: ignore[index]  # a row that names none is counted nowhere
                message = "The request names this record more than once. Send one operation for each."
                row.refuse(ActionProblem(Conflict(message, code="named_twice")))

    def _check_records(self) -> None:
        """Compare ETags, and validate what is to be written, as a request of its own would."""
        create: Any = self.serializer()
        change: Any = self.serializer(partial=True)
        create.known_region = change.known_region = phone_region()
        sent = [row.given["record"] for row in self.open if "record" in row.given]
        for used in (create, change):
            relations: list[tuple[str, Any]] = [
                (name, one) for name, one in used.fields.items() if isinstance(one, serializers.PrimaryKeyRelatedField)
            ]
            for name, relation in relations:
                if not relation.read_only:
                    relation.queryset = _RelatedRows(relation.get_queryset(), [one.get(name) for one in sent])
        for row in self.open:
            try:
                if row.record is not None:
                    check_tag(row.given.get("if_match"), row.record)
                elif "if_match" in row.given:
                    raise Refused(FAILED, "There is no such record, so it isn't the one that you read.")
                if row.action == BulkAction.DELETE:
                    continue
                # One serializer for all rows: to make one takes longer than to use it.
                used = create if row.record is None else change
                used.instance = row.record
                values = used.run_validation(row.given["record"])
                self._check_name(row, external_ids := values.pop("external_ids", {}))
                row.names |= external_ids
                if row.record is None:
                    row.record = self.model(**values)
                    row.pk = row.record.pk
                else:
                    for name, value in values.items():
                        setattr(row.record, name, value)
            except exceptions.ValidationError as error:
                row.refuse(exceptions.ValidationError({"record": error.detail}))
            except exceptions.APIException as error:
                row.refuse(error)

    def _check_name(self, row: _Row, external_ids: Mapping[str, str | None]) -> None:
        # An upsert that gave its record another name would not find it the next time, and make one more.
        if row.named and row.given["action"] == BulkAction.UPSERT:
            source, value = row.named
            if external_ids.get(source, value) != value:
                message = f"The operation names {source}:{value}. Leave {source} out here, or send the same."
                raise serializers.ValidationError({"external_ids": {source: [message]}}, code="contradiction")

    def _check_external_ids(self) -> None:
        wanted = {(source, value) for row in self.open for source, value in row.names.items() if value}
        owners = records_named(self.entity_type, wanted)
        for row in self.open:
            for source, value in row.names.items():
                owner = owners.setdefault((source, value), row.pk) if value and row.pk else row.pk
                if owner != row.pk:
                    shown = owner if self.same.names_others else None
                    row.refuse(ActionProblem(taken(self.entity_type, (source, str(value)), shown)))
                    break  # fifty reasons cost fifty times as much, and the last one is told

    def _check_unique(self) -> None:
        """Refuse what another record says already, or a row before."""
        claimed = set[str]()
        others = self.same.others(self._said())
        for row in self.open:
            if row.pk in others:
                key = match_key(self.entity_type, self.same.field, getattr(_record(row), self.same.field))
                if others[row.pk] or key in claimed:
                    row.refuse(ActionProblem(self.same.refusal(others[row.pk])))
                claimed.add(key)

    def _said(self) -> dict[UUID, Any]:
        """What the open rows write to the match field, by their records."""
        named = [row for row in self.open if self.same.field in row.given.get("record", {})]
        return {row.pk: getattr(_record(row), self.same.field) for row in named if row.pk}

    # --- writing ---

    def write(self, batch: UUID) -> None:
        """Write what isn't refused, log it, and send one wake-up on commit; raises IntegrityError."""
        created = [row for row in self.open if row.action == BulkAction.CREATE]
        changed = [row for row in self.open if row.action == BulkAction.UPDATE]
        deleted = [row for row in self.open if row.action == BulkAction.DELETE]
        with pghistory.context(batch=str(batch)):
            self._store(created, self._insert)
            self._store([row for row in changed if _record(row).changed_fields()], self._update)
            written = [row for row in (*created, *changed) if row.problem is None]
            set_external_ids(self.entity_type, {_record(row).pk: row.names for row in written if row.names})
            # Before the deletion: the log needs the record's name.
            log_action_each(self.user, self._sentences(deleted, batch), flag=DELETION)
            self._store(deleted, self._delete)
            for rows, flag in ((created, ADDITION), (changed, CHANGE)):
                done = [row for row in rows if row.problem is None]
                log_action_each(self.user, self._sentences(done, batch), flag=flag)
        transaction.on_commit(partial(notify_board, self.entity_type), robust=True)

    def _sentences(self, rows: Iterable[_Row], batch: UUID) -> Iterator[tuple[models.Model, str]]:
        done = {BulkAction.CREATE: "Made", BulkAction.UPDATE: "Changed", BulkAction.DELETE: "Deleted"}
        for row in rows:
            fields = ", ".join(sorted(row.given.get("record", {}))) if row.action == BulkAction.UPDATE else ""
            word = done[row.action or BulkAction.CREATE]
            yield _record(row), f"{word} by the API{f': {fields}' if fields else ''} (batch {batch})."

    def _insert(self, rows: Sequence[_Row]) -> None:
        self.model._default_manager.bulk_create([_record(row) for row in rows])

    def _update(self, rows: Sequence[_Row]) -> None:
        names = sorted({name for row in rows for name in _record(row).changed_fields()})
        update_many([_record(row) for row in rows], names)

    def _delete(self, rows: Sequence[_Row]) -> None:
        self.model._default_manager.filter(pk__in=[row.pk for row in rows]).delete()

    def _store(self, rows: Sequence[_Row], write: Callable[[Sequence[_Row]], None]) -> None:
        """Write these at once; what the database refuses is divided, until one row is to blame."""
        if not rows:
            return
        try:
            with transaction.atomic():
                write(rows)
        except OperationalError:  # a lock, or the connection: no row is to blame
            raise
        except (DatabaseError, ProtectedError, RestrictedError) as error:
            if len(rows) > 1:
                half = len(rows) // 2
                self._store(rows[:half], write)
                self._store(rows[half:], write)
                return
            reason = str(error.args[0] if error.args else error).strip().splitlines()[0]
            rows[0].refuse(ActionProblem(Conflict(f"The database refuses it: {reason}")))

    def results(self, *, only_refused: bool = False) -> list[dict[str, Any]]:
        """What became of each row, with the ETags of now."""
        kept = [row.pk for row in self.open if row.pk and row.action != BulkAction.DELETE]
        now = {} if only_refused else self.model._default_manager.in_bulk(kept)
        others = {} if only_refused else self.same.others(self._said())
        return [
            {**self._result(row, now), "warnings": self.same.warnings(others.get(row.pk, []) if row.pk else [])}
            for row in self.rows
            if not only_refused or row.problem is not None
        ]

    def _result(self, row: _Row, now: Mapping[UUID, SyncedModel]) -> dict[str, Any]:
        if row.problem is not None:
            known = row.given.get("id") or (row.pk if row.action != BulkAction.CREATE else None)
            found = {"status": row.problem["status"], "id": known, "etag": None}
        elif row.action == BulkAction.DELETE:
            found = {"status": HTTPStatus.NO_CONTENT, "id": row.pk, "etag": None}
        else:
            code = HTTPStatus.CREATED if row.action == BulkAction.CREATE else HTTPStatus.OK
            found = {"status": code, "id": row.pk, "etag": etag_of(now[row.pk])}  # type: ignore[index]  # it is stored
        return {"index": row.index, **found, "id": found["id"] and str(found["id"]), "problem": row.problem}


class _RelatedRows:
    """In place of a relation's queryset: the rows that a request names, read by one query for all."""

    def __init__(self, rows: Any, named: Sequence[Any]) -> None:
        self.model = rows.model
        self.found = rows.in_bulk({key for one in named if (key := self._key(one)) is not None})

    def _key(self, value: Any) -> Any:
        try:
            return self.model._meta.pk.to_python(value)
        except ValidationError:  # its row is refused for it
            return None

    def get(self, pk: Any) -> models.Model:
        """The row; raises as a queryset does."""
        try:
            found: models.Model = self.found[self.model._meta.pk.to_python(pk)]
        except KeyError:
            raise self.model.DoesNotExist from None
        return found


def _record(row: _Row) -> SyncedModel:
    assert row.record is not None
    return row.record


class BulkMixin(viewsets.GenericViewSet[Any]):
    """Many records of a view set's model at once."""

    @act(detail=False, permission_classes=[MayChangeSome])
    def bulk(self, request: Request) -> Response:
        """Up to 1,000 operations in one transaction, with a result for each in their order. With `atomic` all or
        nothing: 422 with the refused rows.
        """
        body = BulkSerializer.read(request)
        batch, is_atomic = uuid.uuid4(), body["atomic"]
        bulk = Bulk(cast("Any", self.serializer_class), request.user, SameValue(request, self.get_queryset().model))
        with transaction.atomic():
            bulk.check(body["operations"])
            if not (is_atomic and bulk.is_refused):
                bulk.write(batch)
            if is_atomic and bulk.is_refused:
                # Not by an exception, which would take the answer with it: that lists the refused rows.
                transaction.set_rollback(True)
                return _refusal(bulk)
            results = bulk.results()
        refused = sum(row.problem is not None for row in bulk.rows)
        return Response({"batch": batch, "done": len(results) - refused, "refused": refused, "results": results})


def _refusal(bulk: Bulk) -> Response:
    code, results = HTTPStatus.UNPROCESSABLE_ENTITY, bulk.results(only_refused=True)
    number = f"{len(results)} of {len(bulk.rows)} operations"
    detail = f"{number} can't be done, so none was. Correct them, or send without atomic."
    body = {**problem_body(code, "bulk_refused", detail), "results": results}
    return Response(body, status=code, content_type=MEDIA_TYPE)


_ONE_OF_EACH = {
    "atomic": False,
    "operations": [
        {"action": "create", "record": {"name": "Ada Lovelace"}},
        {"action": "upsert", "external_id": "crm:4711", "record": {"name": "Grace Hopper"}},
        {"action": "update", "id": str(UUID(int=1)), "record": {"notes": "Met in May"}},
        {"action": "delete", "external_id": "crm:4712"},
    ],
}


def bulk_schema(name: str, of_fields: type[Any]) -> Any:
    """What the schema says of one model's bulk; `of_fields` is its serializer without a required field."""
    operation = type(
        f"{name}BulkOperationSerializer",
        (BulkOperationSerializer,),
        {"record": of_fields(required=False), "__doc__": BulkOperationSerializer.__doc__},
    )

    @extend_schema_field(operation(many=True))
    class Operations(serializers.ListField):
        """The rows as the schema shows them; when they are read, each is refused for itself."""

    fields = {
        "operations": Operations(allow_empty=False, min_length=1, max_length=MAX_OPERATIONS),
        "__doc__": BulkSerializer.__doc__,
    }
    return extend_schema(
        request=type(f"{name}BulkSerializer", (BulkSerializer,), fields),
        responses={
            200: BulkAnswerSerializer,
            (422, MEDIA_TYPE): OpenApiResponse(BulkRefusedSerializer, description="Unprocessable Entity"),
        },
        examples=[OpenApiExample("One of each", _ONE_OF_EACH, request_only=True)],
    )
