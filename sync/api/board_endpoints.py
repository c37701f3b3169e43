"""The boards by API as the admin shows them: state, mapping, filter and numbers; and which fields of records are not
synced until somebody acts, because they are blocked or throttled, with another try.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any
from uuid import UUID

import django_filters
from django.db.models import BooleanField, Count, Max, QuerySet
from django.db.models.expressions import RawSQL
from django_filters.rest_framework import FilterSet
from drf_spectacular.utils import extend_schema_field
from rest_framework import mixins, serializers, viewsets
from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from sync import registry
from sync.api.lists import ShapedView, filtered_by, list_filter
from sync.api.request_rules import KnownFieldsMixin, MayViewOnPost, ModelPermissions, act, allowed
from sync.boards.board_columns import column_type
from sync.boards.mapping import blocked_records, retry_field
from sync.boards.sync_filter import FilterOp, SyncFilter
from sync.choices import RULES, BlockedCode, TokenScope
from sync.kernel.action_errors import Conflict
from sync.limits import BlockedKind
from sync.models import BoardLink, FieldMapping, SyncMetadata, UnmatchedItem, WriteLoop
from sync.records import availability
from sync.records.authors import log_action
from sync.records.availability import number_of
from sync.records.blocked_fields import (
    WAITING_BY_ITSELF,
    is_blocking,
    is_rejected,
    throttled_fields,
    throttled_records,
    waiting_fields_sql,
)
from sync.registry import visible_types


class FieldMappingSerializer(serializers.ModelSerializer[FieldMapping]):
    """Which column a field has, which way it flows, and what decides where both sides changed it."""

    field = serializers.CharField(source="key")
    names = serializers.ListField(source="fields", child=serializers.CharField(), help_text="The record's own fields.")
    column_type = serializers.SerializerMethodField(help_text="As Monday calls it.")
    rule = serializers.ChoiceField(choices=RULES)
    first_match = serializers.ChoiceField(choices=RULES, help_text="What decides when a record and an item first meet.")

    class Meta:
        model = FieldMapping
        fields = [
            *("field", "label", "names", "column_id", "column_type", "direction", "rule", "first_match"),
            *("required", "problem_code", "problem"),
        ]
        read_only_fields = fields

    def get_column_type(self, mapping: FieldMapping) -> str:
        return str(mapping.options.get("column_type") or column_type(mapping.converter))


class FilterConditionSerializer(serializers.Serializer[Any]):
    """One condition of the filter."""

    field = serializers.CharField(help_text="A mapped field, or the item's group.")
    op = serializers.ChoiceField(choices=[op.value for op in FilterOp])
    values = serializers.ListField(child=serializers.CharField())


class BoardFilterSerializer(serializers.Serializer[Any]):
    """Which records and items are synced: those for which all conditions of their side hold."""

    records = FilterConditionSerializer(many=True)
    items = FilterConditionSerializer(many=True)


class BoardCountsSerializer(serializers.Serializer[Any]):
    """The board in numbers."""

    records = serializers.IntegerField()
    linked = serializers.IntegerField(help_text="Records with an item.")
    by_status = serializers.DictField(child=serializers.IntegerField(), help_text="Records by sync_status.")
    jobs = serializers.DictField(child=serializers.IntegerField(), help_text="Unfinished jobs by what they wait for.")
    unmatched_items = serializers.IntegerField()


class BoardSerializer(serializers.ModelSerializer[BoardLink]):
    """One type of records and its board."""

    title = serializers.SerializerMethodField()
    board_url = serializers.SerializerMethodField()
    reason_code = serializers.SerializerMethodField(
        help_text=f"Why it isn't synced: {', '.join(BlockedKind)}; or empty."
    )
    detail = serializers.SerializerMethodField(help_text="The same as a sentence.")
    until = serializers.SerializerMethodField(
        help_text="When it goes on by itself; null: when somebody acts, or at once."
    )
    last_synced = serializers.SerializerMethodField(help_text="When the newest record was last found in sync.")
    counts = serializers.SerializerMethodField()
    filter = serializers.SerializerMethodField()
    mappings = FieldMappingSerializer(many=True, read_only=True)

    class Meta:
        model = BoardLink
        fields = [
            *("entity_type", "title", "board_id", "board_url", "reason_code", "detail", "until", "last_synced"),
            *(
                "match_key",
                "creates_records",
                "removed_item_policy",
                "deleted_record_policy",
                "filter",
                "npd_id_problem",
            ),
            *("webhooks_problem", "swept_at", "compared_at", "compared", "counts", "mappings"),
        ]
        read_only_fields = fields

    def _facts(self, link: BoardLink) -> BoardFacts:
        return self.context["boards"]  # type: ignore[no-any-return]  # put there by the view

    def get_title(self, link: BoardLink) -> str:
        with suppress(registry.UnknownEntity):
            return registry.entity(link.entity_type).board_title
        return link.entity_type

    def get_board_url(self, link: BoardLink) -> str | None:
        link = registry.with_configured_board(link) if registry.is_registered(link.entity_type) else link
        return registry.board_url(link) if link.board_id else None

    def get_reason_code(self, link: BoardLink) -> str:
        return str(self._facts(link).standing(link).reason_code or "")

    def get_detail(self, link: BoardLink) -> str:
        return self._facts(link).standing(link).waiting_reason

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_until(self, link: BoardLink) -> Any:
        return self._facts(link).standing(link).until

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_last_synced(self, link: BoardLink) -> Any:
        return self._facts(link).records[link.entity_type]["last_synced"]

    @extend_schema_field(BoardCountsSerializer)
    def get_counts(self, link: BoardLink) -> Any:
        return self._facts(link).counts(link.entity_type)

    @extend_schema_field(BoardFilterSerializer)
    def get_filter(self, link: BoardLink) -> Any:
        found = SyncFilter()
        with suppress(ValueError, KeyError):
            found = SyncFilter.parse(link.sync_filter)
        return BoardFilterSerializer(found).data


def records_in_numbers() -> dict[str, dict[str, Any]]:
    """The records of each type: how many of which status and how many linked, and when the newest was last synced."""
    found = {}
    for spec in registry.entities():
        by_status = spec.model._default_manager.order_by().values_list("sync_status")
        rows = list(by_status.annotate(Count("pk"), Count("monday_id"), Max("monday_last_synced")))
        found[spec.entity_type] = {
            "by_status": {status: number for status, number, _, _ in rows},
            "linked": sum(linked for _, _, linked, _ in rows),
            "last_synced": max((last for *_, last in rows if last), default=None),
        }
    return found


class BoardFacts:
    """What a page of boards says beside its rows, each read once for all of them."""

    @cached_property
    def overview(self) -> availability.Overview:
        return availability.overview()

    def standing(self, link: BoardLink) -> availability.BoardAvailability:
        return self.overview.by_type.get(link.entity_type) or availability.BoardAvailability(link.entity_type, link)

    @cached_property
    def records(self) -> Mapping[str, dict[str, Any]]:
        return defaultdict(lambda: {"by_status": {}, "linked": 0, "last_synced": None}, records_in_numbers())

    @cached_property
    def unmatched(self) -> Mapping[str, int]:
        return dict(UnmatchedItem.objects.listed().order_by().values_list("entity_type").annotate(Count("pk")))

    def counts(self, entity_type: str) -> dict[str, Any]:
        records, jobs = self.records[entity_type], self.overview.jobs(entity_type)
        phases = dict.fromkeys(one.phase for one in jobs)
        return {
            "records": sum(records["by_status"].values()),
            "linked": records["linked"],
            "by_status": records["by_status"],
            "jobs": {phase: number_of(self.overview.jobs(entity_type, phase)) for phase in phases},
            "unmatched_items": self.unmatched.get(entity_type, 0),
        }


class BoardViewSet(ShapedView, viewsets.ReadOnlyModelViewSet[BoardLink]):
    """The boards: whether they are synced and why not, mapping, filter, numbers. They are set up on pages."""

    queryset = BoardLink.objects.prefetch_related("mappings").order_by("entity_type")
    serializer_class = BoardSerializer
    filterset_class = list_filter(BoardSerializer)
    permission_classes = [ModelPermissions]
    lookup_field = "entity_type"

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "boards": BoardFacts()}


CODES = [(code.value, code.value) for code in BlockedCode]


class BlockedFieldSerializer(serializers.Serializer[Any]):
    """One field that is not synced until somebody acts."""

    field = serializers.CharField()
    rejected = serializers.BooleanField(help_text="Whether Monday rejects the value; else it is blocked here.")
    code = serializers.CharField(help_text="Why, for programs.")
    reason = serializers.CharField(help_text="Why, as a sentence.")


def blocked_fields_of(ledger: SyncMetadata) -> list[dict[str, Any]]:
    """Return the fields of a record that wait for somebody; those in conflict are asked about by their conflict."""
    asked = {*ledger.conflicts.get("fields", ()), *ledger.conflicts.get("overwritten", ())}
    return [
        {
            "field": key,
            "rejected": is_rejected(entry),
            "code": entry.get("code", ""),
            "reason": str(entry.get("reason", "")),
        }
        for key, entry in ledger.blocked_fields.items()
        if is_blocking(entry) and key not in asked and entry.get("code") not in WAITING_BY_ITSELF
    ]


class BlockedRecordSerializer(serializers.ModelSerializer[SyncMetadata]):
    """A record with its blocked fields."""

    monday_id = serializers.CharField(source="remote_id", read_only=True, allow_null=True)
    blocked = serializers.SerializerMethodField()

    class Meta:
        model = SyncMetadata
        fields = ["id", "entity_type", "entity_id", "monday_id", "last_sync_attempt", "blocked"]
        read_only_fields = fields

    @extend_schema_field(BlockedFieldSerializer(many=True))
    def get_blocked(self, ledger: SyncMetadata) -> Any:
        return blocked_fields_of(ledger)


@filtered_by(BlockedRecordSerializer)
class BlockedFilter(FilterSet):  # type: ignore[misc]
    """The filters of records with blocked fields."""

    entity_id = django_filters.UUIDFilter()
    field = django_filters.CharFilter(
        field_name="blocked_fields", lookup_expr="has_key", label="Field", help_text="Records on which it is blocked."
    )
    code = django_filters.ChoiceFilter(
        method="with_code", choices=CODES, label="Code", help_text="Records with a field blocked so."
    )

    def with_code(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        path = "$.* ? (@.code == $code)"
        sql = "jsonb_path_exists(blocked_fields, %s::jsonpath, jsonb_build_object('code', %s::text))"
        holds = RawSQL(sql, (path, value), BooleanField())  # noqa: S611 - a literal; what is asked are parameters
        return queryset.filter(holds)


class RetryFieldSerializer(KnownFieldsMixin):
    """Which field is tried again, on all records of the type on which it waits."""

    entity_type = serializers.CharField()
    field = serializers.CharField(help_text="The mapped field.")


class RetryBlockedSerializer(RetryFieldSerializer):
    """The same, for one reason."""

    code = serializers.ChoiceField(choices=CODES, help_text="As the list says.")


class RetriedSerializer(serializers.Serializer[Any]):
    """What is tried again."""

    done = serializers.IntegerField(help_text="Records on which it is tried again.")
    left = serializers.IntegerField(help_text="Records whose sync is off.")


class WaitingFieldsView(ShapedView, mixins.ListModelMixin, viewsets.GenericViewSet[Any]):
    """Fields that wait, of records that the caller may see, and another try of one of them."""

    permission_classes = [MayViewOnPost]
    problem_codes = (404,)
    scope = TokenScope.OPERATE

    def get_queryset(self) -> QuerySet[Any]:
        return super().get_queryset().filter(entity_type__in=visible_types(self.request.user))

    def retry_on_all(self, request: Request, values: Mapping[str, Any], waiting: Any) -> Response:
        """Try a field again on the records that `waiting` finds of its mapping."""
        entity_type, key = values["entity_type"], values["field"]
        mappings = FieldMapping.objects.select_related("link")
        mapping = mappings.filter(link__entity_type=entity_type, key=key).first()
        if mapping is None or not registry.is_registered(entity_type):
            raise NotFound(f"There is no field “{key}” of “{entity_type}”. See GET sync/boards/.")
        if not registry.may_act(request.user, "change", entity_type):
            raise PermissionDenied
        ids: Sequence[UUID] = waiting(mapping)
        done = retry_field(mapping, ids, request.user.get_username())
        log_action(request.user, mapping, f"Tried again on {done:,} records, by the API.")
        return Response(RetriedSerializer({"done": done, "left": len(ids) - done}).data)


class BlockedFieldViewSet(WaitingFieldsView):
    """Records with fields that aren't synced until somebody acts: Monday rejects the value, or NPD can't send it. The
    values are in `GET {type}/{id}/sync`.
    """

    queryset = SyncMetadata.objects.order_by("id")
    serializer_class = BlockedRecordSerializer
    filterset_class = BlockedFilter

    def get_queryset(self) -> QuerySet[Any]:
        waiting = (waiting_fields_sql(rejected=rejected) for rejected in (True, False))
        sql = " UNION ALL ".join(f"SELECT ledger.id {one}" for one in waiting)
        return super().get_queryset().filter(pk__in=RawSQL(sql, ()))  # noqa: S611 - made of our own literals

    @act(detail=False, request=RetryBlockedSerializer, responses=RetriedSerializer)
    def retry(self, request: Request) -> Response:
        """Send a field once more on all records on which it is blocked for this reason. Needs the permission to change
        such records. A value over the column's limit is not sent again before it changes.
        """
        wanted = RetryBlockedSerializer.read(request)
        code = wanted["code"]
        if code == BlockedCode.LIMIT:
            raise Conflict("A value over the column's limit is sent again once it has changed. Correct it.")
        return self.retry_on_all(request, wanted, lambda mapping: blocked_records(mapping, code))


class WriteLoopSerializer(serializers.ModelSerializer[WriteLoop]):
    """A field of a record that somebody on Monday rewrites after each of our writes, so nothing is sent to it now."""

    field = serializers.CharField(source="key")
    until = serializers.DateTimeField(source="throttled_until", help_text="Then it is tried once.")
    rewritten = serializers.SerializerMethodField(help_text="How often within an hour.")

    class Meta:
        model = WriteLoop
        fields = ["id", "entity_type", "entity_id", "field", "by", "rewritten", "until"]
        read_only_fields = fields

    def get_rewritten(self, loop: WriteLoop) -> int:
        return len(loop.times)


class UpdateLoopViewSet(WaitingFieldsView):
    """Fields to which nothing is sent for a time, because somebody on Monday rewrites them each time."""

    queryset = WriteLoop.objects.order_by("id")
    serializer_class = WriteLoopSerializer
    filterset_class = list_filter(WriteLoopSerializer)
    # Whoever may see the boards may see them, as in the admin.
    permission_classes = [allowed(lambda request, view: request.user.has_perm("sync.view_boardlink"))]

    def get_queryset(self) -> QuerySet[Any]:
        types = visible_types(self.request.user)
        return throttled_fields().filter(entity_type__in=types).order_by("id")

    @act(detail=False, request=RetryFieldSerializer, responses=RetriedSerializer)
    def retry(self, request: Request) -> Response:
        """Send the field again on all records on which it is throttled: the rewriting was stopped. Needs the
        permission to change such records.
        """
        return self.retry_on_all(request, RetryFieldSerializer.read(request), throttled_records)
