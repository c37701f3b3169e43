"""The feed of events by API: what is asked of it, and who may read what of it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, ClassVar

from django.db.models import Q
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import exceptions, serializers
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response

from sync.api.problems import BadQuery
from sync.api.request_rules import ApiView, validate_entity_type
from sync.models import EventType
from sync.models.followers import RARE_TYPES
from sync.operations.event_feed import CAUSES, BadCursor, FeedPage, LostCursor, event_bodies, feed_sight, read_feed

MAX_EVENTS = 500


class CursorGone(exceptions.APIException):
    """What follows the cursor isn't known any more."""

    status_code = HTTPStatus.GONE
    SENTENCES: ClassVar[dict[str, str]] = {
        "expired": "This cursor is older than the events that are kept.",
        "unknown": "This cursor is of events that this database does not know: a backup was restored.",
    }

    def __init__(self, code: str) -> None:
        super().__init__(
            f"{self.SENTENCES[code]} Read all records again, then follow the feed from a new cursor (start=now).",
            f"cursor_{code}",
        )


class MayViewRecords(BasePermission):
    """For whoever may view the records of a type at least; of the others nothing is shown."""

    def has_permission(self, request: Any, view: Any) -> bool:
        """Whether the caller may see anything of the feed."""
        return bool(request.user.is_authenticated) and bool(feed_sight(request.user).entity_types)


class ValueChangeSerializer(serializers.Serializer[Any]):
    """A field's value before and after; null where there was no record."""

    old = serializers.JSONField()
    new = serializers.JSONField()


class EventConflictSerializer(serializers.Serializer[Any]):
    """The conflict that was opened or resolved."""

    id = serializers.UUIDField()
    kind = serializers.CharField(help_text="fields, overwritten, delete or identity.")
    conflict_fields = serializers.ListField(child=serializers.CharField())
    resolution_type = serializers.CharField(allow_null=True, help_text="How it was resolved.")


class EventSerializer(serializers.Serializer[Any]):
    """One thing that happened."""

    id = serializers.UUIDField()
    type = serializers.ChoiceField(choices=EventType.choices)
    at = serializers.DateTimeField()
    entity_type = serializers.CharField()
    entity_id = serializers.UUIDField()
    cause = serializers.ChoiceField(choices=[(cause, cause) for cause in CAUSES], help_text="By which way.")
    actor = serializers.CharField(help_text="Who, as a name; empty where nobody is known.")
    changes = serializers.DictField(
        child=ValueChangeSerializer(), help_text="By field; of a sync state the one field sync_state."
    )
    conflict = EventConflictSerializer(allow_null=True)


class FeedSerializer(serializers.Serializer[Any]):
    """Some events, oldest first, and where to go on."""

    results = EventSerializer(many=True)
    has_more = serializers.BooleanField(help_text="Whether to ask again at once.")
    next_cursor = serializers.CharField(help_text="Store it, and ask with it the next time.")


class FeedQuerySerializer(serializers.Serializer[Any]):
    """What is asked of the feed."""

    cursor = serializers.CharField(required=False, max_length=200, help_text="next_cursor of the answer before.")
    start = serializers.ChoiceField(
        choices=["oldest", "now"],
        required=False,
        help_text="Without a cursor: from the oldest event that is kept (the default), or from now on.",
    )
    types = serializers.MultipleChoiceField(
        choices=EventType.choices, required=False, help_text="May be given several times."
    )
    entity_type = serializers.CharField(required=False)
    entity_id = serializers.UUIDField(required=False)
    limit = serializers.IntegerField(required=False, default=100, min_value=1, max_value=MAX_EVENTS)

    def validate_entity_type(self, value: str) -> str:
        """A known type."""
        validate_entity_type(value)
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """A cursor says itself where to start."""
        if "cursor" in attrs and "start" in attrs:
            raise serializers.ValidationError({"start": ["A cursor says where to start. Leave one of them out."]})
        return attrs


_EXAMPLE = OpenApiExample(
    "A changed phone number",
    {
        "results": [
            {
                "id": "9f1c2f0e-8f5a-4c1b-9a60-0d2b6f3d1a11",
                "type": "record.changed",
                "at": "2026-11-22T10:04:05.678901Z",
                "entity_type": "contact",
                "entity_id": "3b0b1a5e-5a2c-4f5e-8f43-1f2e3d4c5b6a",
                "cause": "api",
                "actor": "Ada Lovelace",
                "changes": {"phone": {"old": "", "new": "+12025550123"}},
                "conflict": None,
            }
        ],
        "has_more": False,
        "next_cursor": "NDI6OWYxYzJmMGU4ZjVh",
    },
    response_only=True,
)


_AT = serializers.DateTimeField()


class EventFeedView(ApiView):
    """`GET events/`: everything that happened, in one order, from wherever the reader was."""

    permission_classes = [MayViewRecords]
    problem_codes: ClassVar[dict[str, tuple[int, ...]]] = {"get": (400, 410)}

    def query_parameters(self) -> dict[str, bool]:
        """Those of the feed."""
        names = FeedQuerySerializer().fields
        return {**{str(name): str(name) == "types" for name in names}, "format": False}

    @extend_schema(
        operation_id="list_events",
        summary="Follow what happens",
        tags=["events"],
        parameters=[FeedQuerySerializer],
        responses=FeedSerializer,
        examples=[_EXAMPLE],
        description="Events after the cursor, oldest first: each comes once, and none is left out. An answer "
        "without has_more is the end for now: ask again later with its next_cursor. 410 where the cursor is too old.",
    )
    def get(self, request: Request) -> Response:
        """One page of the feed."""
        params: dict[str, Any] = {
            name: request.query_params.get(name) for name in request.query_params if name != "types"
        }
        if types := request.query_params.getlist("types"):
            params["types"] = types
        query = FeedQuerySerializer(data=params)
        if not query.is_valid():
            raise BadQuery(query.errors)
        page = self._read(request, query.validated_data)
        bodies = event_bodies(page.events)
        # A body is what EventSerializer says, but for its time; the serializer would cost a quarter more.
        results = [bodies[event.pk] | {"at": _AT.to_representation(event.at)} for event in page.events]
        return Response({"results": results, "has_more": page.has_more, "next_cursor": page.next_cursor})

    def _read(self, request: Request, query: dict[str, Any]) -> FeedPage:
        condition = feed_sight(request.user).condition
        if types := query.get("types"):
            condition &= Q(type__in=types)
        condition &= Q(**{name: query[name] for name in ("entity_type", "entity_id") if name in query})
        try:
            return read_feed(
                condition,
                cursor=query.get("cursor", ""),
                from_now=query.get("start") == "now",
                limit=query["limit"],
                is_indexed="entity_id" in query or bool(types and set(types) <= set(RARE_TYPES)),
            )
        except BadCursor as error:
            raise BadQuery({"cursor": ["This is no cursor of this feed."]}, code="invalid") from error
        except LostCursor as error:
            raise CursorGone(error.code) from error
