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
        for code in self._problem_codes():
            answer = OpenApiResponse(ProblemSerializer, description=HTTPStatus(code).phrase)
            described = self._get_response_for_code(answer, str(code), [MEDIA_TYPE], direction)  # type: ignore[no-untyped-call]
            bodies.setdefault(str(code), described)
        return bodies

    def _problem_codes(self) -> list[int]:
        codes = {401, 403, 429, *getattr(self.view, "problem_codes", {}).get(self.view_action, ())}
        if "{" in self.path or self._is_list_view():
            codes.add(404)
        if self.method in BODY_METHODS or self._is_list_view():
            codes.add(400)
        if self.method in BODY_METHODS:
            codes.update((413, 415))
        return sorted(codes)

    @property
    def view_action(self) -> str:
        """The view's action, or its method in lower case where it is no view set."""
        return str(getattr(self.view, "action", None) or self.method.lower())
