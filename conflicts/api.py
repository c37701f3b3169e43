"""Conflicts by API: how they look, the list, one, the numbers, and the resolution; and the values that Monday rejected,
with a person's answer and its undo.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any, ClassVar, cast
from uuid import UUID

import django_filters
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError as InvalidValue
from django.db.models import Count, QuerySet
from django.urls import reverse
from django_filters.rest_framework import FilterSet
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from conflicts import bulk_resolution
from conflicts.bulk_resolution import BULK_TYPES
from conflicts.case import STATE_LABELS, ConflictContext, conflict_progress, described_case, listed_case, state_of
from conflicts.models import (
    BEING_APPLIED,
    CHOICES,
    CUSTOM,
    MONDAY,
    NPD,
    OPEN_FIRST,
    ConflictBatch,
    SyncConflict,
    conflict_counts,
    counts_by_kind,
)
from conflicts.rejections import (
    RejectionCase,
    answer_rejection,
    can_undo,
    last_answer,
    rejection_cases,
    rejection_progress,
    undo_answer,
)
from conflicts.resolution import MANUAL_TYPES, DecidedTooLate, InvalidResolution, resolve, undo
from sync import registry
from sync.api.lists import CountedRows, NumberedPages, ShapedView, filtered_by
from sync.api.problems import ProblemSerializer, or_conflict, refusal
from sync.api.request_rules import (
    UUID_REGEX,
    ApiRouter,
    ApiView,
    EntityType,
    KnownFieldsMixin,
    MayChange,
    ModelPermissions,
    TrueOrFalse,
    act,
    asked_for,
)
from sync.choices import TokenScope
from sync.kernel.action_errors import Conflict
from sync.kernel.conflict_store import MERGE_RECORDS, OptionAct
from sync.merge import FieldSelection
from sync.models import Decision, FieldMapping
from sync.records.blocked_fields import RejectedChoice, count_rejected_values, rejected_values
from sync.registry import visible_types

OPTION_CHOICES = (NPD, MONDAY, CUSTOM)


class OptionSerializer(serializers.Serializer[Any]):
    """One way out of a conflict about the record itself."""

    choose = serializers.ChoiceField(choices=OPTION_CHOICES)
    value = serializers.CharField(help_text="Names a custom option; else empty.")
    label = serializers.CharField(help_text="What the button says.")  # type: ignore[assignment] # DRF's own attribute
    effect = serializers.CharField(help_text="What will happen, as a sentence.")
    does = serializers.CharField(
        required=False,
        help_text=f"What it creates, deletes, unlinks or merges: {', '.join([*OptionAct, MERGE_RECORDS])}; empty where "
        "it does none of that.",
    )


class CandidateSerializer(serializers.Serializer[Any]):
    """One item or record among those that could be the same."""

    id = serializers.CharField(help_text="The item's id, or the record's.")
    label = serializers.CharField(required=False)  # type: ignore[assignment] # DRF's own attribute
    linked_to = serializers.CharField(required=False, allow_null=True, help_text="What it is linked with already.")
    values = serializers.DictField(child=serializers.CharField(), required=False, help_text="By field, of an item.")


class AboutSerializer(serializers.Serializer[Any]):
    """What happened to a record or its item, and what can be done."""

    what = serializers.CharField(required=False, help_text="What happened, as a sentence.")
    options = OptionSerializer(many=True, required=False)
    candidates = CandidateSerializer(many=True, required=False, help_text="Of an identity.")
    item = CandidateSerializer(required=False, help_text="Of an identity that is about an item: that item.")


class SyncConflictResponseSerializer(serializers.ModelSerializer[SyncConflict]):
    """A conflict. `npd_data`, `monday_data` and `base_data` are keyed by field; null is empty.

    Of the kind overwritten `npd_data` is what stands on both sides, `monday_data` the value that was lost. Of the kinds
    delete and identity `about` says what happened and which options there are; choose one under the key `record`.
    """

    monday_id = serializers.CharField(source="monday_item_id", read_only=True, help_text="The item.")
    state = serializers.SerializerMethodField(help_text="open, applying, handed_back, partly, settled or undoing.")
    left_open = serializers.ListField(
        child=serializers.CharField(),
        read_only=True,
        help_text="Fields that nothing is chosen for; `record` where the choice is about the record itself.",
    )
    both_data = serializers.SerializerMethodField(
        help_text="By field: of each long text in conflict both sides in one. Send it as custom to use both."
    )
    about = AboutSerializer(read_only=True, help_text="Of delete and identity; empty for the other kinds.")
    resolution = serializers.JSONField(read_only=True)
    resolved_by = serializers.StringRelatedField[Any](allow_null=True)

    class Meta:
        model = SyncConflict
        fields = [
            *("id", "entity_type", "entity_id", "monday_id", "kind", "state", "conflict_fields"),
            *(
                "npd_data",
                "monday_data",
                "base_data",
                "both_data",
                "about",
                "notes",
                "detected_at",
                "resolution",
                "resolution_problem",
            ),
            *("left_open", "resolved_at", "resolution_type", "resolved_by", "merge_selections", "resolved_data"),
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.DictField(child=serializers.CharField()))
    def get_both_data(self, conflict: SyncConflict) -> dict[str, str]:
        rows = listed_case(conflict, "").rows
        return {row.key: row.both for row in rows if row.both}

    @extend_schema_field(serializers.ChoiceField(choices=list(STATE_LABELS)))
    def get_state(self, conflict: SyncConflict) -> str:
        return state_of(conflict)


class ResolvedSerializer(SyncConflictResponseSerializer):
    """A conflict with the sentence that says how far it is."""

    message = serializers.SerializerMethodField()

    class Meta(SyncConflictResponseSerializer.Meta):
        ref_name = "SyncConflictResolved"
        fields = [*SyncConflictResponseSerializer.Meta.fields, "message"]
        read_only_fields = fields

    def get_message(self, conflict: SyncConflict) -> str:
        return conflict_progress(conflict).sentence


class SelectionSerializer(KnownFieldsMixin):
    """One field's choice; under `record` one of the options."""

    choose = serializers.ChoiceField(choices=CHOICES)
    value = serializers.CharField(
        required=False,
        allow_null=True,
        allow_blank=True,
        trim_whitespace=False,
        help_text="For custom: the text, or the option's value.",
    )


