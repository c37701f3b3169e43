"""How operations and views describe themselves in the OpenAPI schema: names, answers, and the problems that they can
have.

What an operation is called is made of its address and the view's action, and reads as a method's name; where that
wouldn't read well, a row of NAMED says it. Its description is the docstring of the action, or else of the view.
"""

from __future__ import annotations

from copy import deepcopy
from http import HTTPStatus
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ComponentIdentity, ResolvedComponent
from drf_spectacular.utils import Direction, OpenApiParameter, OpenApiResponse
from rest_framework import serializers

from sync import registry
from sync.api.lists import NOT_EXPANDED, ShapedView
from sync.api.preconditions import HEADER, IF_MATCH
from sync.api.problems import MEDIA_TYPE, ProblemSerializer
from sync.api.request_rules import ApiView, KnownFieldsMixin

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

NOUNS = {"queue": "job", "history": "change", "batches": "batch", "webhook-deliveries": "webhook_delivery"}
"""One thing of a collection whose address is not the plural of its name."""

PLURALS = {"batch": "batches", "webhook_delivery": "webhook_deliveries"}

NAMED = {
    ("GET", "me"): "get_me",
    ("GET", "events"): "list_events",
    ("GET", "conflicts/stats"): "get_conflict_stats",
    ("GET", "conflicts/{id}/context"): "get_conflict_context",
    ("POST", "conflicts/{id}/undo"): "undo_conflict_resolution",
    ("POST", "conflicts/bulk-resolutions"): "prepare_bulk_resolution",
    ("GET", "conflicts/bulk-resolutions/{id}"): "get_bulk_resolution",
    ("POST", "conflicts/bulk-resolutions/{id}/confirm"): "confirm_bulk_resolution",
    ("POST", "conflicts/bulk-resolutions/{id}/stop"): "stop_bulk_resolution",
    ("POST", "conflicts/bulk-resolutions/{id}/undo"): "undo_bulk_resolution",
    ("POST", "rejected-values/{entity_type}/{entity_id}/{field}/undo"): "undo_rejected_value_answer",
    ("GET", "queue/stats"): "get_queue_stats",
    ("GET", "stats"): "get_sync_stats",
    ("GET", "states"): "list_sync_states",
    ("GET", "history"): "list_history",
    ("GET", "history/{id}"): "get_history_entry",
    ("GET", "history/{id}/undo"): "get_undo_plan_of_change",
    ("GET", "batches/{batch_id}/undo"): "get_undo_plan_of_batch",
    ("POST", "approvals/approve"): "approve_requests",
    ("POST", "approvals/reject"): "reject_requests",
    ("POST", "unmatched-items/{id}/create"): "create_record_of_unmatched_item",
    ("GET", "inbox"): "list_inbox_entries",
    ("GET", "inbox/causes"): "list_inbox_causes",
    ("POST", "inbox/assign"): "assign_inbox_entries",
    ("GET", "inbox/entries/{key}"): "get_inbox_entry",
    ("PATCH", "inbox/entries/{key}"): "update_inbox_entry",
    ("POST", "blocked-fields/retry"): "retry_blocked_field",
    ("POST", "update-loops/retry"): "retry_update_loop",
    ("GET", "deleted-records"): "list_deleted_records",
    ("GET", "deleted-records/{id}"): "get_deleted_record",
    ("POST", "deleted-records/{id}/restore"): "restore_deleted_record",
    ("POST", "webhook-endpoints/{id}/rotate-secret"): "rotate_webhook_secret",
}
"""By method and address (below /api/v1/ or /api/v1/sync/) what the rule doesn't say well."""

NAMED_TAILS = {
    "bulk": "bulk_{plural}",
    "by-external-id/{source}/{value}": "{verb}_{noun}_by_external_id",
    "deleted": "list_deleted_{plural}",
    "sync": "get_{noun}_sync",
    "history": "list_{noun}_history",
    "sync-to-monday": "push_{noun}_to_monday",
    "link-again": "link_{noun}_again",
    "create-item": "create_item_of_{noun}",
}
"""The same by the end of the address, of every model's records."""


def name_of(method: str, path: str, action: str) -> str:
    """Return what an operation is called; `action` is the view's, or the method in lower case where it has none."""
    collection, _, tail = path.removeprefix(ROOT).removeprefix("sync/").strip("/").partition("/")
    if found := NAMED.get((method, f"{collection}/{tail}".rstrip("/"))):
        return found
    noun, plural = _nouns(collection)
    fixed = "_".join(part for part in tail.split("/") if part and not part.startswith("{")).replace("-", "_")
    verb = VERBS.get(action) or fixed or action
    if collection in _collections():
        verb = {"retrieve_by_external_id": "get"}.get(action, "upsert" if action.startswith("upsert") else verb)
        if name := NAMED_TAILS.get(tail.removeprefix("{id}/")):
            return name.format(verb=verb, noun=noun, plural=plural)
        if verb == "upsert":
            return f"upsert_{noun}_{fixed}"
    return f"{verb}_{noun}" if "{" in tail or verb == "create" else f"{verb}_{plural}"


