"""What a cause is called, by its code and with the fields' labels as the boards have them now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sync.choices import ApprovalKind, BlockedCode
from sync.kernel import humanize
from sync.kernel.conflict_store import KIND_DELETE, KIND_LOST_UPDATE
from sync.kernel.messages import UNMATCHED_LABELS
from sync.models import DisabledCode, FieldMapping
from sync.operations.attention.sources import AttentionKind
from sync.registry import count_of_type, type_name

# What a cause is called.


MAX_CAUSE_LENGTH = 140

_CAUSES: Mapping[tuple[str, str], str] = {
    (AttentionKind.FAILED, ""): "No reason is known",
    (AttentionKind.APPROVAL, ""): "Bulk deletions",
    (AttentionKind.APPROVAL, ApprovalKind.ITEMS): "Items would be archived or deleted on Monday",
    (AttentionKind.APPROVAL, ApprovalKind.RECORDS): "Records would be deleted in NPD",
    (AttentionKind.APPROVAL, ApprovalKind.CLEAR_MONDAY): "Fields would be emptied on Monday",
    (AttentionKind.APPROVAL, ApprovalKind.CLEAR_NPD): "Fields would be emptied in NPD",
    (AttentionKind.CONFLICT, ""): "{field} changed on both sides",
    (AttentionKind.CONFLICT, KIND_LOST_UPDATE): "An edit of {field} on Monday was overwritten",
    (AttentionKind.CONFLICT, KIND_DELETE): "A {record} or its item was deleted on one side",
    (AttentionKind.DUPLICATE, ""): "Which item belongs to which {record}?",
    (AttentionKind.REJECTED, ""): "{field} was rejected by Monday",
    (AttentionKind.REJECTED, BlockedCode.LIMIT): "{field} has a value that its column can’t take",
    (AttentionKind.BLOCKED, ""): "{field} is blocked",
    (AttentionKind.BLOCKED, BlockedCode.COLUMN): "{field}: its column can’t be used",
    (AttentionKind.BLOCKED, BlockedCode.RELATION): "{field} waits for a record that has no item yet",
    (AttentionKind.BLOCKED, BlockedCode.INVALID): "{field}: NPD can’t use Monday’s value",
    (AttentionKind.BLOCKED, BlockedCode.UNKNOWN): "{field}: the value can’t be read",
    (AttentionKind.BLOCKED, BlockedCode.REQUIRED): "{field} is required in NPD and was emptied on Monday",
    (AttentionKind.BLOCKED, BlockedCode.THROTTLED): "{field} is in an update loop",
    (AttentionKind.BLOCKED, BlockedCode.DIRECTION): "{field}: its direction lets nothing be sent",
    (AttentionKind.REMOVED, "archived"): "Archived on Monday",
    (AttentionKind.REMOVED, "deleted"): "Deleted on Monday",
    (AttentionKind.REMOVED, "moved"): "Moved to another board on Monday",
    (AttentionKind.UNMATCHED, ""): "No record belongs to it",
    (AttentionKind.WEBHOOK, ""): "Switched off",
    (AttentionKind.NOTIFICATION, ""): "Your notifications by {field} don’t arrive",
    (AttentionKind.NOTIFICATION, "stopped"): "Your notifications by {field} are switched off",
    **{(AttentionKind.WEBHOOK, code.value): str(code.label) for code in DisabledCode if code},
    **{(AttentionKind.UNMATCHED, code): label for code, label in UNMATCHED_LABELS.items()},
}
"""The words for a kind and its code; for a kind and an empty code those of all others."""


@dataclass(frozen=True)
class Wording:
    """Names causes, with the fields' labels as the boards have them now."""

    mappings: Mapping[tuple[str, str], FieldMapping]

    @classmethod
    def of_boards(cls) -> Wording:
        """Read the fields of all boards, which are few; one query."""
        rows = FieldMapping.objects.select_related("link")
        return cls({(row.link.entity_type, row.key): row for row in rows})

    def label(self, entity_type: str, key: str) -> str:
        mapping = self.mappings.get((entity_type, key))
        return mapping.label if mapping else key.replace("_", " ").capitalize()

    def cause(self, kind: str, entity_type: str, code: str, subject: str, common: str | None) -> str:
        """Say a cause in a few words, the same for all entries that have it."""
        if kind == AttentionKind.REMOVED:
            who = _actor(subject)
            return f"{_CAUSES[kind, code]} by {who}" if who else _CAUSES[kind, code]
        fields = humanize.join_first([self.label(entity_type, key) for key in subject.split(",") if key])
        mapping = self.mappings.get((entity_type, subject)) if code == BlockedCode.COLUMN else None
        problem = mapping.problem if mapping else ""
        template = common or problem or _CAUSES.get((kind, code)) or _CAUSES[kind, ""]
        # What others wrote may hold braces of its own.
        found = template if common or problem else template.format(field=fields, record=type_name(entity_type))
        return humanize.first_sentences(found, MAX_CAUSE_LENGTH)

    def title(self, kind: str, entity_type: str, code: str, subject: str, common: str | None, number: int) -> str:
        """Say what so many entries have in common: what somebody did as who did what with how many."""
        if kind != AttentionKind.REMOVED:
            return self.cause(kind, entity_type, code, subject, common)
        who, records = _actor(subject), count_of_type(number, entity_type)
        verb, target = ("moved", "to another board") if code == "moved" else (code, "on Monday")
        was = humanize.plural(number, "was", "were")
        return f"{who} {verb} {records} {target}" if who else f"{records} {was} {verb} {target}"


def _actor(subject: str) -> str:
    """Who removed items; that it was on Monday is said anyway."""
    return subject.partition(" ")[2].removesuffix(" on Monday")
