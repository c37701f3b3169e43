"""What each operation of the API is called: its operationId, which reads as a method's name, its summary and its tag.

A rule makes them of the address and the view's action; where it wouldn't read well, a row of NAMED does. A view can
still say all three itself (`extend_schema`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sync import registry

ROOT = "/api/v1/"

VERBS = {
    "list": "list",
    "retrieve": "get",
    "create": "create",
    "update": "replace",
    "partial_update": "update",
    "destroy": "delete",
}
"""Of a view set's own actions; any other action is a verb by itself."""

NOUNS = {"queue": "job", "guard": "approval", "history": "change", "batches": "batch", "schedule": "scheduled_job"}
"""One thing of a collection whose address is not the plural of its name."""

PLURALS = {"batch": "batches"}

TAGS = {
    "imports": "Files of records: read, planned, applied and undone by a worker.",
    "exports": "Lists as files, CSV or XLSX.",
    "queue": "Jobs that wait or failed, and pauses of the sync.",
    "conflicts": "What both sides changed differently, and its resolution.",
    "approvals": "Bulk deletions that wait for a person.",
    "unmatched items": "Items of the boards that no record has, and those that are ignored.",
    "inbox": "What needs attention, by its causes; whose it is.",
    "rejected values": "Values that Monday rejected, and the answer to them.",
    "boards": "Boards with their mappings and numbers; fields that are blocked or in an update loop.",
    "deleted records": "What was deleted in NPD, and its restore.",
    "history": "What was decided about records, batches in numbers, and the undo of both.",
    "schedule": "What runs by the clock, and when.",
    "states": "The sync state of records, and of what other code keeps in sync.",
    "events": "The feed of what happened.",
    "webhook-endpoints": "Addresses of other systems to which events are sent.",
    "webhook-deliveries": "What they were sent, and what they answered.",
    "tokens": "Who asks, and one's own API tokens.",
    "service": "For other machines: Monday's webhooks, the scheduler, probes, figures.",
}
"""Every tag that is no collection of records, and what it holds."""

_TAG_OF = {
    "pauses": "queue",
    "guard": "approvals",
    "unmatched-items": "unmatched items",
    "ignored-items": "unmatched items",
    "batches": "history",
    "stats": "states",
}


class Named(NamedTuple):
    """What an operation is called; `summary` is a line of at most 60 characters."""

    id: str
    summary: str


NAMED = {
    ("GET", "conflicts/stats"): Named("get_conflict_stats", "Get the conflicts in numbers"),
    ("GET", "queue/stats"): Named("get_queue_stats", "Get the queue in numbers"),
    ("POST", "queue/pause"): Named("pause_queue", "Pause the sync (use create_pause)"),
    ("POST", "queue/resume"): Named("resume_queue", "Resume the sync (use delete_pause)"),
    ("POST", "pauses"): Named("create_pause", "Pause the sync, or a part of it"),
    ("DELETE", "pauses/{id}"): Named("delete_pause", "End a pause"),
    ("GET", "stats"): Named("get_sync_stats", "Get the sync in figures"),
    ("GET", "states"): Named("list_sync_states", "List sync states"),
    ("POST", "conflicts/{id}/undo"): Named("undo_conflict_resolution", "Undo the resolution of a conflict"),
    ("POST", "guard/approve"): Named("approve_requests", "Approve what waits for approval"),
    ("POST", "guard/reject"): Named("reject_requests", "Reject what waits for approval"),
    ("POST", "unmatched-items/{id}/create"): Named("create_record_of_unmatched_item", "Create a record of an item"),
    ("GET", "history/{id}/undo"): Named("get_undo_plan_of_change", "Get what undoing a change would write"),
    ("GET", "batches/{batch_id}/undo"): Named("get_undo_plan_of_batch", "Get what undoing a batch would write"),
}
"""By method and address (below /api/v1/ or /api/v1/sync/) what the rule doesn't say well."""

NAMED_TAILS = {
    "sync-to-monday": ("push_{}_to_monday", "Push {} to Monday now"),
    "link-again": ("link_{}_again", "Link {} with its former item again"),
    "create-item": ("create_item_of_{}", "Create the item of {} again"),
    "unlink": ("unlink_{}", "Unlink {} from its item"),
    "deleted": ("list_deleted_{}s", "List which ones were deleted, and when"),
}
"""The same of the last part of the address, for every model."""


def name_of(method: str, path: str, action: str) -> Named:
    """What an operation is called; `action` is the view's, or the method in lower case where it has none."""
    parts = _parts(path)
    if found := NAMED.get((method, "/".join(parts))):
        return found
    noun, plural = _nouns(parts[0])
    fixed = [part for part in parts if not part.startswith("{")]
    tail, has_id = fixed[1:], len(fixed) < len(parts)
    one = f"{'an' if noun[0] in 'aeiou' else 'a'} {_words(noun)}"
    if tail and (said := NAMED_TAILS.get(tail[-1])):
        return Named(said[0].format(noun), said[1].format(one))
    if tail and method == "GET":
        part, verb = "_".join(tail).replace("-", "_"), "get" if action == "retrieve" else "list"
        return Named(f"{verb}_{noun}_{part}", f"{verb.capitalize()} the {_words(part)} of {one}")
    verb = VERBS.get(action, "_".join(tail).replace("-", "_") or action)
    if verb == "list":
        return Named(f"list_{plural}", f"List {_words(plural)}")
    if has_id or verb == "create":
        return Named(f"{verb}_{noun}", f"{_words(verb).capitalize()} {one}")
    return Named(f"{verb}_{plural}", f"{_words(verb).capitalize()} all {_words(plural)} that match")


def tag_of(path: str) -> str:
    """The tag of the resource at this address."""
    collection = _parts(path)[0]
    return _TAG_OF.get(collection, collection)


def described_tags(used: set[str]) -> list[dict[str, str]]:
    """The tags in use with what each holds; those of records come first."""
    records = {
        _collection(spec): f"{_collection(spec).replace('-', ' ').capitalize()}, and what can be done with one or many."
        for spec in registry.entities()
    }
    return [{"name": name, "description": said} for name, said in (records | TAGS).items() if name in used]


def _parts(path: str) -> list[str]:
    return path.removeprefix(ROOT).removeprefix("sync/").strip("/").split("/")


def _nouns(collection: str) -> tuple[str, str]:
    for spec in registry.entities():
        if _collection(spec) == collection:
            return str(spec.model._meta.verbose_name).replace(" ", "_"), collection.replace("-", "_")
    noun = NOUNS.get(collection, collection.removesuffix("s").replace("-", "_"))
    return noun, PLURALS.get(noun, f"{noun}s")


def _collection(spec: Any) -> str:
    return str(spec.model._meta.verbose_name_plural).replace(" ", "-")


def _words(name: str) -> str:
    return name.replace("_", " ")
