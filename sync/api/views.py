"""What every API view of this project has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pghistory
from django.http import HttpRequest, HttpResponseBase
from rest_framework.request import Request
from rest_framework.views import APIView

from sync.api.parsers import CarefulJSONParser


class ApiView(APIView):
    """JSON in, and the author of changes in the history.

    `problem_codes` maps an action to the HTTP codes of problems beyond the ordinary ones.
    """

    parser_classes = [CarefulJSONParser]
    problem_codes: ClassVar[dict[str, tuple[int, ...]]] = {}

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Authenticate, then tell the history who writes and by which way.

        The middleware has opened the context for this request, outside any transaction; a token's user is
        known only here.
        """
        super().initial(request, *args, **kwargs)
        pghistory.context(user=request.user.pk, cause="api")


def also_with_slash(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """The same view for the address with a slash at its end; the schema lists only the one without."""

    def same(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return view(request, *args, **kwargs)

    same.csrf_exempt = True  # type: ignore[attr-defined]  # DRF checks CSRF itself, for sessions only
    return same
