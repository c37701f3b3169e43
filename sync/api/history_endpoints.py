"""The history of records by API: decisions with their causes, batches in numbers; the undo of one, or of a batch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

from django.contrib.auth.models import User
from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import Count, Exists, Max, Min, OuterRef, QuerySet
from django_filters.rest_framework import FilterSet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from sync import registry
from sync.api.lists import filtered_by_columns
from sync.api.problems import ProblemSerializer, or_conflict, refusal
from sync.api.request_rules import UUID_REGEX, ApiView, ModelPermissions
from sync.choices import TokenScope
from sync.models import Decision
from sync.operations.decision_undo import (
    UndoResult,
    UndoStep,
    decisions_of_batch,
    is_undoable,
    may_undo_decisions,
    plan_decision_undo,
    undo_decisions,
)
from sync.operations.preview.explanation import causes_by_decision, decision_as_json
from sync.registry import visible_types


class CauseSerializer(serializers.Serializer[Any]):
    """One link of what led to a decision."""

    what = serializers.CharField(help_text="edit, webhook, row (a job), call, rule or undo.")
    words = serializers.CharField()


class DecisionValuesSerializer(serializers.Serializer[Any]):
    """The value before and after, as displayed, and whether one that a person wrote gave way."""

    before = serializers.CharField(required=False)
    after = serializers.CharField(required=False)
    overridden = serializers.BooleanField(required=False)


class DecisionSerializer(serializers.Serializer[Any]):
    """One decision on a record, as a sentence, with what led to it."""

    id = serializers.IntegerField()
    at = serializers.DateTimeField()
    kind = serializers.CharField(help_text="push, pull, create, link, blocked, undo …")
    field = serializers.CharField(allow_null=True)
    sentence = serializers.CharField()
    actor = serializers.CharField(help_text="Who; empty where the sync decided by itself.")
    batch = serializers.UUIDField(allow_null=True, help_text="The pass, or the undo, that it belongs to.")
    request = serializers.CharField(allow_null=True, help_text="The id of Monday's request.")
    undoes = serializers.IntegerField(allow_null=True, help_text="The entry that this one undid.")
    values = DecisionValuesSerializer(read_only=True)
    cause = CauseSerializer(many=True, read_only=True)
    undoable = serializers.BooleanField(
        read_only=True, help_text="Whether it moved a value; whether that is stale by now, an undo finds out."
    )


class StepSerializer(serializers.Serializer[UndoStep]):
    """What taking one decision back writes; `stale` says why it is left alone."""

    decision = serializers.IntegerField(source="decision.pk")
    entity_type = serializers.CharField(source="decision.entity_type")
    entity_id = serializers.UUIDField(source="decision.entity_id", allow_null=True)
    record = serializers.CharField(source="name")
    field = serializers.CharField(source="decision.key")
    label = serializers.CharField()  # type: ignore[assignment]  # a member's name
    now = serializers.CharField(help_text="The value of now, as displayed.")
    back_to = serializers.CharField()
    stale = serializers.CharField()
    note = serializers.CharField()


class UndoPlanSerializer(serializers.Serializer[Any]):
    """What an undo would put back, and what it would leave alone."""

    done = StepSerializer(many=True)
    left = StepSerializer(many=True)


class UndoneSerializer(UndoPlanSerializer):
    """What an undo put back, as a batch of its own that can be undone, and what it left alone."""

    batch = serializers.UUIDField(source="batch_id")
    decisions = serializers.SerializerMethodField()

    def get_decisions(self, undone: UndoResult) -> list[int]:
        return [line.pk for line in undone.lines]


class StaleUndoSerializer(ProblemSerializer):
    """Why nothing was put back, with the values of now."""

    current = StepSerializer(many=True, required=False)


def decision_data(rows: Sequence[Decision]) -> list[dict[str, Any]]:
    """Return decisions as DecisionSerializer takes them, with all causes read at once."""
    causes = causes_by_decision(rows)
    return [decision_as_json(row, causes[row.pk]) | {"at": row.at, "undoable": is_undoable(row)} for row in rows]


# The history of all records, and its batches.


class HistoryEntrySerializer(DecisionSerializer):
    """One decision, with the record that it is about."""

    entity_type = serializers.CharField()
    entity_id = serializers.UUIDField(allow_null=True)
    monday_id = serializers.CharField(allow_null=True)


_OF_BATCHES = {"entity_type": "entity_type", "at": "at"}
_OF_ENTRIES = {
    **{name: name for name in ("entity_id", "kind", "actor")},
    "field": "key",
    "monday_id": "remote_id",
    "batch": "batch_id",
}


class UndoMixin(viewsets.GenericViewSet[Decision]):
    """GET shows what an undo would do, POST does it; both need the right to change the records."""

    def decisions(self) -> Sequence[Decision]:
        """The decisions that the address names."""
        raise NotImplementedError

    @extend_schema(responses=UndoPlanSerializer)
    @action(detail=True, url_path="undo", permission_classes=[IsAuthenticated])
    def undo_plan(self, request: Request, **kwargs: str) -> Response:
        """What an undo would write."""
        steps = plan_decision_undo(self._allowed(request))
        parts = {"done": [s for s in steps if not s.stale], "left": [s for s in steps if s.stale]}
        return Response(UndoPlanSerializer(parts).data)

    @extend_schema(request=None, responses=or_conflict(UndoneSerializer, StaleUndoSerializer))
    @undo_plan.mapping.post
    def undo(self, request: Request, **kwargs: str) -> Response:
        """Undo it in NPD, each value where it is unchanged; the next sync sends it to Monday. The rest is left alone;
        409 with the values of now where all of it is.
        """
        result = undo_decisions(self._allowed(request), by=cast("User", request.user))
        # Part of it was put back: a success, with what was left alone in the answer.
        if result.done:
            return Response(UndoneSerializer(result).data)
        reason = " ".join(dict.fromkeys(step.stale for step in result.left)) or "There is nothing to undo."
        current = [StepSerializer(step).data for step in result.left]
        return refusal("stale", f"Nothing was put back. {reason}", current)

    def _allowed(self, request: Request) -> Sequence[Decision]:
        """The decisions, if there are any and this user may change their records."""
        rows = self.decisions()
        if not rows:
            raise NotFound("Nothing of that is kept that could be taken back.")
        if not may_undo_decisions(request.user, rows):
            raise PermissionDenied
        return rows


class VisibleHistoryView(ApiView, UndoMixin):
    """Decisions on records of the types that the caller may see."""

    queryset = Decision.objects.order_by("-at", "-id")
    permission_classes = [ModelPermissions]
    scope = TokenScope.OPERATE

    def get_queryset(self) -> QuerySet[Decision]:
        hidden = {spec.entity_type for spec in registry.entities()} - visible_types(self.request.user)
        rows = super().get_queryset()
        return rows.exclude(entity_type__in=hidden) if hidden else rows


class HistoryViewSet(VisibleHistoryView):
    """The history of all records."""

    serializer_class = HistoryEntrySerializer
    filterset_class = filtered_by_columns(Decision, {**_OF_ENTRIES, **_OF_BATCHES})(FilterSet)
    lookup_value_regex = "[0-9]{1,18}"

    def decisions(self) -> Sequence[Decision]:
        return list(Decision.objects.filter(pk=self.kwargs["pk"]))

    def list(self, request: Request) -> Response:
        """What was decided about all records, newest first, each with its cause."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        return self.get_paginated_response(self.get_serializer(_entries(page), many=True).data)

    def retrieve(self, request: Request, pk: int) -> Response:
        """One entry."""
        [entry] = _entries([self.get_object()])
        return Response(self.get_serializer(entry).data)


