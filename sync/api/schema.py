"""How operations and views describe themselves in the OpenAPI schema: names, answers, and the problems that they can
have.

An operation is called as its collection and the view's action. Its description is the docstring of the action, or else
of the view.
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

from sync.api.lists import NOT_EXPANDED, ShapedView
from sync.api.preconditions import HEADER, IF_MATCH
from sync.api.problems import MEDIA_TYPE, ProblemSerializer
from sync.api.request_rules import ApiView, KnownFieldsMixin

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

    target_class = "sync.api.callers.ApiTokenAuthentication"
    name = "apiToken"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
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
        narrowed = self.view_action in getattr(self.view, "narrowed", ())
        return list(getattr(self.view, "filter_backends", ())) if narrowed else []

    def get_operation_id(self) -> str:
        collection = getattr(self.view, "basename", None) or self.path.strip("/").rpartition("/")[2]
        return f"{collection.removeprefix('sync-')}_{self.view_action}".replace("-", "_")

    def get_summary(self) -> str:
        return self.get_operation_id().replace("_", " ").capitalize()

    def get_serializer_name(self, serializer: serializers.Serializer[Any], direction: Direction) -> str:
        name: str = super().get_serializer_name(serializer, direction)
        return name.removesuffix("Serializer").removesuffix("Request") if direction == "request" else name

    @property
    def view_action(self) -> str:
        return str(getattr(self.view, "action", None) or self.method.lower())


def _name_of(reference: dict[str, Any]) -> str:
    return str(reference["$ref"]).rpartition("/")[2]
