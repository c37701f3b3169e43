"""Changes of a board's settings by API: its columns as Monday has them, a field's rule, and what moves values, which is
drafted, compared and confirmed as a plan.

A draft is the admin's: one person works on it, and what it would do is known before anything is written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, ClassVar, TypeVar, cast

from django.contrib.auth.models import User
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field
from rest_framework import serializers, viewsets
from rest_framework.exceptions import NotFound
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response

from sync import registry
from sync.api.board_endpoints import BoardFilterSerializer, FieldMappingSerializer
from sync.api.request_limits import monday_throttle_reason
from sync.api.request_rules import ApiView, KnownFieldsMixin
from sync.boards.board_columns import accept_title, renamed_columns
from sync.boards.mapping import check_board, column_choices, remap, set_field_direction, set_field_rule
from sync.boards.sync_filter import MAX_CONDITIONS, FilterOp, FilterSide, SyncFilter
from sync.choices import RULES, Rule, SyncDirection
from sync.connectors.base.errors import ConnectorError
from sync.kernel import humanize
from sync.kernel.action_errors import Conflict
from sync.models import BoardLink, FieldMapping, SetupDraft, SetupState
from sync.operations.setup import draft as drafts
from sync.operations.setup import plan
from sync.operations.setup.filter_choice import FilterRow, filter_of_rows
from sync.records.authors import log_action
from sync.registry import link_of

_TAGS = ["boards"]
Answer = TypeVar("Answer")


class MaySetUp(BasePermission):
    """For whoever may change boards and their mappings."""

    def has_permission(self, request: Any, view: Any) -> bool:
        """Whether the caller may."""
        return bool(request.user.is_authenticated) and drafts.may_set_up(request.user)


def asking_monday(ask: Callable[[], Answer]) -> Answer:
    """Do what calls Monday; raises Conflict where that fails."""
    try:
        return ask()
    except ConnectorError as error:
        raise Conflict(humanize.without_request_id(error.sentence), code="monday_failed") from error


def _check_throttle(request: Request) -> None:
    """Raise Conflict where this person has let us ask Monday too often."""
    if throttle_text := monday_throttle_reason(request._request):
        raise Conflict(f"Monday was not asked: {throttle_text}")


class BoardSettingView(ApiView, viewsets.GenericViewSet[Any]):
    """What is said or changed of one type's board."""

    queryset = BoardLink.objects.all()
    permission_classes = [MaySetUp]
    lookup_field = "entity_type"

    def link(self, entity_type: str) -> BoardLink:
        """The board of a type; raises NotFound."""
        found = link_of(entity_type) if registry.is_registered(entity_type) else None
        if found is None:
            raise NotFound(f"There is no board of “{entity_type[:50]}”. See GET sync/boards/.")
        return found

    def mapping(self, entity_type: str, field: str) -> FieldMapping:
        """A field of it; raises NotFound."""
        rows = FieldMapping.objects.select_related("link").filter(link=self.link(entity_type))
        # The database knows no NUL, so nothing is called so.
        found = rows.filter(key=field).first() if "\0" not in field else None
        if found is None:
            raise NotFound(f"There is no field “{field[:50]}” of “{entity_type}”. See GET sync/boards/{entity_type}/.")
        return found


# The columns, as Monday last showed them.


class BoardColumnSerializer(serializers.Serializer[Any]):
    """A column of the board."""

    column_id = serializers.CharField()
    title = serializers.CharField()
    column_type = serializers.CharField(help_text="As Monday calls it.")
    is_gone = serializers.BooleanField(help_text="Whether it was deleted on Monday.")
    field = serializers.CharField(help_text="The field that has it; empty: none.")
    fits = serializers.ListField(child=serializers.CharField(), help_text="The fields that could have it.")
    known_as = serializers.CharField(help_text="Its title before it was renamed, until somebody accepts the new one.")


class ColumnCheckSerializer(serializers.Serializer[Any]):
    """What came of asking Monday."""

    message = serializers.CharField()
    columns = BoardColumnSerializer(many=True)


class AcceptedTitleSerializer(KnownFieldsMixin):
    """The title that was seen."""

    title = serializers.CharField(max_length=255, help_text="As the column says; 409 where it is another now.")


