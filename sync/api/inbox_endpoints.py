"""The inbox by API: all that needs attention in one list, by its causes, whose it is and what is noted about it.

What is done with an entry is done by its kind's own operation, which knows it by `id`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, cast

import django_filters
from django.core.exceptions import ValidationError
from django_filters.rest_framework import FilterSet
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from sync.api.lists import CountedRows
from sync.api.request_rules import ApiView, KnownFieldsMixin, PagePagination, TrueOrFalse, act, allowed, asked_for
from sync.choices import TokenScope
from sync.models import Assignment
from sync.operations import attention
from sync.operations.attention import MAX_NOTE_LENGTH, AttentionEntry, AttentionKind, AttentionScope, Wording

MAX_ASSIGNED, MAX_CAUSES = 300, 10_000


MayViewInbox = allowed(lambda request, view: attention.scope_of(request.user).kinds)
"""For whoever may see anything that can need attention."""


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


class InboxWordSerializer(serializers.ModelSerializer[Assignment]):
    """What somebody said about an entry."""

    by = serializers.CharField(source="by_name")
    assignee = serializers.CharField(source="assignee.username", default="")

    class Meta:
        model = Assignment
        fields = ("at", "by", "assignee", "note")
        read_only_fields = fields


class InboxEntryWithWordsSerializer(InboxEntrySerializer):
    """An entry with who took it on and noted what, the newest first."""

    words = serializers.SerializerMethodField()

    @extend_schema_field(InboxWordSerializer(many=True))
    def get_words(self, entry: AttentionEntry) -> Any:
        return InboxWordSerializer(attention.assignment_history(entry.key), many=True).data


class InboxCauseSerializer(serializers.Serializer[Any]):
    """Entries of one kind and board that have the same cause."""

    cause = serializers.CharField()
    kind = serializers.ChoiceField(choices=AttentionKind.choices)
    board = serializers.CharField()
    reason = serializers.CharField(source="text")
    number = serializers.IntegerField(help_text="How many entries.")
    since = serializers.DateTimeField(allow_null=True, help_text="Since when there is the oldest.")


def validate_assignee(value: str) -> None:
    """Raise for whom nothing can be assigned to."""
    if not attention.assignable_people().filter(username=value).exists():
        raise ValidationError("Nobody who works here has this username.", code="unknown")


ASSIGNEE = "The username of somebody who works here; null: nobody's."


class InboxWordRequestSerializer(KnownFieldsMixin):
    """Whose an entry is from now on, and what is noted about it; what isn't sent stays."""

    assignee = serializers.CharField(
        required=False, allow_null=True, validators=[validate_assignee], help_text=ASSIGNEE
    )
    note = serializers.CharField(required=False, allow_blank=True, max_length=MAX_NOTE_LENGTH)


class InboxAssignmentSerializer(KnownFieldsMixin):
    """Whose these entries are from now on."""

    keys = serializers.ListField(child=serializers.CharField(max_length=200), min_length=1, max_length=MAX_ASSIGNED)
    assignee = serializers.CharField(allow_null=True, validators=[validate_assignee], help_text=ASSIGNEE)


class InboxAssignedSerializer(serializers.Serializer[Any]):
    """How many entries were assigned."""

    done = serializers.IntegerField()
    left = serializers.IntegerField(help_text="Not in your inbox any more, or not yours to act on.")


class InboxFilter(FilterSet):  # type: ignore[misc]
    """The filters of the inbox."""

    kind = django_filters.MultipleChoiceFilter(choices=AttentionKind.choices, help_text="May be given several times.")
    cause = django_filters.CharFilter(label="Cause", help_text="As an entry, or the list of causes, names it.")
    assignee = django_filters.CharFilter(label="Assignee", help_text="The username of whose they are.")
    mine = TrueOrFalse(label="Mine", help_text="true: what is yours.")


class InboxView(ApiView, viewsets.GenericViewSet[Any]):
    """What needs attention, as far as the caller may see it."""

    queryset = Assignment.objects.all()
    serializer_class = InboxEntrySerializer
    permission_classes = [MayViewInbox]
    scope = TokenScope.OPERATE