class SeenSerializer(KnownFieldsMixin):
    """The values of one field that the choice was made for."""

    npd = serializers.CharField(allow_null=True, allow_blank=True, trim_whitespace=False)
    monday = serializers.CharField(allow_null=True, allow_blank=True, trim_whitespace=False)


MANUAL_CHOICES = [(kind.value, kind.label) for kind in MANUAL_TYPES]


class ResolveSerializer(KnownFieldsMixin):
    """A resolution: one side for all fields, or a choice by field, for exactly the values seen."""

    resolution_type = serializers.ChoiceField(choices=MANUAL_CHOICES)
    selections = serializers.DictField(child=SelectionSerializer(), required=False, help_text="Of a merge.")
    seen = serializers.DictField(child=SeenSerializer(), help_text="By field, as the conflict showed them.")


class ConflictProblemSerializer(ProblemSerializer):
    """The values are no longer those that were seen, or nothing waits for a choice."""

    current = serializers.DictField(child=SeenSerializer(), required=False, help_text="The values of now, by field.")


class EditorSerializer(serializers.Serializer[Any]):
    """Who edited a side, and when."""

    who = serializers.CharField()
    at = serializers.DateTimeField()
    way = serializers.CharField(help_text="As “in the admin”, or empty.")


class ConflictSideSerializer(serializers.Serializer[Any]):
    """One side of a field in conflict."""

    value = serializers.CharField(allow_null=True)
    editor = EditorSerializer(allow_null=True, help_text="null where the history doesn't say it any more.")