def _columns(link: BoardLink) -> list[dict[str, Any]]:
    mappings = list(FieldMapping.objects.select_related("link").filter(link=link).order_by("position", "pk"))
    owners = {one.column_id: one.key for one in mappings if one.direction != SyncDirection.NONE}
    fitting = {one.key: [column_id for column_id, _ in column_choices(one, mappings)[1:]] for one in mappings}
    renamed = {one.column_id: one.before for one in renamed_columns(link)}
    return [
        {
            "column_id": column_id,
            "title": column.get("title", ""),
            "column_type": column.get("type", ""),
            "is_gone": bool(column.get("gone")),
            "field": owners.get(column_id, ""),
            "fits": [key for key, columns in fitting.items() if column_id in columns],
            "known_as": renamed.get(column_id, ""),
        }
        for column_id, column in link.shape.get("columns", {}).items()
    ]


class BoardColumnsViewSet(BoardSettingView):
    """A board's columns."""

    pagination_class = None
    serializer_class = BoardColumnSerializer
    problem_codes: ClassVar[dict[str, tuple[int, ...]]] = {"check": (409,), "accept_title": (409,)}
    scopes: ClassVar[dict[str, str]] = {"check": "operate", "accept_title": "operate"}

    @extend_schema(
        operation_id="list_board_columns",
        summary="List the columns of a board",
        description="The columns as Monday last showed them, with the field that each has and those that it could "
        "have.",
        responses=BoardColumnSerializer(many=True),
        tags=_TAGS,
    )
    def columns(self, request: Request, entity_type: str) -> Response:
        """All of them."""
        return Response(BoardColumnSerializer(_columns(self.link(entity_type)), many=True).data)

    @extend_schema(
        operation_id="check_board_columns",
        summary="Ask Monday for the columns of a board now",
        description="Read the columns again: a field whose column was restored is synced again. One call.",
        request=None,
        responses=ColumnCheckSerializer,
        tags=_TAGS,
    )
    def check(self, request: Request, entity_type: str) -> Response:
        """Ask Monday for the board."""
        link = self.link(entity_type)
        _check_throttle(request)
        log_action(request.user, link, "Asked Monday for the board's columns, by the API.")
        message = asking_monday(lambda: check_board(link))
        return Response(ColumnCheckSerializer({"message": message, "columns": _columns(self.link(entity_type))}).data)

    @extend_schema(
        operation_id="accept_column_title",
        summary="Accept that a column was renamed",
        description="Know the column by its new title from now on.",
        request=AcceptedTitleSerializer,
        responses=BoardColumnSerializer,
        tags=_TAGS,
    )
    def accept_title(self, request: Request, entity_type: str, column_id: str) -> Response:
        """Take note of the new title."""
        body = AcceptedTitleSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        link = self.link(entity_type)
        found = accept_title(link, column_id, body.validated_data["title"])
        log_action(request.user, link, f"Took note by the API: “{found.before}” is now “{found.now}”.")
        [column] = [one for one in _columns(self.link(entity_type)) if one["column_id"] == column_id]
        return Response(BoardColumnSerializer(column).data)


# One field, at once: what moves no values, or ends what is blocked.