def _nouns(collection: str) -> tuple[str, str]:
    noun = _collections().get(collection) or NOUNS.get(collection, collection.removesuffix("s").replace("-", "_"))
    plural = collection.replace("-", "_") if collection in _collections() else PLURALS.get(noun, f"{noun}s")
    return noun, plural


def _collections() -> dict[str, str]:
    """What one record is called, by the last part of its collection's address."""
    options = [spec.model._meta for spec in registry.entities()]
    return {str(o.verbose_name_plural).replace(" ", "-"): str(o.verbose_name).replace(" ", "_") for o in options}


# What the document says.


BODY_METHODS = ("POST", "PUT", "PATCH")

IDEMPOTENCY_KEY = OpenApiParameter(
    HEADER,
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"},
    OpenApiParameter.HEADER,
    description="A text of your own for this one thing to be done, such as a UUID. Sent again under the same key "
    "within 24 hours, the request isn't done again: the first answer comes back, with `Idempotent-Replayed: true`.",
)
IF_NONE_MATCH = OpenApiParameter(
    "If-None-Match", str, OpenApiParameter.HEADER, description="ETags of answers that you have, or *."
)
BODY_ETAG = OpenApiParameter(
    "ETag", str, OpenApiParameter.HEADER, response=[200], description="Of the whole body, for If-None-Match."
)


class ApiTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How a token is sent."""

    target_class = "sync.api.token_auth.ApiTokenAuthentication"
    name = "apiToken"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        """Return the scheme; “Token” is taken as well as “Bearer”."""
        about = "A token of /api/v1/tokens/, the admin's page API tokens or `manage.py drf_create_token USER`."
        return {"type": "http", "scheme": "bearer", "description": about}


def shown_addresses(endpoints: list[Any]) -> list[Any]:
    """The generator's first hook: an address that may end with a slash is shown without it."""
    return [(path.rstrip("/") if regex.endswith("/?$") else path, regex, *rest) for path, regex, *rest in endpoints]


SELECTION = "Selection"
"""What the name of a shape ends with of which an answer holds the members that `fields` names."""


class ProblemSchema(AutoSchema):
    """AutoSchema with the problems that any of our views can have, a view names more in `problem_codes`; and with what
    `fields` and `expand` make of an answer.
    """

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        """The operation; None where it is none."""
        operation: dict[str, Any] | None = super().get_operation(*args, **kwargs)
        if operation is not None and isinstance(self.view, ShapedView) and self.view.is_shaped:
            media = operation["responses"]["200"]["content"]["application/json"]
            if rows := self._shape_of(media["schema"])["properties"].get("results"):
                rows["items"] = self._selection_of(self.view, rows["items"])
            else:
                media["schema"] = self._selection_of(self.view, media["schema"])
        return operation

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
        if not isinstance(self.view, ApiView):
            return bodies  # a webhook's, which is another system's
        # 400: every endpoint refuses a parameter that it doesn't know; 406: and a format that it hasn't.
        codes = {400, 401, 403, 406, 429, *self.view.problem_codes}
        if "{" in self.path or self._is_paged:
            codes.add(404)
        if self.method in BODY_METHODS and self.get_request_serializer() is not None:
            codes.update((413, 415))
        if self.method != "GET":
            codes.add(409)
        if IF_MATCH in self.get_override_parameters():
            codes.add(412)
        if self.method == "POST":
            codes.add(422)  # a key that was used for something else
        for code in sorted(codes):
            answer = OpenApiResponse(ProblemSerializer, description=HTTPStatus(code).phrase)
            described = self._get_response_for_code(answer, str(code), [MEDIA_TYPE], direction)  # type: ignore[no-untyped-call]
            bodies.setdefault(str(code), described)
        if self._is_cached:
            bodies["304"] = {"description": "It is what If-None-Match names."}
        return bodies

    def get_override_parameters(self) -> list[Any]:
        """The headers that every operation of its method has, and how a view's answers can be cut and filled."""
        shape: list[Any] = getattr(self.view, "shape_parameters", list)()
        cache = [IF_NONE_MATCH, BODY_ETAG] if self._is_cached else []
        return [*([IDEMPOTENCY_KEY] if self.method == "POST" else []), *cache, *shape]

    @property
    def _is_cached(self) -> bool:
        return self.method == "GET" and isinstance(self.view, ApiView)

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
        return name_of(self.method, self.path, self.view_action)

    def get_summary(self) -> str:
        """The same in words."""
        return self.get_operation_id().replace("_", " ").capitalize()

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
