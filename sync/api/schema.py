"""How views describe themselves in the OpenAPI schema: their answers, and the problems that they can have."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import Direction, OpenApiResponse

from sync.api.problems import MEDIA_TYPE, ProblemSerializer

BODY_METHODS = ("POST", "PUT", "PATCH")


class ProblemSchema(AutoSchema):
    """AutoSchema with the problems that any of our views can have; a view names more in `problem_codes`."""

    def _get_response_bodies(self, direction: Direction = "response") -> dict[str, Any]:
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        # 400: every endpoint refuses a parameter that it doesn't know.
        codes = {400, 401, 403, 429, *getattr(self.view, "problem_codes", {}).get(self.view_action, ())}
        if "{" in self.path or self._is_paged:
            codes.add(404)
        if self.method in BODY_METHODS:
            codes.update((413, 415))
        for code in sorted(codes):
            answer = OpenApiResponse(ProblemSerializer, description=HTTPStatus(code).phrase)
            described = self._get_response_for_code(answer, str(code), [MEDIA_TYPE], direction)  # type: ignore[no-untyped-call]
            bodies.setdefault(str(code), described)
        return bodies

    @property
    def _is_paged(self) -> bool:
        return self.view_action in getattr(self.view, "paged", ())

    def _get_paginator(self) -> Any:
        return super()._get_paginator() if self._is_paged else None  # type: ignore[no-untyped-call]

    def get_filter_backends(self) -> list[Any]:
        """The filters of this action, if the view says that it has them."""
        narrowed = self.view_action in getattr(self.view, "narrowed", ())
        return list(getattr(self.view, "filter_backends", ())) if narrowed else []

    @property
    def view_action(self) -> str:
        """The view's action, or its method in lower case where it is no view set."""
        return str(getattr(self.view, "action", None) or self.method.lower())
