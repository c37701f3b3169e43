"""Doors for machines: one secret, sent as Bearer."""

from __future__ import annotations

import hmac

from django.http import HttpRequest


def carries(request: HttpRequest, secret: str) -> bool:
    """Whether the request bears this secret; compared in a time that tells nothing of it."""
    scheme, _, told = request.headers.get("Authorization", "").partition(" ")
    given = told.strip().encode(errors="replace")
    return scheme.lower() == "bearer" and hmac.compare_digest(given, secret.encode())
