"""ETags of records: a hash of what people edit, so that no pass makes a person's tag stale; and If-Match."""

from __future__ import annotations

import hashlib
import json
import re

from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from sync.api.errors import PreconditionFailed
from sync.kernel.triggers import BOOKKEEPING
from sync.models import SyncedModel

IF_MATCH = OpenApiParameter(
    "If-Match",
    str,
    OpenApiParameter.HEADER,
    description="The record's ETag as you read it, or *. When the record has another now, nothing is done: 412.",
)
ETAG = OpenApiParameter(
    "ETag", str, OpenApiParameter.HEADER, response=[200, 201], description="For If-Match, as the body's `etag`."
)

# Weak as well: whoever compresses an answer makes its tag so.
_TAG = re.compile(r'(?:W/)?("[^"]*")')


def etag_of(record: SyncedModel) -> str:
    """Return the quoted tag of the record's own fields, sync_enabled and sync_direction."""
    names = [
        field.attname
        for field in record._meta.concrete_fields
        if not field.primary_key and field.attname not in BOOKKEEPING
    ]
    values = {name: getattr(record, name) for name in names}
    text = json.dumps(values, sort_keys=True, default=str, ensure_ascii=False)
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def matches(if_match: str, etag: str) -> bool:
    """Whether an If-Match header, `*` or a list of tags, names this one."""
    return if_match.strip() == "*" or etag in _TAG.findall(if_match)


def check_if_match(request: Request, record: SyncedModel) -> None:
    """Raise PreconditionFailed where the caller read another state of the record, whose row must be locked."""
    if_match = request.headers.get("If-Match")
    if if_match is not None and not matches(if_match, etag_of(record)):
        raise PreconditionFailed