class FieldChangeSerializer(KnownFieldsMixin):
    """One change of a field, for the value that was seen."""

    rule = serializers.ChoiceField(choices=RULES, required=False)
    direction = serializers.ChoiceField(
        choices=[one for one in SyncDirection.choices if one[0] in (SyncDirection.MONDAY_TO_NPD, SyncDirection.NONE)],
        required=False,
        help_text="Let Monday decide, or stop syncing it; other directions go through a draft.",
    )
    column_id = serializers.CharField(
        required=False, max_length=50, help_text="Of a field whose column can't be used; else through a draft."
    )
    seen = serializers.CharField(
        max_length=50, allow_blank=True, help_text="What the board says of it now; 409 where it is another by then."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """One change at a time: each is for one value seen."""
        if len(attrs) != 2:
            raise serializers.ValidationError("Send seen and one of rule, direction, column_id.")
        return attrs


class BoardFieldViewSet(BoardSettingView):
    """A field of a board."""

    problem_codes: ClassVar[dict[str, tuple[int, ...]]] = {"partial_update": (409,)}
    scopes: ClassVar[dict[str, str]] = {"partial_update": "operate"}

    @extend_schema(
        operation_id="update_board_field",
        summary="Change the rule of a field, or unblock it",
        description="Give a field another rule, let Monday decide it or stop syncing it, or give one whose column "
        "can't be used another column. The records that it changes anything for are synced.",
        request=FieldChangeSerializer,
        examples=[OpenApiExample("A rule", {"rule": "npd_wins", "seen": "ask"}, request_only=True)],
        responses=FieldMappingSerializer,
        tags=_TAGS,
    )
    def partial_update(self, request: Request, entity_type: str, field: str) -> Response:
        """Change it; 409 where it was changed meanwhile."""
        mapping = self.mapping(entity_type, field)
        body = FieldChangeSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        chosen, by = body.validated_data, request.user.get_username()
        seen = chosen["seen"]
        if "rule" in chosen:
            set_field_rule(mapping, chosen["rule"], expected=seen, by=by)
            said = f"Rule: from “{seen}” to “{Rule(chosen['rule']).label}”"
        elif "direction" in chosen:
            direction = SyncDirection(chosen["direction"])
            set_field_direction(mapping, direction, expected=seen, by=by)
            said = f"Direction: from “{seen}” to “{direction.label}”"
        else:
            if not mapping.problem:
                raise Conflict(f"The column can be used. Change it by PUT sync/boards/{entity_type}/draft/.")
            remap(mapping.pk, chosen["column_id"], expected=seen)
            said = f"Column: from {seen or 'none'} to {chosen['column_id']}"
        log_action(request.user, mapping, f"{said}, by the API.")
        return Response(FieldMappingSerializer(self.mapping(entity_type, field)).data)


# What moves values: a draft, its plan, and the word that lets it be done.


class DraftFieldSerializer(KnownFieldsMixin):
    """Another column or direction of a field; what isn't sent stays."""

    column_id = serializers.CharField(required=False, max_length=50, allow_blank=True)
    direction = serializers.ChoiceField(choices=SyncDirection.choices, required=False)


class DraftConditionSerializer(KnownFieldsMixin):
    """One condition of the filter."""

    field = serializers.CharField(max_length=50)
    op = serializers.ChoiceField(choices=[op.value for op in FilterOp])
    values = serializers.ListField(
        child=serializers.CharField(max_length=200),
        required=False,
        max_length=50,
        help_text="Of the field `group` the ids or titles of the board's groups, which a draft lists.",
    )


class DraftFilterSerializer(KnownFieldsMixin):
    """Which records and items are synced: those that meet all conditions of their side."""

    records = serializers.ListField(child=DraftConditionSerializer(), required=False, max_length=MAX_CONDITIONS)
    items = serializers.ListField(child=DraftConditionSerializer(), required=False, max_length=MAX_CONDITIONS)


class BoardDraftRequestSerializer(KnownFieldsMixin):
    """What is to be changed."""

    fields = serializers.DictField(  # type: ignore[assignment]  # a member's name
        child=DraftFieldSerializer(), required=False, help_text="By the field's key."
    )
    filter = DraftFilterSerializer(required=False, help_text="The whole filter; not sent: as it is.")


class MappingChangeSerializer(serializers.Serializer[Any]):
    """What of a field would be otherwise."""

    field = serializers.CharField(help_text="Its label.")
    what = serializers.CharField()
    before = serializers.CharField()
    after = serializers.CharField()


class BoardGroupSerializer(serializers.Serializer[Any]):
    """A group of the board's items."""

    id = serializers.CharField()
    title = serializers.CharField()


class BoardDraftSerializer(serializers.ModelSerializer[SetupDraft]):
    """A change that is drafted, or being applied: what it would do, as far as it is compared."""

    owner = serializers.CharField(source="owner.username", default="")
    state = serializers.ChoiceField(choices=SetupState.choices)
    changes = serializers.SerializerMethodField(help_text="Of the mapping.")
    filter = serializers.SerializerMethodField()
    groups = serializers.SerializerMethodField(help_text="The board's groups, by which items may be filtered.")
    counts = serializers.SerializerMethodField(help_text="Records and items by what would be done with them.")
    unanswered = serializers.SerializerMethodField(
        help_text="Names that are alike and that nobody has answered; they stay out. Answer them on the page."
    )
    calls = serializers.SerializerMethodField(help_text="About how many API calls it takes.")
    compared_at = serializers.DateTimeField(source="found_at", allow_null=True)
    plan_token = serializers.SerializerMethodField(help_text="Names this plan for apply; empty until it is compared.")
    done = serializers.SerializerMethodField(help_text="What the last run did, in sentences.")

    class Meta:
        model = SetupDraft
        fields = [
            *("entity_type", "owner", "state", "board_id", "board_name", "changes", "filter", "groups", "counts"),
            *("unanswered", "calls", "compared_at", "plan_token", "progress", "problem", "done"),
        ]
        read_only_fields = fields

    @extend_schema_field(MappingChangeSerializer(many=True))
    def get_changes(self, draft: SetupDraft) -> Any:
        """Field by field."""
        return MappingChangeSerializer(drafts.mapping_changes_of(draft), many=True).data

    @extend_schema_field(BoardFilterSerializer)
    def get_filter(self, draft: SetupDraft) -> Any:
        """The conditions of both sides."""
        return BoardFilterSerializer(SyncFilter.parse(draft.sync_filter)).data

    @extend_schema_field(BoardGroupSerializer(many=True))
    def get_groups(self, draft: SetupDraft) -> Any:
        """As Monday last showed them."""
        groups = [{"id": group, "title": title} for group, title in draft.groups.items()]
        return BoardGroupSerializer(groups, many=True).data

    @extend_schema_field(serializers.DictField(child=serializers.IntegerField()))
    def get_counts(self, draft: SetupDraft) -> Any:
        """Nothing before it is compared."""
        return plan.plan_totals(draft) if draft.state == SetupState.COMPARED else {}

    def get_unanswered(self, draft: SetupDraft) -> int:
        """How many."""
        return len(plan.unanswered_pairs(draft))

    def get_calls(self, draft: SetupDraft) -> int:
        """About how many."""
        return plan.plan_cost([draft]).calls if draft.state == SetupState.COMPARED else 0

    def get_plan_token(self, draft: SetupDraft) -> str:
        """What apply takes."""
        return plan.shown_token(draft) if draft.state == SetupState.COMPARED else ""

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_done(self, draft: SetupDraft) -> Any:
        """Sentences."""
        return draft.outcome.get("done", [])


class PlanTokenSerializer(KnownFieldsMixin):
    """The plan that was seen."""

    plan_token = serializers.CharField(max_length=100, help_text="As the draft says; 409 where it is another by now.")


_DRAFT_EXAMPLE = {
    "fields": {"role_title": {"column_id": "position"}, "notes": {"direction": "none"}},
    "filter": {"records": [{"field": "email", "op": "is_filled"}], "items": []},
}
_DRAFT_ACTS = ("update", "destroy", "apply", "compare")


class BoardDraftViewSet(BoardSettingView):
    """The draft of a board's change."""

    serializer_class = BoardDraftSerializer
    problem_codes: ClassVar[dict[str, tuple[int, ...]]] = dict.fromkeys(_DRAFT_ACTS, (409,))
    scopes: ClassVar[dict[str, str]] = dict.fromkeys(_DRAFT_ACTS, "operate")

    @extend_schema(
        operation_id="get_board_draft",
        summary="Show the draft of a board's change",
        description="How far it is; once both sides are compared, what it would do, with its `plan_token`. Of an "
        "applied one what was done.",
        tags=_TAGS,
    )
    def retrieve(self, request: Request, entity_type: str) -> Response:
        """The draft."""
        return self._answer(entity_type)

    @extend_schema(
        operation_id="draft_board_change",
        summary="Draft another mapping or filter of a board",
        description="Draft other columns, directions or another filter, and have a worker compare both sides: 202; "
        "nothing is written. Follow the draft until its state is `compared`, read what it would do, then apply it. "
        "409 where a draft with other changes is open: discard or apply it first.",
        request=BoardDraftRequestSerializer,
        examples=[OpenApiExample("Another column", _DRAFT_EXAMPLE, request_only=True)],
        responses={202: BoardDraftSerializer},
        tags=_TAGS,
    )
    def update(self, request: Request, entity_type: str) -> Response:
        """Draft it."""
        self.link(entity_type)
        body = BoardDraftRequestSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        user, asked = cast("User", request.user), body.validated_data
        known = {one.key for one in registry.entity(entity_type).mappings}
        requested = asked.get("fields", {})
        if unknown := sorted(set(requested) - known):
            sentence = f"There is no such field. Known: {', '.join(sorted(known))}."
            raise serializers.ValidationError({"fields": {one: [sentence] for one in unknown}}, code="unknown_field")
        chosen, filter_asked = drafts.requested_choices(entity_type, requested), asked.get("filter")

        def is_wanted(draft: SetupDraft) -> bool:
            if not draft.mapped or not drafts.has_begun_matching(draft) or not drafts.holds_choices(draft, chosen):
                return False
            if filter_asked is None:
                return bool(draft.sync_filter == drafts.begun_filter(draft))
            return bool(draft.sync_filter == _asked_filter(draft, filter_asked).to_json())

        def choose() -> None:
            # The filter of now is in the way of nothing, where this request has another.
            used = None
            if filter_asked is not None:
                used = {one["field"] for conditions in filter_asked.values() for one in conditions}
            if problems := drafts.choose_fields(user, entity_type, chosen, filter_fields=used):
                raise serializers.ValidationError({"fields": problems}, code="invalid")
            if filter_asked is not None:
                drafts.choose_filter(user, entity_type, _asked_filter(self._draft(entity_type), filter_asked))

        _check_throttle(request)
        asking_monday(lambda: drafts.begin_change(user, entity_type, is_wanted, choose))
        plan.compare_if_due()
        return self._answer(entity_type, HTTPStatus.ACCEPTED)

    @extend_schema(
        operation_id="discard_board_draft",
        summary="Discard the draft of a board's change",
        description="What is synced now stays as it is.",
        tags=_TAGS,
    )
    def destroy(self, request: Request, entity_type: str) -> Response:
        """Discard it; 409 where it is being applied."""
        self._draft(entity_type)
        drafts.discard_draft(cast("User", request.user), entity_type)
        return Response(status=HTTPStatus.NO_CONTENT)

    @extend_schema(
        operation_id="compare_board_draft",
        summary="Compare both sides again for a draft",
        description="Let a worker compare all open drafts again, as people worked on both sides meanwhile.",
        request=None,
        responses={202: BoardDraftSerializer},
        tags=_TAGS,
    )
    def compare(self, request: Request, entity_type: str) -> Response:
        """Compare again."""
        self._draft(entity_type)
        if not plan.comparable().filter(pk=entity_type).exists():
            raise Conflict("There is nothing to compare: the draft has no fields yet, or is being applied.")
        _check_throttle(request)  # a worker reads both sides from the beginning
        plan.compare_again(cast("User", request.user))
        return self._answer(entity_type, HTTPStatus.ACCEPTED)

    @extend_schema(
        operation_id="apply_board_draft",
        summary="Apply the draft of a board's change",
        description="Let a worker do what its plan says. 409 where the plan is another than you saw.",
        request=PlanTokenSerializer,
        responses={202: BoardDraftSerializer},
        tags=_TAGS,
    )
    def apply(self, request: Request, entity_type: str) -> Response:
        """Confirm exactly the plan that was seen."""
        self._draft(entity_type)
        body = PlanTokenSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        plan.confirm_setup(cast("User", request.user), {entity_type: body.validated_data["plan_token"]})
        return self._answer(entity_type, HTTPStatus.ACCEPTED)

    def _draft(self, entity_type: str) -> SetupDraft:
        self.link(entity_type)
        found = drafts.draft_of(entity_type)
        if found is None:
            raise NotFound(f"Nothing is drafted. Begin with PUT sync/boards/{entity_type}/draft/.")
        return found

    def _answer(self, entity_type: str, code: int = HTTPStatus.OK) -> Response:
        return Response(BoardDraftSerializer(self._draft(entity_type)).data, code)


def _asked_filter(draft: SetupDraft, asked: dict[str, Sequence[dict[str, Any]]]) -> SyncFilter:
    """The filter that is asked for; raises ValidationError."""
    sides = {FilterSide.RECORD: asked.get("records", ()), FilterSide.ITEM: asked.get("items", ())}
    rows = {
        side: [FilterRow(one["field"], one["op"], values=one.get("values", ())) for one in conditions]
        for side, conditions in sides.items()
    }
    chosen, problems = filter_of_rows(draft, rows)
    if problems:
        names = {FilterSide.RECORD: "records", FilterSide.ITEM: "items"}
        told = {names[side]: {str(n): [text] for n, text in found.items()} for side, found in problems.items()}
        raise serializers.ValidationError({"filter": told}, code="invalid")
    return chosen
