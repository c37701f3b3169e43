"""The OpenAPI schema and its page, for those who are logged in or have a token."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.http import HttpResponseBase
from django.urls import reverse
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.exceptions import NotAuthenticated
from rest_framework.permissions import IsAuthenticated


class Schema(SpectacularAPIView):
    """The schema as OpenAPI, in YAML or JSON."""

    permission_classes = [IsAuthenticated]


class Docs(SpectacularSwaggerSplitView):
    """The schema to read and try; its script is an answer of its own, as our CSP wants."""

    permission_classes = [IsAuthenticated]

    def handle_exception(self, exc: Exception) -> Any:
        """Send a browser to the login instead of showing it a 401."""
        if isinstance(exc, NotAuthenticated) and "text/html" in self.request.headers.get("Accept", ""):
            answer: HttpResponseBase = redirect_to_login(self.request.get_full_path(), reverse("admin:login"))
            return answer
        return super().handle_exception(exc)
