"""How operations and views describe themselves in the OpenAPI schema: names, answers, and the problems that they can
have.

What an operation is called: its operationId, which reads as a method's name, its summary and its tag. A rule makes them
of the address and the view's action; where it wouldn't read well, a row of NAMED does. A view can still say all three
itself (`extend_schema`).
"""

from __future__ import annotations

from copy import deepcopy
from http import HTTPStatus
from typing import Any, NamedTuple

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ComponentIdentity, ResolvedComponent
from drf_spectacular.utils import Direction, OpenApiParameter, OpenApiResponse
from rest_framework import serializers

from sync import registry
from sync.api.lists import NOT_EXPANDED, ShapedView
from sync.api.preconditions import HEADER
from sync.api.problems import MEDIA_TYPE, ProblemSerializer
from sync.api.request_rules import MAY_BE_EMPTY, ApiView, KnownFieldsMixin, deprecation_of
from sync.records.external_ids import NAME_PATTERN

# What each operation is called.


ROOT = "/api/v1/"

VERBS = {
    "list": "list",
    "retrieve": "get",
    "create": "create",
    "update": "replace",
    "partial_update": "update",
    "destroy": "delete",
}
"""Of a view set's own actions; any other action is a verb by itself."""

NOUNS = {"queue": "job", "guard": "approval", "history": "change", "batches": "batch", "schedule": "scheduled_job"}
"""One thing of a collection whose address is not the plural of its name."""

PLURALS = {"batch": "batches"}

TAGS = {
    "imports": "Files of records: read, planned, applied and undone by a worker.",
    "exports": "Lists as files, CSV or XLSX.",
    "queue": "Jobs that wait or failed, and pauses of the sync.",
    "conflicts": "What both sides changed differently, and its resolution.",
    "approvals": "Bulk deletions that wait for a person.",
    "unmatched items": "Items of the boards that no record has, and those that are ignored.",
    "inbox": "What needs attention, by its causes; whose it is.",
    "rejected values": "Values that Monday rejected, and the answer to them.",
    "boards": "Boards with their mappings and numbers; fields that are blocked or in an update loop.",
    "deleted records": "What was deleted in NPD, and its restore.",
    "history": "What was decided about records, batches in numbers, and the undo of both.",
    "schedule": "What runs by the clock, and when.",
    "states": "The sync state of records, and of what other code keeps in sync.",
    "events": "The feed of what happened.",
    "webhook-endpoints": "Addresses of other systems to which events are sent.",
    "webhook-deliveries": "What they were sent, and what they answered.",
    "tokens": "Who asks, and one's own API tokens.",
    "service": "For other machines: Monday's webhooks, the scheduler, probes, figures.",
}
"""Every tag that is no collection of records, and what it holds."""

_TAG_OF = {
    "pauses": "queue",
    "guard": "approvals",
    "unmatched-items": "unmatched items",
    "ignored-items": "unmatched items",
    "batches": "history",
    "stats": "states",
}


class Named(NamedTuple):
    """What an operation is called; `summary` is a line of at most 60 characters."""

    id: str
    summary: str


NAMED = {
    ("GET", "conflicts/stats"): Named("get_conflict_stats", "Get the conflicts in numbers"),
    ("GET", "queue/stats"): Named("get_queue_stats", "Get the queue in numbers"),
    ("POST", "queue/pause"): Named("pause_queue", "Pause the sync (use create_pause)"),
    ("POST", "queue/resume"): Named("resume_queue", "Resume the sync (use delete_pause)"),
    ("POST", "pauses"): Named("create_pause", "Pause the sync, or a part of it"),
    ("DELETE", "pauses/{id}"): Named("delete_pause", "End a pause"),
    ("GET", "stats"): Named("get_sync_stats", "Get the sync in figures"),
    ("GET", "states"): Named("list_sync_states", "List sync states"),
    ("POST", "conflicts/{id}/undo"): Named("undo_conflict_resolution", "Undo the resolution of a conflict"),
    ("POST", "guard/approve"): Named("approve_requests", "Approve what waits for approval"),
    ("POST", "guard/reject"): Named("reject_requests", "Reject what waits for approval"),
    ("POST", "unmatched-items/{id}/create"): Named("create_record_of_unmatched_item", "Create a record of an item"),
    ("GET", "history/{id}/undo"): Named("get_undo_plan_of_change", "Get what undoing a change would write"),
    ("GET", "batches/{batch_id}/undo"): Named("get_undo_plan_of_batch", "Get what undoing a batch would write"),
}
"""By method and address (below /api/v1/ or /api/v1/sync/) what the rule doesn't say well."""

