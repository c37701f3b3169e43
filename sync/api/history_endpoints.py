"""The history of records by API: each decision with its cause; and the undo of one, or of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, cast
from uuid import UUID

from django.contrib.auth.models import User
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from sync.api.problems import MEDIA_TYPE, ProblemSerializer, problem_body
from sync.api.request_rules import ApiView
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
from sync.operations.preview.cause_chains import causes_by_decision
from sync.operations.preview.explanation import decision_as_json


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
    kind = serializers.CharField(help_text="push, pull, create, link, held (blocked), undo …")
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
        """The ids of its lines in the history."""
        return [line.pk for line in undone.lines]


class StaleUndoSerializer(ProblemSerializer):
    """Why nothing was put back, with the values of now."""

    current = StepSerializer(many=True)


def decision_data(rows: Sequence[Decision]) -> list[dict[str, Any]]:
    """Return decisions as DecisionSerializer takes them, with all causes read at once."""
    causes = causes_by_decision(rows)
    return [decision_as_json(row, causes[row.pk]) | {"at": row.at, "undoable": is_undoable(row)} for row in rows]


class _UndoView(ApiView):
    """GET shows what an undo would do, POST does it; both need the right to change the records."""

    def answer_plan(self, request: Request, rows: Sequence[Decision]) -> Response:
        """What it would do."""
        steps = plan_decision_undo(self.check_allowed(request, rows))
        parts = {"done": [s for s in steps if not s.stale], "left": [s for s in steps if s.stale]}
        return Response(UndoPlanSerializer(parts).data)

    def answer_undo(self, request: Request, rows: Sequence[Decision]) -> Response:
        """Do it; 409 with the values of now where all of it is stale."""
        result = undo_decisions(self.check_allowed(request, rows), by=cast("User", request.user))
        # Part of it was put back: a success, with what was left alone in the answer.
        if result.done:
            return Response(UndoneSerializer(result).data)
        reason = " ".join(dict.fromkeys(step.stale for step in result.left)) or "There is nothing to take back."
        body = {
            **problem_body(HTTPStatus.CONFLICT, "stale", f"Nothing was put back. {reason}"),
            "current": [StepSerializer(step).data for step in result.left],
        }
        return Response(body, status=HTTPStatus.CONFLICT, content_type=MEDIA_TYPE)

    def check_allowed(self, request: Request, rows: Sequence[Decision]) -> Sequence[Decision]:
        """The decisions, if there are any and this user may change their records."""
        if not rows:
            raise NotFound("Nothing of that is kept that could be taken back.")
        if not may_undo_decisions(request.user, rows):
            raise PermissionDenied
        return rows


_UNDO_ANSWERS = {200: UndoneSerializer, (409, MEDIA_TYPE): OpenApiResponse(StaleUndoSerializer, description="Conflict")}


class UndoOne(_UndoView):
    """The undo of one decision."""

    @extend_schema(responses=UndoPlanSerializer, description="What undoing this entry would write.")
    def get(self, request: Request, pk: int) -> Response:
        """What it would do."""
        return self.answer_plan(request, list(Decision.objects.filter(pk=pk)))

    @extend_schema(
        request=None,
        responses=_UNDO_ANSWERS,
        description="Undo an entry in NPD, if its value is unchanged; the next sync sends it to Monday.",
    )
    def post(self, request: Request, pk: int) -> Response:
        """Do it."""
        return self.answer_undo(request, list(Decision.objects.filter(pk=pk)))


class UndoBatch(_UndoView):
    """The undo of all that a pass, or an undo, moved."""

    @extend_schema(responses=UndoPlanSerializer, description="What taking this batch back would write.")
    def get(self, request: Request, batch_id: UUID) -> Response:
        """What it would do."""
        return self.answer_plan(request, list(decisions_of_batch(batch_id)))

    @extend_schema(
        request=None,
        responses=_UNDO_ANSWERS,
        description="Undo a batch in NPD, each value where it is unchanged; the rest is left alone.",
    )
    def post(self, request: Request, batch_id: UUID) -> Response:
        """Do it."""
        return self.answer_undo(request, list(decisions_of_batch(batch_id)))
