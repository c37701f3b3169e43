"""How operations describe themselves in the OpenAPI document beyond what drf-spectacular finds out."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import Direction, OpenApiResponse
from rest_framework.serializers import ModelSerializer

from sync.api.errors import ErrorSerializer


class ApiTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How a token is sent."""

    target_class = "sync.api.callers.ApiTokenAuthentication"
    name = "apiToken"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        about = "A token of the admin's page API tokens or of `manage.py drf_create_token USER`."
        return {"type": "http", "scheme": "bearer", "description": about}


class ApiSchema(AutoSchema):
    """AutoSchema with the one form of errors at every operation; of a row every member is answered."""

    def _map_basic_serializer(self, serializer: Any, direction: Direction) -> Any:
        shape: Any = super()._map_basic_serializer(serializer, direction)  # type: ignore[no-untyped-call]
        if direction == "response" and isinstance(serializer, ModelSerializer):
            shape["required"] = sorted(shape["properties"])
        return shape

    def _get_response_bodies(self, direction: Direction = "response") -> dict[str, Any]:
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        errors = OpenApiResponse(ErrorSerializer, description="Why it was not done.")
        described = self._get_response_for_code(errors, "default", ["application/json"], direction)  # type: ignore[no-untyped-call]
        return {**bodies, "default": described}