class ConflictFieldSerializer(serializers.Serializer[Any]):
    """A field in conflict."""

    field = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment] # DRF's own attribute
    npd = ConflictSideSerializer()
    monday = ConflictSideSerializer()
    base = serializers.CharField(allow_null=True, help_text="What both sides had when they were last in sync.")


class ConflictContextSerializer(serializers.Serializer[Any]):
    """What a person looks at before choosing."""

    id = serializers.UUIDField()
    record = serializers.CharField(help_text="Its name; empty where you may not see such records.")
    monday_id = serializers.CharField()
    item_url = serializers.CharField(allow_null=True)
    fields = ConflictFieldSerializer(many=True)  # type: ignore[assignment] # DRF's own attribute


class ConflictStatsSerializer(serializers.Serializer[Any]):
    """Conflicts in numbers."""

    unresolved = serializers.IntegerField()
    resolved = serializers.IntegerField()
    total = serializers.IntegerField()
    applying = serializers.IntegerField(help_text="Of the unresolved: chosen, and being applied.")
    by_kind = serializers.DictField(
        child=serializers.IntegerField(), help_text="The unresolved by kind: fields, overwritten, delete, identity."
    )


DECISION_RESPONSES = or_conflict(ResolvedSerializer, ConflictProblemSerializer)


def validate_field(value: str) -> None:
    """Raise for what is no field of any type of records, nor of any board."""
    keys = {mapping.key for spec in registry.entities() for mapping in spec.mappings}
    if value not in keys and not FieldMapping.objects.filter(key=value).exists():
        known = ", ".join(sorted(keys))
        raise InvalidValue(f"There is no such field. Known: {known}.", code="unknown")


@filtered_by(SyncConflictResponseSerializer, order=False)
class ConflictFilter(FilterSet):  # type: ignore[misc]
    """What the list can be narrowed by."""

    resolved = TrueOrFalse(
        field_name="resolved_at", lookup_expr="isnull", exclude=True, label="Resolved", help_text="false: open ones."
    )
    resolved_by = django_filters.CharFilter(field_name="resolved_by__username", label="Resolved by")
    field = django_filters.CharFilter(
        method="about_field",
        label="Field",
        help_text="Conflicts on this field: email, phone …",
        validators=[validate_field],
    )

    def about_field(self, queryset: QuerySet[SyncConflict], name: str, value: str) -> QuerySet[SyncConflict]:
        return queryset.filter(conflict_fields__contains=[value])


# One side for all that match: prepared, shown, confirmed by number, stopped, undone.


class BulkResolutionRequestSerializer(KnownFieldsMixin):
    """The side that is to be kept, or the act to be done, in all conflicts that the query's filters name."""

    resolution_type = serializers.ChoiceField(
        choices=BULK_TYPES,
        help_text="A side: of values, and of what was deleted on one side the option that it means (`plan` counts what "
        "is created and deleted by it). Or an act on what was deleted on one side, and nothing else.",
    )


class BulkPlanSerializer(serializers.Serializer[Any]):
    """What a bulk resolution writes where; of resolutions that were chosen one by one nothing is planned."""

    npd = serializers.IntegerField(default=0, help_text="Values of NPD.")
    monday = serializers.IntegerField(default=0, help_text="Columns on Monday.")
    about_records = serializers.IntegerField(default=0, help_text="Conflicts about the record itself.")
    npd_deleted = serializers.IntegerField(default=0, help_text="Records deleted in NPD.")
    npd_created = serializers.IntegerField(default=0, help_text="Deleted records restored in NPD.")
    monday_deleted = serializers.IntegerField(default=0, help_text="Items archived or deleted on Monday.")
    monday_created = serializers.IntegerField(default=0, help_text="Items created again on Monday.")
    unlinked = serializers.IntegerField(default=0, help_text="Records and items unlinked.")
    calls = serializers.IntegerField(default=0, help_text="Calls of Monday's API, at least.")