def _entries(rows: Sequence[Decision]) -> list[dict[str, Any]]:
    told = decision_data(rows)
    about = ({"entity_type": r.entity_type, "entity_id": r.entity_id, "monday_id": r.remote_id or None} for r in rows)
    return [one | more for one, more in zip(told, about, strict=True)]


class BatchSerializer(serializers.Serializer[Any]):
    """A pass, or an undo, in numbers."""

    batch = serializers.UUIDField(source="batch_id")
    began_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField()
    entries = serializers.IntegerField(help_text="Lines of the history.")
    records = serializers.IntegerField()
    entity_types = serializers.ListField(child=serializers.CharField())
    by_kind = serializers.DictField(child=serializers.IntegerField())


class HistoryBatchViewSet(VisibleHistoryView):
    """Batches: what one pass, or one undo, did."""

    serializer_class = BatchSerializer
    filterset_class = filtered_by_columns(Decision, _OF_BATCHES)(FilterSet)  # of a batch its first entry
    lookup_field = "batch_id"
    lookup_value_regex = UUID_REGEX

    def decisions(self) -> Sequence[Decision]:
        return list(decisions_of_batch(UUID(self.kwargs["batch_id"])))

    def list(self, request: Request) -> Response:
        """What passes and undos did, in numbers, the newest first."""
        rows = self.filter_queryset(self.get_queryset()).exclude(batch_id=None)
        # The first entry stands for its batch: each batch is on one page, and no page needs all of them.
        earlier = Decision.objects.filter(batch_id=OuterRef("batch_id"), id__lt=OuterRef("id"))
        page = self.paginate_queryset(rows.filter(~Exists(earlier)).order_by("-id")) or []
        found = self._batches([row.batch_id for row in page if row.batch_id])
        return self.get_paginated_response(self.get_serializer(found, many=True).data)

    def retrieve(self, request: Request, batch_id: str) -> Response:
        """One batch in numbers."""
        found = self._batches([UUID(batch_id)])
        if not found:
            raise NotFound(f"There is no batch {batch_id}. List them at /api/v1/sync/batches/.")
        return Response(self.get_serializer(found[0]).data)

    def _batches(self, ids: Sequence[UUID]) -> Sequence[dict[str, Any]]:
        rows = self.get_queryset().filter(batch_id__in=ids).order_by().values("batch_id")
        numbers = rows.annotate(
            began_at=Min("at"),
            ended_at=Max("at"),
            entries=Count("id"),
            records=Count("entity_id", distinct=True),
            entity_types=ArrayAgg("entity_type", distinct=True),
        )
        kinds: dict[UUID | None, dict[str, int]] = defaultdict(dict)
        for batch_id, kind, number in rows.values_list("batch_id", "kind").annotate(Count("id")):
            kinds[batch_id][kind] = number
        found = {row["batch_id"]: {**row, "by_kind": kinds[row["batch_id"]]} for row in numbers}
        return [found[batch_id] for batch_id in ids if batch_id in found]
