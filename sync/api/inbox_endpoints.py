"""The inbox by API: all that needs attention in one list, with whose it is and what is noted about it.

What is done with an entry is done by its kind's own operation, which knows it by `id`; it is assigned on its page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import django_filters
from django_filters.rest_framework import FilterSet
from rest_framework import serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from sync.api.lists import CountedRows, NumberedPages
from sync.api.request_rules import ApiView, TrueOrFalse, allowed, asked_for
from sync.models import Assignment
from sync.operations import attention
from sync.operations.attention import AttentionEntry, AttentionKind, Wording


class InboxValueSerializer(serializers.Serializer[Any]):
    """A field with what each side has."""

    field = serializers.CharField(source="key")
    label = serializers.CharField()  # type: ignore[assignment]  # DRF's own attribute
    npd = serializers.CharField(allow_null=True)
    monday = serializers.CharField(allow_null=True)


class InboxEntrySerializer(serializers.Serializer[AttentionEntry]):
    """One thing that needs attention."""

    key = serializers.CharField(help_text="Names it in the inbox, as long as the same thing is wrong.")
    kind = serializers.ChoiceField(choices=AttentionKind.choices)
    id = serializers.CharField(
        source="row_id",
        help_text="What its own operations know it by: the id of the job, approval, conflict or unmatched item; of a "
        "rejected or blocked field its type, record and field, of a column that can't be used its type and field.",
    )
    entity_type = serializers.CharField()
    entity_id = serializers.UUIDField(
        allow_null=True, help_text="null: an item that no record has, or a column that can't be used."
    )
    records = serializers.IntegerField(help_text="How many records it is about: of a column all that it blocks.")
    monday_id = serializers.CharField(source="item_id", help_text="The item; empty where there is none.")
    name = serializers.CharField(help_text="What it is called; its type alone where you may not see such records.")
    board = serializers.CharField()
    since = serializers.DateTimeField(allow_null=True)
    cause = serializers.CharField(help_text="Names the cause that it shares with others.")
    reason_code = serializers.CharField(source="cause_code")
    reason = serializers.CharField(source="cause_text", help_text="The cause in a few words.")
    detail = serializers.CharField(help_text="This one's own reason.")
    field = serializers.CharField(help_text="The field, where it is about one.")
    values = InboxValueSerializer(
        many=True, help_text="Of conflicts and rejected values of records that you may see: each side."
    )
    assignee = serializers.CharField(source="assignee_name", help_text="The username of whose it is; empty: nobody's.")
    note = serializers.CharField()


class InboxFilter(FilterSet):  # type: ignore[misc]
    """The filters of the inbox."""

    kind = django_filters.MultipleChoiceFilter(choices=AttentionKind.choices, help_text="May be given several times.")
    cause = django_filters.CharFilter(label="Cause", help_text="As an entry names it.")
    assignee = django_filters.CharFilter(label="Assignee", help_text="The username of whose they are.")
    mine = TrueOrFalse(label="Mine", help_text="true: what is yours.")


class InboxViewSet(ApiView, viewsets.GenericViewSet[Any]):
    """All that needs attention, as far as the caller may see it."""

    queryset = Assignment.objects.all()
    serializer_class = InboxEntrySerializer
    filterset_class = InboxFilter
    pagination_class = NumberedPages
    permission_classes = [allowed(lambda request, view: attention.scope_of(request.user).kinds)]

    def list(self, request: Request) -> Response:
        """Failures, approvals, removed items, conflicts, duplicates, rejected values, blocked fields, unmatched items.

        The gravest kind and the oldest first, as far as you may see them.
        """
        asked, scope = asked_for(self), attention.scope_of(request.user)
        if asked["mine"] and asked["assignee"]:
            raise serializers.ValidationError({"assignee": ["Give either mine or assignee."]})
        owner = request.user if asked["mine"] else _person(asked["assignee"])
        if asked["assignee"] and owner is None:
            scope = replace(scope, kinds=frozenset())
        elif owner is not None:
            scope = replace(scope, assigned_to=owner.pk)
        kinds = [AttentionKind(one) for one in dict.fromkeys(asked["kind"])] or None
        chosen: dict[str, Any] = {"kinds": kinds, "of_causes": [asked["cause"]] if asked["cause"] else []}
        wording = Wording.of_boards()

        def number() -> int:
            if asked["cause"]:
                return sum(one.number for one in attention.causes(scope, **chosen))
            counted = attention.counts(scope)
            return sum(counted[one] for one in kinds or counted)

        def some(limit: int, offset: int) -> Sequence[AttentionEntry]:
            return attention.entries(scope, **chosen, limit=limit, offset=offset, wording=wording)

        page = self.paginate_queryset(cast("Any", CountedRows(number, some))) or []
        told, types = attention.with_values(page, wording), scope.named_types
        shown = [one if types is None or one.entity_type in types else replace(one, values=()) for one in told]
        return self.get_paginated_response(InboxEntrySerializer(cast("Any", shown), many=True).data)


def _person(username: str) -> Any | None:
    """The one with this username; None without one."""
    return attention.assignable_people().filter(username=username).first() if username else None