class BulkResolutionSerializer(serializers.ModelSerializer[ConflictBatch]):
    """One side for many conflicts: what it would do, or how far it is."""

    by = serializers.StringRelatedField[Any](allow_null=True)
    plan = BulkPlanSerializer(read_only=True)
    total = serializers.IntegerField(read_only=True, help_text="Conflicts that it resolves: the number to confirm.")
    outcomes = serializers.SerializerMethodField(help_text="Its conflicts by what the batch did with them.")

    class Meta:
        model = ConflictBatch
        fields = [
            *("id", "resolution_type", "state", "total", "plan", "outcomes"),
            *("by", "made_at", "confirmed_at", "undo_asked_at"),
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.DictField(child=serializers.IntegerField()))
    def get_outcomes(self, batch: ConflictBatch) -> dict[str, int]:
        return dict(batch.entries.order_by().values_list("outcome").annotate(Count("pk")))


class ConfirmSerializer(KnownFieldsMixin):
    """The number that was shown."""

    expect = serializers.IntegerField(min_value=1, help_text="The `total` that you saw; 400 where it is another.")


class ConflictViewSet(ShapedView, viewsets.ReadOnlyModelViewSet[SyncConflict]):
    """Conflicts: open ones first, of these the oldest first."""

    queryset = SyncConflict.objects.select_related("resolved_by").order_by(*OPEN_FIRST)
    serializer_class = SyncConflictResponseSerializer
    filterset_class: type[FilterSet] = filtered_by(SyncConflictResponseSerializer)(ConflictFilter)
    permission_classes = [ModelPermissions]
    narrowed: ClassVar[tuple[str, ...]] = ("list", "prepare")
    scope = TokenScope.RESOLVE
    lookup_value_regex = UUID_REGEX

    @extend_schema(responses=ConflictStatsSerializer, filters=False)
    @action(detail=False)
    def stats(self, request: Request) -> Response:
        """Conflicts in numbers."""
        counted = conflict_counts()
        return Response(
            {
                "unresolved": counted["open"],
                "resolved": counted["settled"],
                "total": counted["open"] + counted["settled"],
                "applying": counted["applying"],
                "by_kind": counts_by_kind(),
            }
        )

    @extend_schema(responses=ConflictContextSerializer)
    @action(detail=True)
    def context(self, request: Request, pk: Any) -> Response:
        """Of each field in conflict both sides and the base, and who gave each side its value and when, as far as
        NPD's history and webhook events are kept. Monday isn't asked.
        """
        conflict: SyncConflict = self.get_object()
        case = described_case(conflict, ConflictContext.of(conflict))
        may_see = conflict.entity_type in visible_types(request.user)
        answer = {
            "id": conflict.pk,
            "record": case.name if may_see else "",
            "monday_id": conflict.monday_item_id,
            "item_url": case.item_url or None,
            "fields": [
                {
                    "field": one.key,
                    "label": one.label,
                    "npd": {"value": one.npd, "editor": one.npd_by},
                    "monday": {"value": one.monday, "editor": one.monday_by},
                    "base": one.base,
                }
                for one in case.fields
            ],
        }
        return Response(ConflictContextSerializer(answer).data)

    @act(request=ResolveSerializer, responses=DECISION_RESPONSES, permission_classes=[MayChange])
    def resolve(self, request: Request, pk: Any) -> Response:
        """Resolve. The resolution is stored at once and applied by the record's next sync."""
        self._must_exist(pk)
        wanted = ResolveSerializer.read(request)
        chosen = {key: FieldSelection(**one) for key, one in wanted.pop("selections", {}).items()}
        return _decision_response(partial(resolve, pk, by=cast("User", request.user), selections=chosen, **wanted))

    @act(responses=DECISION_RESPONSES, permission_classes=[MayChange])
    def undo(self, request: Request, pk: Any) -> Response:
        """Undo the resolution of a conflict. The next sync gives each side its value back, if neither has changed
        since, and the conflict is open again; else what was overwritten becomes a conflict of its own.
        """
        self._must_exist(pk)
        return _decision_response(partial(undo, pk, by=cast("User", request.user)))

    @act(
        detail=False,
        path="bulk-resolutions",
        request=BulkResolutionRequestSerializer,
        responses={201: BulkResolutionSerializer},
        permission_classes=[MayChange],
        filterset_class=ConflictFilter,
    )
    def prepare(self, request: Request) -> Response:
        """Plan what keeping one side in all open conflicts that the filters name would write; nothing is resolved
        before it is confirmed. Filters as of the list.
        """
        resolution_type = BulkResolutionRequestSerializer.read(request)["resolution_type"]
        found = self.filter_queryset(self.get_queryset()).order_by().filter(resolved_at=None)
        batch = bulk_resolution.prepare_batch(
            found.exclude(BEING_APPLIED),
            resolution_type,
            by=cast("User", request.user),
            address=request.META.get("QUERY_STRING", ""),
            matches="By the API",
        )
        address = request.build_absolute_uri(reverse("sync-bulk-resolutions-detail", args=[batch.pk]))
        answer = BulkResolutionSerializer(batch).data
        return Response(answer, HTTPStatus.CREATED, headers={"Location": address})

    def _must_exist(self, pk: Any) -> None:
        if not self.get_queryset().filter(pk=pk).exists():
            raise NotFound(f"There is no conflict {pk}. List them at /api/v1/sync/conflicts/.")