class InboxViewSet(InboxView):
    """All that needs attention."""

    filterset_class = InboxFilter
    pagination_class = PagePagination
    paged: ClassVar[tuple[str, ...]] = ("list", "causes")
    narrowed: ClassVar[tuple[str, ...]] = ("list", "causes")

    def list(self, request: Request) -> Response:
        """Failed jobs, approvals, conflicts, possible duplicates, rejected values, blocked fields and unmatched items,
        the gravest kind and the oldest first, as far as you may see them.
        """
        scope, kinds, causes = self._asked(request)
        wording = Wording.of_boards()

        def number() -> int:
            if causes:
                return sum(one.number for one in attention.causes(scope, kinds=kinds, of_causes=causes))
            counted = attention.counts(scope)
            return sum(counted[one] for one in kinds or counted)

        def some(limit: int, offset: int) -> Sequence[AttentionEntry]:
            return attention.entries(scope, kinds=kinds, of_causes=causes, limit=limit, offset=offset, wording=wording)

        page = self.paginate_queryset(cast("Any", CountedRows(number, some))) or []
        return self.get_paginated_response(
            InboxEntrySerializer(cast("Any", _with_values(page, wording, scope)), many=True).data
        )

    @extend_schema(responses=InboxCauseSerializer(many=True))
    @action(detail=False)
    def causes(self, request: Request) -> Response:
        """Entries by their cause: what one change or decision would end at once."""
        scope, kinds, causes = self._asked(request)
        found = attention.causes(scope, kinds=kinds, of_causes=causes, limit=MAX_CAUSES)
        page = self.paginate_queryset(cast("Any", found)) or []
        return self.get_paginated_response(InboxCauseSerializer(page, many=True).data)

    @act(detail=False, request=InboxAssignmentSerializer, responses=InboxAssignedSerializer)
    def assign(self, request: Request) -> Response:
        """Make up to 300 entries that one may act on somebody's, or nobody's; what is noted about them stays."""
        body = InboxAssignmentSerializer.read(request)
        wanted = list(dict.fromkeys(body["keys"]))
        found = attention.entries(attention.scope_of(request.user), keys=wanted, limit=len(wanted))
        keys = [one.key for one in found if attention.may_act_on(request.user, one.kind, one.entity_type)]
        if keys:
            attention.assign(keys, by=request.user, assignee=_person(body["assignee"]))
        return Response(InboxAssignedSerializer({"done": len(keys), "left": len(wanted) - len(keys)}).data)

    def _asked(self, request: Request) -> tuple[AttentionScope, Sequence[AttentionKind] | None, Sequence[str]]:
        """What is asked for: whose, of which kinds, of which cause."""
        asked, scope = asked_for(self), attention.scope_of(request.user)
        if asked["mine"] and asked["assignee"]:
            raise serializers.ValidationError({"assignee": ["Give either mine or assignee."]})
        owner = request.user if asked["mine"] else _person(asked["assignee"] or None)
        if asked["assignee"] and owner is None:
            scope = replace(scope, kinds=frozenset())
        elif owner is not None:
            scope = replace(scope, assigned_to=owner.pk)
        kinds = [AttentionKind(one) for one in dict.fromkeys(asked["kind"])] or None
        return scope, kinds, [asked["cause"]] if asked["cause"] else []


class InboxEntryViewSet(InboxView):
    """One entry of it."""

    lookup_field = "key"
    lookup_value_regex = "[^/]+"

    @extend_schema(responses=InboxEntryWithWordsSerializer)
    def retrieve(self, request: Request, key: str) -> Response:
        """One entry with what was said about it; 404 once it was done, or its cause has ended."""
        return Response(InboxEntryWithWordsSerializer(self._entry(request, key)).data)

    @extend_schema(request=InboxWordRequestSerializer, responses=InboxEntryWithWordsSerializer)
    def partial_update(self, request: Request, key: str) -> Response:
        """Say whose it is, and what is noted about it; for whoever may act on it."""
        entry = self._entry(request, key)
        if not attention.may_act_on(request.user, entry.kind, entry.entity_type):
            raise PermissionDenied
        said = InboxWordRequestSerializer.read(request)
        if "assignee" in said:
            attention.assign([key], by=request.user, assignee=_person(said["assignee"]))
        if "note" in said:
            attention.take_note(key, by=request.user, note=said["note"])
        return self.retrieve(request, key)

    def _entry(self, request: Request, key: str) -> AttentionEntry:
        # The database knows no NUL, so nothing is called so.
        scope = attention.scope_of(request.user)
        found = [] if "\0" in key else attention.entries(scope, keys=[key])
        if not found:
            raise NotFound("It is not in your inbox any more: it was done, or its cause has ended.")
        return _with_values(found, Wording.of_boards(), scope)[0]


def _with_values(found: Sequence[AttentionEntry], wording: Wording, scope: AttentionScope) -> list[AttentionEntry]:
    """The entries with what each side has, of records that the caller may see."""
    told, types = attention.with_values(found, wording), scope.named_types
    return [one if types is None or one.entity_type in types else replace(one, values=()) for one in told]


def _person(username: str | None) -> Any | None:
    """The one with this username; None without one."""
    return attention.assignable_people().filter(username=username).first() if username else None
