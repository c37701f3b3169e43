"""The ETag of a record: what it is a hash of, and how If-Match and If-None-Match are compared with it."""

from __future__ import annotations

import hashlib
import json
import re

from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from sync.api.problems import PreconditionFailed
from sync.kernel.triggers import BOOKKEEPING
from sync.models import SyncedModel

_TAG = re.compile(r'(?:W/)?("[^"]*")')

ETAG_OUT = OpenApiParameter(
    "ETag", str, OpenApiParameter.HEADER, response=[200, 201], description="A hash of what people edit."
)

IF_MATCH = OpenApiParameter(
    "If-Match",
    str,
    OpenApiParameter.HEADER,
    description="ETags as read, or *; when the record has another now, nothing is done: 412.",
)

IF_NONE_MATCH = OpenApiParameter(
    "If-None-Match",
    str,
    OpenApiParameter.HEADER,
    description="* to create only: when there is such a record, nothing is done: 412.",
)


def etag_of(record: SyncedModel) -> str:
    """The quoted tag of the record's fields, sync_enabled and sync_direction."""
    names = [
        field.attname
        for field in record._meta.concrete_fields
        if not field.primary_key and field.attname not in BOOKKEEPING
    ]
    # Without bookkeeping: a pass must not make a person's ETag stale.
    values = {name: getattr(record, name) for name in names}
    text = json.dumps(values, sort_keys=True, default=str, ensure_ascii=False)
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def matches_etag(if_match: str, etag: str) -> bool:
    """Whether an If-Match header names this tag: a list of tags or `*`; `W/` is ignored."""
    return if_match.strip() == "*" or etag in _TAG.findall(if_match)


def check_tag(if_match: str | None, record: SyncedModel) -> None:
    """Compare a tag that a caller read with the record, whose row must be locked; raises PreconditionFailed."""
    # Compared under the row's lock, so that nobody can change the record in between.
    if if_match is not None and not matches_etag(if_match, etag_of(record)):
        raise PreconditionFailed(
            f"“{record}” ({record.entity_type()} {record.pk}) changed since you read it; nothing was done. "
            "GET it again, make your change on what it says now, and send that with the new ETag in If-Match."
        )


def check_precondition(request: Request, record: SyncedModel) -> None:
    """Compare If-Match with the record, whose row must be locked; raises PreconditionFailed (412)."""
    check_tag(request.headers.get("If-Match"), record)


def check_upsert_precondition(request: Request, record: SyncedModel | None) -> None:
    """The same where the record may be missing, which no If-Match names; If-None-Match says that it must be."""
    if_none_match = request.headers.get("If-None-Match")
    if record is None:
        if "If-Match" in request.headers:
            raise PreconditionFailed("There is no such record, so it isn't the one that you read; nothing was done.")
        return
    check_precondition(request, record)
    if if_none_match is not None and matches_etag(if_none_match, etag_of(record)):
        raise PreconditionFailed(
            f"There is “{record}” ({record.entity_type()} {record.pk}) already; nothing was done. Leave out "
            "If-None-Match to change it."
        )