def _decision_response(decide: Callable[[], SyncConflict]) -> Response:
    try:
        return Response(ResolvedSerializer(decide()).data)
    except InvalidResolution as error:
        raise ValidationError({"selections": error.problems} if error.problems else error.sentence) from error
    except DecidedTooLate as error:
        return refusal(error.code, str(error), error.current)


_on_batch = partial(act, responses=BulkResolutionSerializer)


class BulkResolutionViewSet(ApiView, viewsets.GenericViewSet[Any]):
    """One side for all conflicts that match: its plan, or how far it is."""

    queryset = SyncConflict.objects.all()  # whose permission it asks for
    serializer_class = BulkResolutionSerializer
    permission_classes = [MayChange]
    scope = TokenScope.RESOLVE
    lookup_value_regex = UUID_REGEX

    def retrieve(self, request: Request, pk: Any) -> Response:
        """Its plan, or how far it is."""
        return Response(self.get_serializer(self._batch(pk)).data)

    @_on_batch(request=ConfirmSerializer)
    def confirm(self, request: Request, pk: Any) -> Response:
        """Let a worker store it: exactly as many as were shown, by the one who prepared it."""
        expected = ConfirmSerializer.read(request)["expect"]
        return self._act(pk, partial(bulk_resolution.confirm_batch, expected_count=expected))

    @_on_batch()
    def stop(self, request: Request, pk: Any) -> Response:
        """Leave the rest as it is; what is stored already stays so."""
        return self._act(pk, bulk_resolution.stop_batch)

    @_on_batch()
    def undo(self, request: Request, pk: Any) -> Response:
        """Let a worker take back what it stored, each where neither side has changed since."""
        return self._act(pk, bulk_resolution.request_undo)

    def _act(self, pk: Any, do: Callable[..., object]) -> Response:
        do(self._batch(pk), by=cast("User", self.request.user))
        return Response(self.get_serializer(self._batch(pk)).data)

    def _batch(self, pk: Any) -> ConflictBatch:
        found = ConflictBatch.objects.select_related("by").filter(pk=pk).first()
        if found is None:
            raise NotFound(f"There is no bulk resolution {pk}.")
        return found


# Values that Monday rejected: the list, one with what can be done, a person's answer and its undo.


class RejectedValueSerializer(serializers.Serializer[Any]):
    """A field of a record whose value Monday rejected, with what each side has."""

    entity_type = serializers.CharField()
    entity_id = serializers.UUIDField()
    field = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]  # DRF's own attribute
    record = serializers.CharField(help_text="The record's name.")
    monday_id = serializers.CharField(allow_null=True)
    item_url = serializers.CharField(allow_null=True)
    npd = serializers.CharField(allow_null=True, help_text="NPD's value, which Monday rejected; null is empty.")
    monday = serializers.CharField(allow_null=True, help_text="Monday's, as of the last sync.")
    code = serializers.CharField(help_text="`rejected`, or `limit` where its column can't take it.")
    reason = serializers.CharField(help_text="Monday's reason, as a sentence.")
    checked_at = serializers.DateTimeField(allow_null=True, help_text="When the record was last synced.")