NAMED_TAILS = {
    "sync-to-monday": ("push_{}_to_monday", "Push {} to Monday now"),
    "link-again": ("link_{}_again", "Link {} with its former item again"),
    "create-item": ("create_item_of_{}", "Create the item of {} again"),
    "unlink": ("unlink_{}", "Unlink {} from its item"),
    "deleted": ("list_deleted_{}s", "List which ones were deleted, and when"),
}
"""The same of the last part of the address, for every model."""


def name_of(method: str, path: str, action: str) -> Named:
    """What an operation is called; `action` is the view's, or the method in lower case where it has none."""
    parts = _parts(path)
    if found := NAMED.get((method, "/".join(parts))):
        return found
    noun, plural = _nouns(parts[0])
    fixed = [part for part in parts if not part.startswith("{")]
    tail, has_id = fixed[1:], len(fixed) < len(parts)
    one = f"{'an' if noun[0] in 'aeiou' else 'a'} {_words(noun)}"
    if tail and (said := NAMED_TAILS.get(tail[-1])):
        return Named(said[0].format(noun), said[1].format(one))
    if tail and method == "GET":
        part, verb = "_".join(tail).replace("-", "_"), "get" if action == "retrieve" else "list"
        return Named(f"{verb}_{noun}_{part}", f"{verb.capitalize()} the {_words(part)} of {one}")
    verb = VERBS.get(action, "_".join(tail).replace("-", "_") or action)
    if verb == "list":
        return Named(f"list_{plural}", f"List {_words(plural)}")
    if has_id or verb == "create":
        return Named(f"{verb}_{noun}", f"{_words(verb).capitalize()} {one}")
    return Named(f"{verb}_{plural}", f"{_words(verb).capitalize()} all {_words(plural)} that match")


def tag_of(path: str) -> str:
    """The tag of the resource at this address."""
    collection = _parts(path)[0]
    return _TAG_OF.get(collection, collection)


def described_tags(used: set[str]) -> list[dict[str, str]]:
    """The tags in use with what each holds; those of records come first."""
    records = {
        _collection(spec): f"{_collection(spec).replace('-', ' ').capitalize()}, and what can be done with one or many."
        for spec in registry.entities()
    }
    return [{"name": name, "description": said} for name, said in (records | TAGS).items() if name in used]


def _parts(path: str) -> list[str]:
    return path.removeprefix(ROOT).removeprefix("sync/").strip("/").split("/")


def _nouns(collection: str) -> tuple[str, str]:
    for spec in registry.entities():
        if _collection(spec) == collection:
            return str(spec.model._meta.verbose_name).replace(" ", "_"), collection.replace("-", "_")
    noun = NOUNS.get(collection, collection.removesuffix("s").replace("-", "_"))
    return noun, PLURALS.get(noun, f"{noun}s")


def _collection(spec: Any) -> str:
    return str(spec.model._meta.verbose_name_plural).replace(" ", "-")


def _words(name: str) -> str:
    return name.replace("_", " ")


BODY_METHODS = ("POST", "PUT", "PATCH")

IDEMPOTENCY_KEY = OpenApiParameter(
    HEADER,
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"},
    OpenApiParameter.HEADER,
    description="A text of your own for this one thing to be done, such as a UUID. Sent again under the same key "
    "within 24 hours, the request isn't done again: the first answer comes back, with `Idempotent-Replayed: true`.",
)


class ApiTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How a token is sent."""

    target_class = "sync.api.token_auth.ApiTokenAuthentication"
    name = "apiToken"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        """Return the scheme; “Token” is taken as well as “Bearer”."""
        about = "A token of /api/v1/tokens/, the admin's page API tokens or `manage.py drf_create_token USER`."
        return {"type": "http", "scheme": "bearer", "description": about}


SELECTION = "Selection"
"""What the name of a shape ends with of which an answer holds the members that `fields` names."""


class ProblemSchema(AutoSchema):
    """AutoSchema with the problems that any of our views can have, a view names more in `problem_codes`; and with what
    `fields` and `expand` make of an answer.
    """

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        """The operation; None where it is none."""
        operation: dict[str, Any] | None = super().get_operation(*args, **kwargs)
        if operation is not None:
            self._narrow_query(operation)
            self._add_not_modified(operation)
        if operation is not None and isinstance(self.view, ShapedView) and self.view.is_shaped:
            media = operation["responses"]["200"]["content"]["application/json"]
            if rows := self._shape_of(media["schema"])["properties"].get("results"):
                rows["items"] = self._selection_of(self.view, rows["items"])
            else:
                media["schema"] = self._selection_of(self.view, media["schema"])
        return operation

    def _narrow_query(self, operation: dict[str, Any]) -> None:
        """Say of each parameter of the query what check_query and the filters refuse."""
        filters = getattr(getattr(self.view, "filterset_class", None), "base_filters", {})
        for parameter in operation.get("parameters", []):
            name, shape = parameter["name"], parameter["schema"]
            if parameter["in"] != "query" or name in MAY_BE_EMPTY or {"enum", "format", "pattern"} & set(shape):
                continue
            if shape.get("type") == "array":
                shape["minItems"] = 1
            if "" in (choices := shape.get("items", {}).get("enum", [])):
                choices.remove("")
            if name in ("page", "page_size"):
                shape |= {"minimum": 1, "maximum": 999_999_999}
            elif shape.get("type") == "integer":
                limits = getattr(filters.get(name), "extra", {})
                shape |= {"minimum": limits.get("min_value", -(2**31)), "maximum": limits.get("max_value", 2**31 - 1)}
            elif name == "entity_type":
                shape["pattern"] = f"^({'|'.join(spec.entity_type for spec in registry.entities())})$"
            elif name == "external_id":
                shape["pattern"] = NAME_PATTERN
            elif shape.get("type") == "string":
                shape["pattern"] = r"\S"

    def _add_not_modified(self, operation: dict[str, Any]) -> None:
        """Say of what answers JSON to a GET that it has an ETag, and may be a 304 for it."""
        answer = operation["responses"].get("200", {})
        if self.method == "GET" and isinstance(self.view, ApiView) and "application/json" in answer.get("content", {}):
            tag = {"schema": {"type": "string"}, "description": "Of the whole body, for If-None-Match."}
            answer.setdefault("headers", {}).setdefault("ETag", tag)
            responses = operation["responses"] | {"304": {"description": "It is what If-None-Match names."}}
            operation["responses"] = dict(sorted(responses.items()))
            header = {"in": "header", "name": "If-None-Match", "schema": {"type": "string"}}
            header["description"] = "ETags of answers that you have, or *."
            operation["parameters"] = [header, *operation.get("parameters", [])]

    def _map_basic_serializer(self, serializer: Any, direction: Direction) -> Any:
        """The shape; of a body that refuses fields that it doesn't know it says so."""
        shape: Any = super()._map_basic_serializer(serializer, direction)  # type: ignore[no-untyped-call]
        if direction == "request" and isinstance(serializer, KnownFieldsMixin):
            shape["additionalProperties"] = False
        return shape

    def _selection_of(self, view: ShapedView, answer: dict[str, Any]) -> dict[str, Any]:
        """The shape of what `fields` and `expand` may make of an answer; OpenAPI knows no required but this."""
        name = _name_of(answer)
        if name.endswith(SELECTION):
            return answer
        shape = deepcopy(self._shape_of(answer))
        del shape["required"]
        shape["description"] = f"What `fields` names of a {name}; without `fields`, all of it."
        for member, serializer in view.expanded_serializers().items():
            shape["properties"][member] = {"anyOf": [shape["properties"][member], self._expanded(serializer)]}
        return self._registered(f"{name}{SELECTION}", shape)

    def _expanded(self, serializer: type[serializers.Serializer[Any]]) -> dict[str, Any]:
        """The shape of a record in place of its id."""
        whole = self.resolve_serializer(serializer, "response")
        shape = deepcopy(whole.schema)
        shape["description"] = f"A {whole.name} in place of its id."
        shape["properties"] = {key: one for key, one in shape["properties"].items() if key not in NOT_EXPANDED}
        shape["required"] = [key for key in shape["required"] if key not in NOT_EXPANDED]
        return self._registered(f"Expanded{whole.name}", shape)

    def _shape_of(self, reference: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self.registry[_name_of(reference), ResolvedComponent.SCHEMA].schema
        return found

    def _registered(self, name: str, shape: dict[str, Any]) -> dict[str, Any]:
        identity = ComponentIdentity(name)  # type: ignore[no-untyped-call]
        component = ResolvedComponent(name, ResolvedComponent.SCHEMA, shape, identity)  # type: ignore[no-untyped-call]
        self.registry.register_on_missing(component)
        reference: dict[str, Any] = component.ref
        return reference

    def _get_response_bodies(self, direction: Direction = "response") -> dict[str, Any]:
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        # 400: every endpoint refuses a parameter that it doesn't know; 406: and a format that it hasn't.
        codes = {400, 401, 403, 406, 429, *getattr(self.view, "problem_codes", {}).get(self.view_action, ())}
        if "{" in self.path or self._is_paged:
            codes.add(404)
        if self.method in BODY_METHODS and self.get_request_serializer() is not None:
            codes.update((413, 415))
        if self.method == "POST":
            codes.update((409, 422))  # a key in use, or used for something else
        for code in sorted(codes):
            answer = OpenApiResponse(ProblemSerializer, description=HTTPStatus(code).phrase)
            described = self._get_response_for_code(answer, str(code), [MEDIA_TYPE], direction)  # type: ignore[no-untyped-call]
            bodies.setdefault(str(code), described)
        return bodies

    def get_override_parameters(self) -> list[Any]:
        """The header that every POST takes, and how a view's answers can be cut and filled."""
        shape: list[Any] = getattr(self.view, "shape_parameters", list)()
        return [*([IDEMPOTENCY_KEY] if self.method == "POST" else []), *shape]

    @property
    def _is_paged(self) -> bool:
        return self.view_action in getattr(self.view, "paged", ())

    def _get_paginator(self) -> Any:
        return super()._get_paginator() if self._is_paged else None  # type: ignore[no-untyped-call]

    def get_filter_backends(self) -> list[Any]:
        """The filters of this action, if the view says that it has them."""
        narrowed = self.view_action in getattr(self.view, "narrowed", ())
        return list(getattr(self.view, "filter_backends", ())) if narrowed else []

    def get_operation_id(self) -> str:
        """What a client's method for it is called."""
        return name_of(self.method, self.path, self.view_action).id

    def get_summary(self) -> str:
        """A line about it."""
        return name_of(self.method, self.path, self.view_action).summary

    def get_tags(self) -> list[str]:
        """The resource that it belongs to."""
        return [tag_of(self.path)]

    def get_description(self) -> str:  # type: ignore[override]  # as spectacular has it
        """What it does, and what to use instead of what is deprecated."""
        said: str = super().get_description()
        found = deprecation_of(self.view, self.view_action)
        return f"{said}\n\n{found.sentence}" if found else said

    def is_deprecated(self) -> bool:
        """Whether the view says so of its action."""
        return deprecation_of(self.view, self.view_action) is not None

    def _get_parameters(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = super()._get_parameters()
        for parameter in found:
            marked = getattr(self.view, "deprecated", {}).get(f"{self.view_action}?{parameter['name']}")
            if marked and parameter["in"] == "query":
                said = parameter.get("description", "")
                parameter |= {"deprecated": True, "description": f"{said} {marked.sentence}".strip()}
        return found

    def get_serializer_name(self, serializer: serializers.Serializer[Any], direction: Direction) -> str:
        """What a shape is called; to a body's name “Request” is added, so none ends with it before."""
        name: str = super().get_serializer_name(serializer, direction)
        return name.removesuffix("Serializer").removesuffix("Request") if direction == "request" else name

    @property
    def view_action(self) -> str:
        """The view's action, or its method in lower case where it is no view set."""
        return str(getattr(self.view, "action", None) or self.method.lower())


def _name_of(reference: dict[str, Any]) -> str:
    return str(reference["$ref"]).rpartition("/")[2]
