"""A probe of a real account, on boards of its own: what Monday's documentation leaves open, as questions, beside the
simulator's answers and what would happen to NPD Sync if Monday answered otherwise.

Each trial asks some of them by acting on the probe's boards. An answer is a few words that stay the same from run to
run: codes and facts, never ids, times or sentences of Monday's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sync.connectors.base.errors import ConnectorError
from sync.connectors.monday.probe.ground import SET_UP_CALLS, TAKE_AWAY_CALLS, Exchange, Ground, Unanswered

__all__ = ["Cost", "Finding", "Ground", "Unanswered", "all_questions", "cost", "run"]

Answers = Mapping[str, str]
_UNKNOWN_ID = "1"
_PHONE = {"phone": "+12025550169", "countryShortName": "US"}
_REPLAY_WINDOW = 31 * 60  # seconds: one more minute than keys are promised for
_CURSOR_WINDOW = 61 * 60


@dataclass(frozen=True)
class Question:
    """One open question: how the simulator answers it, and what it would mean if Monday answered otherwise."""

    key: str
    asks: str
    simulated: str
    otherwise: str


@dataclass(frozen=True)
class Trial:
    """Questions that are asked together, how many calls that takes at most, and how long it waits at most."""

    ask: Callable[[Ground], Answers]
    calls: int
    questions: tuple[Question, ...]
    seconds: int = 0
    patient: bool = False


# The documents, each under the name of what it does.

_READ = """query ProbeRead($ids: [ID!], $limit: Int) { items(ids: $ids, limit: $limit) { id name state updated_at
  column_values { id text value ... on BoardRelationValue { linked_item_ids } } } }"""
_CHANGE = """mutation ProbeChange($board_id: ID!, $item_id: ID!, $values: JSON!, $labels: Boolean) {
  complexity { query }
  change_multiple_column_values(board_id: $board_id, item_id: $item_id, column_values: $values,
    create_labels_if_missing: $labels) {
    id updated_at column_values { id text ... on BoardRelationValue { linked_item_ids } } } }"""
_CHANGE_ONE = """mutation ProbeChangeOne($board_id: ID!, $item_id: ID!, $column_id: String!, $value: JSON!) {
  complexity { query }
  change_column_value(board_id: $board_id, item_id: $item_id, column_id: $column_id, value: $value) { id } }"""
_CREATE = """mutation ProbeCreate($board_id: ID!, $name: String!, $values: JSON) { complexity { query }
  create_item(board_id: $board_id, item_name: $name, column_values: $values) {
    id column_values { id text ... on BoardRelationValue { linked_item_ids } } } }"""
_DELETE = "mutation ProbeDelete($item_id: ID!) { delete_item(item_id: $item_id) { id } }"


def _cell(item: Mapping[str, Any], column_id: str) -> Mapping[str, Any]:
    cells = item.get("column_values") or []
    return next((cell for cell in cells if cell.get("id") == column_id), {})


def _links(item: Mapping[str, Any]) -> list[str]:
    return [str(one) for one in _cell(item, "probe_relation").get("linked_item_ids") or []]


def _item(ground: Ground, item_id: str) -> Mapping[str, Any]:
    found = ground.ask(_READ, ids=[item_id], limit=1).data.get("items") or []
    if not found:
        raise Unanswered("the item isn't listed")
    item: Mapping[str, Any] = found[0]
    return item


def _change(ground: Ground, item_id: str, values: Mapping[str, Any], labels: bool = False) -> Exchange:
    given: dict[str, Any] = {"item_id": item_id, "values": json.dumps(values), "labels": labels}
    return ground.ask(_CHANGE, board_id=ground.board_id, **given)


def _points(found: Exchange) -> str:
    return str((found.data.get("complexity") or {}).get("query", "not told"))


# Trials. Each returns the answers to its questions.


def _envelope(ground: Ground) -> Answers:
    document = """query ProbeEnvelope($ids: [ID!]) { complexity { query before after }
      boards(ids: $ids) { id name } }"""
    found = ground.ask(document, ids=[ground.board_id])
    in_body = found.body.get("extensions", {}).get("request_id") if isinstance(found.body, dict) else None
    in_header = found.headers.get("X-Request-Id")
    ids = "equal" if in_body == in_header else "different"
    limits = [name for name in ("RateLimit-Policy", "RateLimit") if name in found.headers]
    return {
        "request-id": ids if in_body and in_header else f"only in the {'body' if in_body else 'header'}",
        "limit-headers": " and ".join(limits) or "none",
        "points-read": _points(found),
    }


def _documents(ground: Ground) -> Answers:
    unknown_field = ground.ask("query ProbeUnknownField { me { nothing_of_this_name } }")
    unknown_argument = ground.ask("query ProbeUnknownArgument { me(nothing_of_this_name: 1) { id } }")
    return {
        "unknown-field": unknown_field.outcome,
        "unknown-argument": unknown_argument.outcome,
        "refusal-version": "told" if unknown_field.headers.get("Api-Version") else "not told",
        "syntax-error": ground.ask("query ProbeSyntax { me { id ").outcome,
        "wrong-variable": ground.ask("query ProbeVariable($n: Int) { users(limit: $n) { id } }", n="x").outcome,
        "old-version": ground.ask("query ProbeOldVersion { me { id } }", version="2025-04").headers.get(
            "Api-Version", "not told"
        ),
    }


def _nothing(ground: Ground) -> Answers:
    boards = ground.ask("query ProbeNoBoard($ids: [ID!]) { boards(ids: $ids) { id } }", ids=[_UNKNOWN_ID])
    items = ground.ask(_READ, ids=[_UNKNOWN_ID], limit=1)
    page = """query ProbeLimit($ids: [ID!], $limit: Int!) {
      boards(ids: $ids) { items_page(limit: $limit) { cursor } } }"""
    cursor = "query ProbeCursor($cursor: String!) { next_items_page(cursor: $cursor, limit: 1) { cursor } }"
    return {
        "unknown-board-read": "empty list" if boards.data.get("boards") == [] else boards.outcome,
        "unknown-item-read": "empty list" if items.data.get("items") == [] else items.outcome,
        "page-limit": ground.ask(page, ids=[ground.board_id], limit=501).outcome,
        "page-limit-zero": ground.ask(page, ids=[ground.board_id], limit=0).outcome,
        "wrong-cursor": ground.ask(cursor, cursor="nonsense").outcome,
    }


def _relation(ground: Ground) -> Answers:
    target, going = ground.add_linked_item("Linked"), ground.add_linked_item("Linked, deleted")
    both = {"probe_relation": {"item_ids": [int(target), int(going)]}}
    values = json.dumps(both)
    made = ground.ask(_CREATE, board_id=ground.board_id, name="With a relation", values=values)
    item = made.root("create_item")
    for _ in range(3):  # a read may be older than the write that it follows
        if target in _links(later := _item(ground, str(item["id"]))):
            break
        ground.wait(2)
    answers = {
        "create-relation": "there" if target in _links(item) else "dropped",
        "create-relation-later": "there" if target in _links(later) else "dropped",
        "points-create": _points(made),
    }
    _change(ground, str(item["id"]), both)
    ground.ask("mutation ProbeArchive($item_id: ID!) { archive_item(item_id: $item_id) { id } }", item_id=target)
    ground.ask(_DELETE, item_id=going)
    ground.wait(2)
    left = _links(_item(ground, str(item["id"])))
    return answers | {
        "archived-in-relation": "stays" if target in left else "leaves",
        "deleted-in-relation": "stays" if going in left else "leaves",
    }


def _writes(ground: Ground) -> Answers:
    item_id = ground.add_item("Changed")
    one = ground.ask(
        _CHANGE_ONE, board_id=ground.board_id, item_id=item_id, column_id="probe_text", value=json.dumps("first")
    )
    several = _change(ground, item_id, {"probe_text": "second", "probe_number": "4.50"})
    before = several.root("change_multiple_column_values")
    ground.wait(2)
    again = _change(ground, item_id, {"probe_text": "second"}).root("change_multiple_column_values")
    batch = """mutation ProbeBatch($board_id: ID!, $item_id: ID!, $unknown_id: ID!, $values: JSON!) {
      wrong: change_multiple_column_values(board_id: $board_id, item_id: $unknown_id, column_values: $values) { id }
      right: change_multiple_column_values(board_id: $board_id, item_id: $item_id, column_values: $values) { id } }"""
    both = ground.ask(
        batch, board_id=ground.board_id, item_id=item_id, unknown_id=_UNKNOWN_ID, values=json.dumps({"probe_text": "b"})
    )
    refused = _change(ground, item_id, {"nothing_of_this_id": "x"})
    return {
        "points-change-one": _points(one),
        "points-change": _points(several),
        "number-text": str(_cell(before, "probe_number").get("text")),
        "same-value": "moves updated_at" if before["updated_at"] != again["updated_at"] else "changes nothing",
        "partial-batch": "the others are answered" if both.data.get("right") else "no data",
        "unknown-item": both.outcome,
        "unknown-column": refused.outcome,
        "refusal-service": str(refused.extensions.get("service", "not told")),
        "formatted-number": _change(ground, item_id, {"probe_number": "1,000"}).outcome,
        "empty-number": _cell(
            _change(ground, item_id, {"probe_number": ""}).data.get("change_multiple_column_values") or {},
            "probe_number",
        ).get("text")
        or "empty",
        "long-name": _change(ground, item_id, {"name": "x" * 256}).outcome,
    }


def _labels(ground: Ground) -> Answers:
    item_id = ground.add_item("Labelled")
    return {
        "status-unknown": _change(ground, item_id, {"probe_status": {"label": "Nowhere"}}).outcome,
        "status-created": _change(ground, item_id, {"probe_status": {"label": "Made"}}, labels=True).outcome,
        "status-case": _change(ground, item_id, {"probe_status": {"label": "MADE"}}).outcome,
        "status-digits": _change(ground, item_id, {"probe_status": {"label": "77"}}).outcome,
        "dropdown-unknown": _change(ground, item_id, {"probe_dropdown": {"labels": ["Nowhere"]}}).outcome,
        "dropdown-created": _change(ground, item_id, {"probe_dropdown": {"labels": ["Made"]}}, labels=True).outcome,
    }


def _keys(ground: Ground) -> Answers:
    def create(name: str, key: str) -> Exchange:
        return ground.ask(_CREATE, key=key, board_id=ground.board_id, name=name, values=None)

    key = ground.new_key()
    first = str(create("Keyed", key).root("create_item")["id"])
    replayed, other = create("Keyed", key), create("Another body", key)
    told = replayed.headers.get("Idempotency-Replayed", "").lower() == "true"
    same = str((replayed.data.get("create_item") or {}).get("id"))
    ran = str((other.data.get("create_item") or {}).get("id", ""))
    failing = ground.new_key()
    refused = [_refused_under(ground, failing) for _ in range(2)]
    return {
        "key-replay": f"{'the first answer' if same == first else 'runs again'}, {'marked' if told else 'not marked'}",
        "key-other-body": "the first answer" if ran == first else "runs" if ran else other.outcome,
        "key-refused": "the refusal again" if "Idempotency-Replayed" in refused[1].headers else "runs again",
    }


def _refused_under(ground: Ground, key: str) -> Exchange:
    given: dict[str, Any] = {"item_id": _UNKNOWN_ID, "values": json.dumps({"probe_text": "x"}), "labels": False}
    return ground.ask(_CHANGE, key=key, board_id=ground.board_id, **given)


def _removal(ground: Ground) -> Answers:
    item_id = ground.add_item("Deleted")
    ground.ask(_DELETE, item_id=item_id).root("delete_item")
    ground.wait(2)
    read = ground.ask(_READ, ids=[item_id], limit=1).data.get("items") or [{}]
    group = """mutation ProbeDeadGroup($board_id: ID!, $group_id: String!) {
      archive_group(board_id: $board_id, group_id: $group_id) { id } }"""
    return {
        "deleted-read": str(read[0].get("state", "not listed")),
        "deleted-write": _change(ground, item_id, {"probe_text": "x"}).outcome,
        "deleted-twice": ground.ask(_DELETE, item_id=item_id).outcome,
        "unknown-group": ground.ask(group, board_id=ground.board_id, group_id="nothing_of_this_id").outcome,
    }


_LOG_TRIES = 7
_LOG = """query ProbeLog($ids: [ID!]) { boards(ids: $ids) { activity_logs(limit: 500) { id event entity data } } }"""


def _log(ground: Ground) -> Answers:
    """The row of a change appears late: more than 30 s were seen."""
    for _ in range(_LOG_TRIES):
        rows = (ground.ask(_LOG, ids=[ground.board_id]).root_list("boards") or [{}])[0].get("activity_logs") or []
        found = [json.loads(row["data"]) for row in rows if row.get("event") == "update_column_value"]
        if texts := [data for data in found if data.get("column_id") == "probe_text"]:
            return {"log-keys": " ".join(sorted(texts[0]))}
        ground.wait(10)
    raise Unanswered(f"no row of a change came within {10 * _LOG_TRIES} s")


_EVENTS = (
    "create_item",
    "change_column_value",
    "change_name",
    "item_archived",
    "item_deleted",
    "item_moved_to_any_group",
)


def _webhooks(ground: Ground) -> Answers:
    hook_ids = list(map(ground.subscribe, _EVENTS))
    hook_ids.append(ground.subscribe("change_specific_column_value", {"columnId": "probe_text"}))
    query = "query ProbeWebhooks($board_id: ID!) { webhooks(board_id: $board_id) { id event config } }"
    listed = ground.ask(query, board_id=ground.board_id).root_list("webhooks")
    config = next((hook.get("config") for hook in listed if str(hook.get("id")) == hook_ids[-1]), None)
    acted = _act_for_webhooks(ground)
    events = ground.arrived(lambda event: event.get("type") == "update_name" and _item_id(event) == acted.last)

    def types(item_id: str) -> set[str]:
        return {str(event.get("type")) for event in events if _item_id(event) == item_id}

    texts = [e for e in events if _item_id(e) == acted.moved and e.get("columnId") == "probe_text"]
    phones = [event["value"] for event in events if event.get("columnId") == "probe_phone" and event.get("value")]
    created = [event.get("columnValues") or {} for event in events if event.get("type") == "create_pulse"]
    subscriptions = {str(event.get("subscriptionId")) for event in events}
    return {
        "webhook-echo": "sent" if types(acted.moved) else "not sent",
        "webhook-create-values": "told" if any("probe_phone" in values for values in created) else "not told",
        "webhook-phone": _country(phones),
        "webhook-move": "sent" if "move_pulse_into_group" in types(acted.moved) else "not sent",
        "webhook-archived-group": "sent" if "archive_pulse" in types(acted.archived) else "not sent",
        "webhook-deleted-group": "sent" if "delete_pulse" in types(acted.deleted) else "not sent",
        "webhook-other-board": " ".join(sorted(types(acted.left) - {"create_pulse"})) or "not sent",
        # One change of this column is told to two webhooks.
        "webhook-same-value": "not sent" if len(texts) <= 2 else "sent",
        "webhook-subscription": "the webhook's id" if subscriptions & set(hook_ids) else "another number",
        "webhook-config": "JSON" if _is_json(config) else "Ruby" if "=>" in str(config) else str(config),
    }


@dataclass(frozen=True)
class _Acted:
    """The items of which webhooks may have come, and the `last`, of which one has to come."""

    moved: str
    archived: str
    deleted: str
    left: str
    last: str


def _act_for_webhooks(ground: Ground) -> _Acted:
    """Everything of which a webhook may come; a rename at the end shows that they arrive at all."""
    groups = [ground.add_group(ground.board_id, title) for title in ("Archived", "Deleted")]
    moved, archived, deleted = (
        ground.add_item(name, {"probe_phone": _PHONE}, group)
        for name, group in (("Moved", None), ("Archived", groups[0]), ("Deleted", groups[1]))
    )
    _change(ground, moved, {"probe_phone": {"phone": "+442079460123", "countryShortName": "GB"}})
    _change(ground, moved, {"probe_text": "once"})
    _change(ground, moved, {"probe_text": "once"})
    to_group = """mutation ProbeMove($item_id: ID!, $group_id: String!) {
      move_item_to_group(item_id: $item_id, group_id: $group_id) { id } }"""
    ground.ask(to_group, item_id=moved, group_id=groups[0])
    for act, group_id in zip(("archive_group", "delete_group"), groups, strict=True):
        document = f"""mutation ProbeGroupGoes($board_id: ID!, $group_id: String!) {{
          {act}(board_id: $board_id, group_id: $group_id) {{ id }} }}"""
        ground.ask(document, board_id=ground.board_id, group_id=group_id)
    left = ground.add_item("Leaves")
    other_group = ground.add_group(ground.other_board_id, "Arrived")
    to_board = """mutation ProbeLeave($item_id: ID!, $board_id: ID!, $group_id: ID!) {
      move_item_to_board(item_id: $item_id, board_id: $board_id, group_id: $group_id) { id } }"""
    ground.ask(to_board, item_id=left, board_id=ground.other_board_id, group_id=other_group)
    last = ground.add_item("Last")
    _change(ground, last, {"name": "Last, renamed"})
    return _Acted(moved, archived, deleted, left, last)


def _item_id(event: Mapping[str, Any]) -> str:
    return str(event.get("pulseId") or event.get("itemId"))


def _country(phones: list[Mapping[str, Any]]) -> str:
    if not phones:
        return "no value"
    return "with country" if any("countryShortName" in value for value in phones) else "no country"


def _is_json(text: Any) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (TypeError, ValueError):
        return False


def _windows(ground: Ground) -> Answers:
    key = ground.new_key()
    item_ids = []
    page = """query ProbePage($ids: [ID!]) { boards(ids: $ids) { items_page(limit: 1) { cursor } } }"""
    cursor = ground.ask(page, ids=[ground.board_id]).root_list("boards")[0]["items_page"]["cursor"]
    for seconds in (0, _REPLAY_WINDOW):
        ground.wait(seconds)
        made = ground.ask(_CREATE, key=key, board_id=ground.board_id, name="Window", values=None)
        item_ids.append(made.root("create_item")["id"])
    ground.wait(_CURSOR_WINDOW - _REPLAY_WINDOW)
    following = "query ProbeNext($cursor: String!) { next_items_page(cursor: $cursor, limit: 1) { cursor } }"
    return {
        "key-window": "runs again" if item_ids[0] != item_ids[1] else "the first answer",
        "cursor-window": ground.ask(following, cursor=cursor).outcome,
    }


# All of them, in the order in which they are asked.

_SAME_CODE = "The refusal is read by its words and its status; one that neither tells counts as one record's fault."

TRIALS = (
    Trial(_envelope, calls=1, questions=(
        Question("request-id", "Is the header X-Request-Id the id in the body?", "equal",
                 "The body's id is in logs and pages; Monday's support may need the header's."),
        Question("limit-headers", "Which RateLimit headers does a good answer carry?", "none",
                 "They are read: the minute's limits are then known from the first answer, instead of from the plan."),
        Question("points-read", "How many points does the smallest read of a board take?", "23",
                 "Costs are learned from each answer; only the first pass is planned with another figure."),
    )),
    Trial(_documents, calls=5, questions=(
        Question("unknown-field", "How is an unknown field refused?", "HTTP 200, no code", _SAME_CODE),
        Question("unknown-argument", "How is an unknown argument refused?", "HTTP 200, no code", _SAME_CODE),
        Question("refusal-version", "Is the version told with a refused document?", "not told",
                 "Without it the page names the version that was asked for."),
        Question("syntax-error", "How is a document refused that can't be parsed?", "HTTP 400, PARSING_ERROR",
                 _SAME_CODE),
        Question("wrong-variable", "How is a variable of the wrong type refused?", "HTTP 200, no code", _SAME_CODE),
        Question("old-version", "Which version answers who asks for 2025-04?", "2026-07",
                 "Sync stops with the reason on the day on which another version answers than the one that is set."),
    )),
    Trial(_nothing, calls=5, questions=(
        Question("unknown-board-read", "What does a read of an unknown board's id answer?", "empty list",
                 "The board counts as unreachable either way, and sync of it stops."),
        Question("unknown-item-read", "What does a read of an unknown item's id answer?", "empty list",
                 "An error would leave the record's item unknown, where it now counts as deleted."),
        Question("page-limit", "Is a page of 501 items refused?", "HTTP 200, InvalidArgumentException",
                 "No page of ours is larger than 500."),
        Question("page-limit-zero", "Is a page of no items refused?", "HTTP 200, InvalidArgumentException",
                 "No page of ours is empty."),
        Question("wrong-cursor", "How is a cursor refused that is none?", "HTTP 200, CursorException",
                 "The check for missed changes would end with an error instead of starting its listing again."),
    )),
    Trial(_relation, calls=10, seconds=6, questions=(
        Question("create-relation", "Does the answer to a create show the relation that it set?", "there",
                 "The relation is sent once more, as a change of its own: one more call for such records."),
        Question("create-relation-later", "Is the relation on the item a moment later?", "there",
                 "As above; the next check for missed changes would find it empty, and send it again."),
        Question("points-create", "How many points does a create take?", "30000",
                 "Fewer or more creates fit into a minute; the budget learns it from the first answer."),
        Question("archived-in-relation", "Does an archived item stay in the relations to it?", "stays",
                 "The relation would look emptied by a person, and the field in NPD be emptied."),
        Question("deleted-in-relation", "Does a deleted item stay in the relations to it?", "leaves",
                 "The relation would lead to an item that no record has; the field would be blocked."),
    )),
    Trial(_writes, calls=9, seconds=2, questions=(
        Question("points-change-one", "How many points does change_column_value take?", "30000",
                 "It isn't used; the figure says how Monday counts."),
        Question("points-change", "How many points does a change of several columns take?", "30000",
                 "Fewer or more changes fit into a minute; the budget learns it from the first answer."),
        Question("number-text", "What is the text of 4.50?", "4.50",
                 "The value is read, not the text; only pages show it."),
        Question("same-value", "Does writing the same value again move updated_at?", "changes nothing",
                 "The item is read once more by the next check for missed changes, and found unchanged."),
        Question("partial-batch", "Are the other mutations of a document answered when one is refused?",
                 "the others are answered",
                 "Without data the outcome is unknown, and the items are read again before anything is sent twice."),
        Question("unknown-item", "How is a change of an unknown item refused?", "HTTP 200, InvalidItemIdException",
                 _SAME_CODE),
        Question("unknown-column", "How is a change of an unknown column refused?",
                 "HTTP 200, InvalidColumnIdException", _SAME_CODE),
        Question("refusal-service", "Which service does a refusal name?", "monolith",
                 "It isn't read; support may ask for it."),
        Question("formatted-number", "Is 1,000 refused as a number?", "HTTP 200, ColumnValueException",
                 "No number of ours has a separator."),
        Question("empty-number", "What does an empty text make of a number?", "0",
                 "A number is emptied by null, so nothing changes for NPD Sync."),
        Question("long-name", "How is a name of 256 characters refused?", "HTTP 200, ItemNameTooLongException",
                 _SAME_CODE),
    )),
    Trial(_labels, calls=7, questions=(
        Question("status-unknown", "How is an unknown label of a status refused?", "HTTP 200, ColumnValueException",
                 _SAME_CODE),
        Question("status-created", "Is a label made where the write allows it?", "done",
                 "The field is blocked until somebody makes the label on the board."),
        Question("status-case", "Is a label refused that differs in its capitals alone?",
                 "HTTP 200, ColumnValueException", "None: labels are sent as the board's settings spell them."),
        Question("status-digits", "Is a label of digits refused?", "HTTP 200, ColumnValueException",
                 "It might be taken for an index: such labels are sent by their index alone."),
        Question("dropdown-unknown", "How is an unknown label of a dropdown refused?", "HTTP 200, ColumnValueException",
                 _SAME_CODE),
        Question("dropdown-created", "Is a dropdown's label made where the write allows it?", "done",
                 "The field is blocked until somebody makes the label on the board."),
    )),
    Trial(_keys, calls=5, questions=(
        Question("key-replay", "What does the same create under the same key answer?", "the first answer, marked",
                 "A create whose answer was lost could be made twice: don't sync, and tell us."),
        Question("key-other-body", "What does another body under a used key do?", "the first answer",
                 "None: a key stands for one body only, which the client makes sure of."),
        Question("key-refused", "Is a refusal kept under its key, too?", "the refusal again",
                 "None: what was refused is sent again under a new key."),
    )),
    Trial(_removal, calls=6, seconds=2, questions=(
        Question("deleted-read", "How does a read by id show a deleted item?", "deleted",
                 "Where it isn't listed it counts as deleted as well; archived and deleted look the same then."),
        Question("deleted-write", "How is a change of a deleted item refused?", "HTTP 200, ColumnValueException",
                 _SAME_CODE),
        Question("deleted-twice", "What does deleting an item twice answer?", "done",
                 "A refusal would be shown once, and the record end as deleted by the next sync."),
        Question("unknown-group", "How is an unknown group refused?", "HTTP 200, USER_UNAUTHORIZED", _SAME_CODE),
    )),
    Trial(_log, calls=_LOG_TRIES, seconds=10 * _LOG_TRIES, questions=(
        Question("log-keys", "What does a row of the activity log tell of a change?",
                 "action_record_uuid board_id column_id column_title column_type group_id "
                 "is_column_with_hide_permissions is_rollup_column is_top_group is_undo_action parent_board_id "
                 "parent_item_id previous_value pulse_id pulse_name value",
                 "Without pulse_id, column_id, value and previous_value overwritten edits aren't found."),
    )),
    Trial(_webhooks, calls=31, seconds=70, questions=(
        Question("webhook-echo", "Do changes by the API send webhooks?", "sent",
                 "Changes of other programs with this token are found minutes later, by the check for missed changes."),
        Question("webhook-create-values", "Does a new item's webhook tell its values?", "told",
                 "None: items are read before anything is decided."),
        Question("webhook-phone", "Does a phone number's webhook name the country?", "no country",
                 "The event's value could be used without a read of the item."),
        Question("webhook-move", "Does a move to another group send a webhook?", "sent",
                 "A board filtered by group would notice moves minutes later, by the check for missed changes."),
        Question("webhook-archived-group", "Do items send webhooks that are archived with their group?", "not sent",
                 "They would be noticed at once, instead of by the check for missed changes."),
        Question("webhook-deleted-group", "Do items send webhooks that are deleted with their group?", "not sent",
                 "They would be noticed at once, instead of by the check for missed changes."),
        Question("webhook-other-board", "Which webhook does an item send that moves to another board?", "not sent",
                 "It would be noticed at once, instead of by the check for missed changes."),
        Question("webhook-same-value", "Does writing the same value again send a webhook?", "not sent",
                 "One more delivery; the pass that it starts finds nothing to do."),
        Question("webhook-subscription", "Is a delivery's subscriptionId the id of its webhook?", "another number",
                 "It isn't read."),
        Question("webhook-config", "How does the list of webhooks show a config?", "Ruby",
                 "It isn't read: our webhooks are known by their ids."),
    )),
    Trial(_windows, calls=4, seconds=_CURSOR_WINDOW, patient=True, questions=(
        Question("key-window", "What does a key answer after 31 minutes?", "runs again",
                 "None: after 30 minutes nothing is sent again before the items were looked up."),
        Question("cursor-window", "How is a cursor refused after an hour?", "HTTP 200, CursorException",
                 "The listing would not start again by itself; a comparison of an hour would end with an error."),
    )),
)  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """What Monday answered to a question; `reason` where it could not be asked."""

    question: Question
    answer: str = ""
    reason: str = ""

    @property
    def differs(self) -> bool:
        """Whether Monday answered otherwise than the simulator."""
        return not self.reason and self.answer != self.question.simulated


@dataclass(frozen=True)
class Cost:
    questions: int
    calls: int
    seconds: int


def all_questions(*, patient: bool = True) -> list[Question]:
    """Those that are asked; the patient ones wait for an hour."""
    return [question for trial in _trials(patient) for question in trial.questions]


def cost(*, patient: bool) -> Cost:
    """What a run takes, without a call."""
    trials = _trials(patient)
    calls = SET_UP_CALLS + TAKE_AWAY_CALLS + sum(trial.calls for trial in trials)
    return Cost(len(all_questions(patient=patient)), calls, sum(trial.seconds for trial in trials))


def run(ground: Ground, report: Callable[[Finding], None], *, patient: bool = False) -> None:
    """Ask everything and report each answer; at the end, also one by a failure or Ctrl-C, `ground` is taken away.

    Raises ConnectorError or Unanswered where not even the boards could be made.
    """
    try:
        ground.make()
        for trial in _trials(patient):
            for finding in _findings(trial, ground):
                report(finding)
    finally:
        ground.take_away()


def _trials(patient: bool) -> list[Trial]:
    return [trial for trial in TRIALS if patient or not trial.patient]


def _findings(trial: Trial, ground: Ground) -> Iterator[Finding]:
    try:
        answers = trial.ask(ground)
    except ConnectorError as error:
        reason = error.sentence
    except Unanswered as error:
        reason = str(error)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        # An answer of a form that nobody has seen is a finding of its own; the recording has it.
        reason = f"Monday's answer has another form than the documented one ({type(error).__name__})"
    else:
        yield from (Finding(question, answers[question.key]) for question in trial.questions)
        return
    yield from (Finding(question, reason=reason) for question in trial.questions)