class LastAnswerSerializer(serializers.Serializer[Any]):
    """What somebody answered last."""

    at = serializers.DateTimeField()
    actor = serializers.CharField()
    state = serializers.ChoiceField(choices=list(STATE_LABELS), help_text="How far it is.")
    sentence = serializers.CharField()
    undoable = serializers.BooleanField()


class RejectedFieldSerializer(RejectedValueSerializer):
    """The same with what can be done, and what was answered."""

    waits = serializers.BooleanField(help_text="Whether it waits for an answer; else it has one, or was changed since.")
    kept_different_by = serializers.CharField(help_text="Who left it in NPD, unsent; empty where nobody did.")
    monday_problem = serializers.CharField(help_text="Why Monday's value can't be used; empty where it can.")
    answer = LastAnswerSerializer(allow_null=True)


class RejectedValueAnswerSerializer(KnownFieldsMixin):
    """The answer, for exactly the values seen."""

    choose = serializers.ChoiceField(
        choices=OPTION_CHOICES,
        help_text="npd: leave the difference, it isn't sent; monday: write Monday's value into NPD; custom: `value`.",
    )
    value = serializers.CharField(
        required=False,
        allow_blank=True,
        trim_whitespace=False,
        help_text="For custom: the text that NPD gets and Monday is sent.",
    )
    seen = SeenSerializer(help_text="Both sides, as the list showed them.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if (attrs["choose"] == CUSTOM) != ("value" in attrs):
            sentence = "Say the value." if attrs["choose"] == CUSTOM else "Only custom takes a value. Leave it out."
            raise serializers.ValidationError({"value": [sentence]}, code="invalid")
        return attrs


class RejectedValueFilter(FilterSet):  # type: ignore[misc]
    """The filters of the list."""

    entity_type = EntityType()
    entity_id = django_filters.UUIDFilter()
    field = django_filters.CharFilter(label="Field", validators=[validate_field], help_text="A mapped field.")


class RejectedValueViewSet(ApiView, viewsets.GenericViewSet[Any]):
    """Rejected values of records that the caller may see, for whoever may see conflicts, as in the admin."""

    queryset = SyncConflict.objects.all()
    serializer_class = RejectedFieldSerializer
    filterset_class = RejectedValueFilter
    pagination_class = NumberedPages
    permission_classes = [ModelPermissions]
    scope = TokenScope.RESOLVE
    lookup_regex = f"(?P<entity_type>[^/]+)/(?P<entity_id>{UUID_REGEX})/(?P<field>[^/]+)"

    @extend_schema(responses=RejectedValueSerializer(many=True))
    def list(self, request: Request) -> Response:
        """Values that Monday rejected and that wait for an answer, the longest waiting first, of records that you may
        see.
        """
        asked, visible = asked_for(self), visible_types(request.user)
        kind = asked["entity_type"]
        types = sorted(visible & {kind} if kind else visible)
        chosen = RejectedChoice(types, asked["entity_id"], asked["field"])
        rows = CountedRows(
            lambda: count_rejected_values(chosen), lambda limit, offset: rejected_values(limit, offset, chosen)
        )
        page = self.paginate_queryset(cast("Any", rows)) or []
        cases = rejection_cases([one.field_ref for one in page], list(FieldMapping.objects.select_related("link")))
        found = [_value(cases[one.field_ref]) for one in page if one.field_ref in cases]
        return self.get_paginated_response(RejectedValueSerializer(found, many=True).data)

    def retrieve(self, request: Request, entity_type: str, entity_id: str, field: str) -> Response:
        """One, with why Monday's value couldn't be used, and the last answer; also after it was answered."""
        return self._answer_with(self._case(request, entity_type, entity_id, field))

    @act(
        request=RejectedValueAnswerSerializer,
        responses=or_conflict(RejectedFieldSerializer, ConflictProblemSerializer),
        permission_classes=[MayChange],
    )
    def answer(self, request: Request, entity_type: str, entity_id: str, field: str) -> Response:
        """Leave the difference, use Monday's value, or send another one; the record's next sync does it. Another value
        needs the permission to change such records. 409 with the present values where these differ.
        """
        self._case(request, entity_type, entity_id, field)
        wanted = {"value": "", **RejectedValueAnswerSerializer.read(request)}
        try:
            answer_rejection((entity_type, UUID(entity_id), field), by=cast("User", request.user), **wanted)
        except InvalidResolution as error:
            name = "value" if wanted["choose"] == CUSTOM else "choose"
            raise ValidationError({name: list(error.problems.values()) or [error.sentence]}) from error
        except DecidedTooLate as error:
            return refusal(error.code, str(error), error.current)
        return self._answer_with(self._case(request, entity_type, entity_id, field))

    @act(permission_classes=[MayChange])
    def undo(self, request: Request, entity_type: str, entity_id: str, field: str) -> Response:
        """Put back what NPD had, or ask again about a value that was left different; 409 where there is nothing to
        undo, 400 where something was changed since.
        """
        case = self._case(request, entity_type, entity_id, field)
        answer = last_answer(entity_type, UUID(entity_id), field)
        if answer is None or not _may_undo(answer, case):
            raise Conflict("There is no answer that could be undone. Read the value again.")
        undo_answer(answer, by=cast("User", request.user))
        return self._answer_with(self._case(request, entity_type, entity_id, field))

    def _case(self, request: Request, entity_type: str, entity_id: str, field: str) -> RejectionCase:
        if entity_type in visible_types(request.user):
            pk = UUID(entity_id)
            found = RejectionCase.of(entity_type, pk, field)
            if found is not None and (found.entry or last_answer(entity_type, pk, field)):
                return found
        raise NotFound("There is no such rejected value. List them at /api/v1/sync/rejected-values/.")

    def _answer_with(self, case: RejectionCase) -> Response:
        answered = last_answer(case.context.entity_type, case.record.pk, case.key)
        progress = rejection_progress(answered, case) if answered else None
        told = {
            "waits": case.needs_answer,
            "kept_different_by": case.kept_by.get("who", ""),
            "monday_problem": case.monday_problem(),
            "answer": answered
            and progress
            and {
                "at": answered.at,
                "actor": answered.actor,
                "state": progress.state,
                "sentence": progress.sentence,
                "undoable": progress.is_undoable and _may_undo(answered, case),
            },
        }
        return Response(RejectedFieldSerializer(_value(case) | told).data)


def _may_undo(answer: Decision, case: RejectionCase) -> bool:
    undone = Decision.objects.filter(entity_type=answer.entity_type, entity_id=answer.entity_id, undoes=answer.pk)
    return can_undo(answer, case) and not undone.exists()


def _value(case: RejectionCase) -> dict[str, Any]:
    item_id, ledger = case.record.monday_id or "", case.context.ledger
    held = ledger.blocked_fields.get(case.key, {}) if ledger else {}
    return {
        "entity_type": case.context.entity_type,
        "entity_id": case.record.pk,
        "field": case.key,
        "label": case.field.label,
        "record": str(case.record),
        "monday_id": item_id or None,
        "item_url": case.context.item_url(item_id) or None,
        "npd": case.npd,
        "monday": case.monday,
        "code": held.get("code", ""),
        "reason": str(held.get("reason", "")),
        "checked_at": ledger.last_sync_attempt if ledger else None,
    }


router = ApiRouter()
router.register("conflicts/bulk-resolutions", BulkResolutionViewSet, "sync-bulk-resolutions")
router.register("conflicts", ConflictViewSet, "sync-conflicts")
router.register("rejected-values", RejectedValueViewSet, "sync-rejected-values")
urlpatterns = router.urls
