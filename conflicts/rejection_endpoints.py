"""Values that Monday rejected, by API: the list, one with what can be done, a person's answer and its undo."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

import django_filters
from django.contrib.auth.models import User
from django_filters.rest_framework import FilterSet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, viewsets
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from conflicts.api import OPTION_CHOICES, ConflictProblemSerializer, SeenSerializer, validate_field
from conflicts.case import STATE_LABELS
from conflicts.models import CUSTOM, SyncConflict
from conflicts.rejections import (
    RejectionCase,
    answer_rejection,
    can_undo,
    last_answer,
    rejection_cases,
    rejection_progress,
    undo_answer,
)
from conflicts.resolution import DecidedTooLate, InvalidResolution
from sync.api.lists import CountedRows, NumberedPages
from sync.api.problems import or_conflict, refusal
from sync.api.request_rules import (
    UUID_REGEX,
    ApiView,
    EntityType,
    KnownFieldsMixin,
    MayChange,
    ModelPermissions,
    act,
    asked_for,
)
from sync.choices import TokenScope
from sync.kernel.action_errors import Conflict
from sync.models import Decision, FieldMapping
from sync.records.blocked_fields import RejectedChoice, count_rejected_values, rejected_values
from sync.registry import visible_types


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
