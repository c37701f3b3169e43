"""What people do in NPD: by API with ETags, in the admin's forms, by import, on the conflict screen."""

import json
from typing import Any

import psycopg
from django.contrib.auth.models import User
from django.db import connection, transaction
from psycopg import sql

from conflicts.models import SyncConflict
from conflicts.store import end_fields
from sync.choices import ApprovalKind, ApprovalState
from sync.models import ActivityLine, ApprovalRequest, BoardLink, FieldMapping
from sync.operations.activity_undo import undo_lines
from sync.records.approvals import approve, reject
from tests.admin.forms import values_of
from tests.chaos.journal import FIELDS, MONDAY, NPD, Setting
from tests.chaos.stage import MODELS, SKIPPED, Stage, local_value, remote_value

TIMEOUT = 20
PATHS = {"contact": "contacts", "organization": "organizations"}


def _url(stage: Stage, handle: str, record: Any) -> str:
    return stage.arena.path(f"/api/v1/{PATHS[stage.type_of(handle)]}/{record.pk}/")


def _shown(body: dict[str, Any], key: str) -> str:
    return str(body["address_street"] if key == "address" else body[key])


def create(stage: Stage, handle: str, entity: str, keys: list[str], number: int, email: int = 0) -> str | None:
    """Create a record by API; `email` is the number of an address that another step may also use."""
    stage.journal.types[handle] = entity
    values = {key: stage.text(handle, key, number) for key in {"name", *keys}}
    if email:
        values["email"] = stage.text(handle, "email", email)
    body = {stage.field(key): value for key, value in values.items()}
    answer = stage.arena.api.post(stage.arena.path(f"/api/v1/{PATHS[entity]}/"), json=body, timeout=TIMEOUT)
    if answer.status_code != 201:
        return f"answered {answer.status_code}"
    stage.journal.records[handle] = answer.json()["id"]
    for key, value in sorted(values.items()):
        stage.wrote("dora", NPD, handle, key, value)
    return None


def patch(stage: Stage, handle: str, key: str, number: int, how: str = "fresh") -> str | None:
    """Change a field by API (number 0 empties it); `how` "stale" sends an outdated ETag."""
    record = stage.record(handle)
    if record is None or (key == "name" and not number):
        return SKIPPED
    url, value = _url(stage, handle, record), stage.text(handle, key, number) if number else ""
    for _ in range(3):
        read = stage.arena.api.get(url, timeout=TIMEOUT)
        if read.status_code != 200:
            return SKIPPED
        etag, before = read.headers["ETag"], _shown(read.json(), key)
        if how == "stale":
            return _stale(stage, handle, key, number, url, etag, before)
        answer = stage.arena.api.patch(url, json={stage.field(key): value}, headers={"If-Match": etag}, timeout=TIMEOUT)
        if answer.status_code == 200:
            stage.wrote("dora", NPD, handle, key, value, (before,))
            return None
        if answer.status_code != 412:
            return f"answered {answer.status_code}: {answer.text[:200]}"
    return "412 three times"


def _stale(stage: Stage, handle: str, key: str, number: int, url: str, etag: str, before: str) -> str | None:
    """A colleague saves first, so the second PATCH must be answered 412."""
    value = stage.text(handle, key, number)
    first = stage.arena.api.patch(url, json={stage.field(key): value}, headers={"If-Match": etag}, timeout=TIMEOUT)
    if first.status_code != 200:
        return f"answered {first.status_code}"
    stage.wrote("dora", NPD, handle, key, value, (before,))
    late = {stage.field(key): stage.text(handle, key, number + 1)}
    second = stage.arena.api.patch(url, json=late, headers={"If-Match": etag}, timeout=TIMEOUT)
    if second.status_code != 412:
        stage.wrong(f"a PATCH with an old ETag was answered {second.status_code}")
    return None


def open_form(stage: Stage, handle: str, form: str) -> str | None:
    """Open a record's admin page and leave it open."""
    record = stage.record(handle)
    if record is None:
        return SKIPPED
    browser = stage.arena.browser()
    url = stage.arena.path(f"/admin/npd/{stage.type_of(handle)}/{record.pk}/change/")
    page = browser.get(url, timeout=TIMEOUT)
    if page.status_code != 200:
        return f"answered {page.status_code}"
    stage.forms[form] = (handle, browser, url, values_of(page, f"{stage.type_of(handle)}_form"))
    return None


def save_form(stage: Stage, form: str, key: str, number: int, insist: bool = False) -> str | None:
    """Save an opened page; if the value has changed meanwhile, give up or, with `insist`, save again."""
    if form not in stage.forms:
        return SKIPPED
    handle, browser, url, values = stage.forms.pop(form)
    if key not in FIELDS[stage.type_of(handle)]:
        return SKIPPED
    name, value = stage.field(key), stage.text(handle, key, number)
    for _ in range(2 if insist else 1):
        shown = json.loads(values.get("_shown") or "{}").get(name, "")
        record = stage.record(handle)
        page = browser.post(url, data=values | {name: value}, timeout=TIMEOUT, allow_redirects=False)
        if page.status_code == 302:
            saved = stage.record(handle)
            if record is not None and saved is not None and value in local_value(saved, key):
                stage.wrote("dora", NPD, handle, key, value, (shown,))
            return None
        if page.status_code != 200:
            return f"answered {page.status_code}"
        values = values_of(page, f"{stage.type_of(handle)}_form")
    return "was told that it changed meanwhile"


def import_new(stage: Stage, handles: list[str], number: int) -> None:
    rows = []
    for place, handle in enumerate(handles):
        stage.journal.types[handle] = "contact"
        values = {key: stage.text(handle, key, number + place) for key in ("name", "email", "role_title")}
        rows.append((handle, values, MODELS["contact"](**values)))
    MODELS["contact"]._default_manager.bulk_create(record for _, _, record in rows)
    for handle, values, record in rows:
        stage.journal.records[handle] = str(record.pk)
        for key, value in sorted(values.items()):
            stage.wrote("import", NPD, handle, key, value)


def import_update(stage: Stage, handles: list[str], key: str, number: int) -> str | None:
    """Change a field of several records in one transaction (number 0 empties it)."""
    writes = []
    with transaction.atomic():
        for place, handle in enumerate(handles):
            record = stage.record(handle)
            if record is None or key not in FIELDS[stage.type_of(handle)]:
                continue
            row = stage.model_of(handle)._default_manager.select_for_update().filter(pk=record.pk)
            current = row.first()
            if current is None:
                continue
            value = stage.text(handle, key, number + place) if number else ""
            writes.append((handle, value, local_value(current, key)))
            row.update(**{stage.field(key): value})
    for handle, value, before in writes:
        stage.wrote("import", NPD, handle, key, value, (before,))
    return None if writes else SKIPPED


def delete(stage: Stage, handle: str) -> str | None:
    record = stage.record(handle)
    if record is None:
        return SKIPPED
    answer = stage.arena.api.delete(_url(stage, handle, record), timeout=TIMEOUT)
    if answer.status_code != 204:
        return f"answered {answer.status_code}"
    stage.journal.deleted[handle] = stage.at
    stage.journal.records.setdefault(handle, str(record.pk))
    return None


def toggle(stage: Stage, handle: str, name: str, value: Any) -> str | None:
    """Set a record's `sync_enabled` or `sync_direction`."""
    record = stage.record(handle)
    if record is None:
        return SKIPPED
    answer = stage.arena.api.patch(_url(stage, handle, record), json={name: value}, timeout=TIMEOUT)
    if answer.status_code != 200:
        return f"answered {answer.status_code}"
    stage.journal.settings.append(Setting(stage.at, handle, name, value))
    return None


def push_by_name(stage: Stage, handle: str) -> str | None:
    record = stage.record(handle)
    if record is None:
        return SKIPPED
    answer = stage.arena.api.post(_url(stage, handle, record) + "sync-to-monday", timeout=TIMEOUT)
    stage.journal.pushed_by_name.setdefault(handle, []).append(stage.at)
    return None if answer.status_code == 200 else f"answered {answer.status_code}"


def change_mapping(stage: Stage, entity: str, key: str, name: str, value: Any) -> None:
    """Change a mapping's rule or direction; "version" maps the field anew."""
    mappings = FieldMapping.objects.filter(link__entity_type=entity, key=key)
    if name == "version":
        value = mappings.get().version + 1
        end_fields(entity, [key], "It was mapped anew.")
    mappings.update(**{name: value})
    stage.journal.settings.append(Setting(stage.at, f"{entity}.{key}", name, value))


def change_policy(stage: Stage, entity: str, name: str, value: str) -> None:
    BoardLink.objects.filter(entity_type=entity).update(**{name: value})
    stage.journal.settings.append(Setting(stage.at, entity, name, value))


def look_at_conflicts(stage: Stage) -> str | None:
    """Open the list of conflicts, which may be outdated when somebody chooses."""
    answer = stage.arena.api.get(
        stage.arena.path("/api/v1/sync/conflicts/?resolved=false&page_size=500"), timeout=TIMEOUT
    )
    stage.seen_conflicts = {conflict["id"]: conflict for conflict in answer.json()["results"]}
    return None if stage.seen_conflicts else SKIPPED


def resolve(stage: Stage, how: str, number: int, pick: int = 0, look: bool = True) -> str | None:
    """Settle the `pick`-th open conflict as it is now, or without `look` as it was last seen."""
    if look or not stage.seen_conflicts:
        look_at_conflicts(stage)
    if not stage.seen_conflicts:
        return SKIPPED
    conflicts = sorted(stage.seen_conflicts.values(), key=lambda conflict: (conflict["detected_at"], conflict["id"]))
    seldom = [conflict for conflict in conflicts if conflict["kind"] != "fields"]
    conflicts = seldom if seldom and pick % 2 else conflicts
    conflict = conflicts[pick % len(conflicts)]
    body = _resolution(stage, conflict, how, number)
    if body is None:
        return SKIPPED
    url = stage.arena.path(f"/api/v1/sync/conflicts/{conflict['id']}/resolve")
    before = SyncConflict.objects.filter(pk=conflict["id"]).values("npd_data", "monday_data").first()
    answer = stage.arena.api.post(url, json=body, timeout=TIMEOUT)
    if answer.status_code == 200:
        stage.journal.counts[f"resolved a conflict of the kind {conflict['kind']}"] += 1
        _note_custom(stage, conflict, body)
        if before and not stage.arena.live and conflict["kind"] == "fields":
            _must_have_been_fresh(stage, body, before)
        return None
    return f"answered {answer.status_code}: {answer.text[:300]}"


def answer_copy(stage: Stage, choose: str) -> str | None:
    """Give this answer about a copy, if somebody is asked about one."""
    look_at_conflicts(stage)
    for conflict in stage.seen_conflicts.values():
        options = conflict["about"].get("options") or []
        option = next((option for option in options if option["choose"] == choose), None)
        if option is None:
            continue
        body = _record_resolution(conflict, options.index(option), {})
        url = stage.arena.path(f"/api/v1/sync/conflicts/{conflict['id']}/resolve")
        answer = stage.arena.api.post(url, json=body, timeout=TIMEOUT)
        return None if answer.status_code == 200 else f"answered {answer.status_code}: {answer.text[:300]}"
    return SKIPPED


def _resolution(stage: Stage, conflict: dict[str, Any], how: str, number: int) -> dict[str, Any] | None:
    keys = conflict["conflict_fields"]
    shown = {key: {"npd": conflict["npd_data"].get(key), "monday": conflict["monday_data"].get(key)} for key in keys}
    if conflict["kind"] in ("delete", "identity"):
        return _record_resolution(conflict, number, shown)
    if how != "merge":
        return {"resolution_type": how, "seen": shown}
    chosen: dict[str, Any] = {}
    for place, key in enumerate(keys):
        sides = ("npd", "monday", "custom")
        choose = sides[(number + place) % 3]
        chosen[key] = {"choose": choose}
        if choose == "custom":
            chosen[key]["value"] = stage.text(stage.handle_of(conflict["entity_id"]), key, number + place)
    return {"resolution_type": "merge", "selections": chosen, "seen": shown}


def _record_resolution(conflict: dict[str, Any], number: int, shown: dict[str, Any]) -> dict[str, Any] | None:
    """Choose one of the options that the conflict offers."""
    options = conflict["about"].get("options") or []
    if not options:
        return None
    option = options[number % len(options)]
    if conflict["kind"] == "identity":
        shown = {"record": {"npd": conflict["about"].get("what"), "monday": None}}
    chosen = {"choose": option["choose"], "value": option.get("value", "")}
    return {"resolution_type": "merge", "selections": {"record": chosen}, "seen": shown}


def _note_custom(stage: Stage, conflict: dict[str, Any], body: dict[str, Any]) -> None:
    """Note a typed value as written by a person who saw both sides."""
    for key, chosen in body.get("selections", {}).items():
        if chosen["choose"] == "custom" and key != "record":
            sides = (conflict["npd_data"].get(key), conflict["monday_data"].get(key))
            stage.wrote("dora", NPD, stage.handle_of(conflict["entity_id"]), key, chosen["value"], sides)


def _must_have_been_fresh(stage: Stage, body: dict[str, Any], before: dict[str, Any]) -> None:
    chosen = body.get("selections") or body["seen"]
    for key in chosen:
        stored = {"npd": before["npd_data"].get(key), "monday": before["monday_data"].get(key)}
        if body["seen"][key] != stored:
            stage.wrong(f"a choice for {body['seen'][key]} was taken while the conflict held {stored}")


UNDO = "undo"
MOVES = ("push", "pull", "overwritten")


def undo_conflict(stage: Stage, pick: int) -> str | None:
    settled = SyncConflict.objects.exclude(resolution_type=None).exclude(resolution_type="auto")
    conflicts = list(settled.order_by("detected_at", "id"))
    if not conflicts:
        return SKIPPED
    conflict = conflicts[pick % len(conflicts)]
    handle = stage.handle_of(str(conflict.entity_id))
    sides = {key: _both_sides(stage, handle, key) for key in FIELDS[stage.type_of(handle)]}
    url = stage.arena.path(f"/api/v1/sync/conflicts/{conflict.pk}/undo")
    answer = stage.arena.api.post(url, timeout=TIMEOUT)
    if answer.status_code != 200:
        return f"answered {answer.status_code}: {answer.text[:200]}"
    for key in conflict.conflict_fields:
        if key in sides:
            stage.wrote(UNDO, NPD, handle, key, "", sides[key])
    return None


def _both_sides(stage: Stage, handle: str, key: str) -> tuple[str, str]:
    record, item = stage.record(handle), stage.item(handle)
    local = local_value(record, key) if record else ""
    return local, remote_value(item, stage.column(handle, key)) if item else ""


def undo_change(stage: Stage, pick: int) -> str | None:
    """Undo a value that the sync moved, from the record's history; refused if it has changed since."""
    moves = list(ActivityLine.objects.filter(kind__in=MOVES).exclude(key="").order_by("id"))
    if not moves:
        return SKIPPED
    line = moves[-1 - pick % len(moves)]
    handle = stage.handle_of(str(line.entity_id))
    before = stage.record(handle)
    if before is None or line.key not in FIELDS[stage.type_of(handle)]:
        return SKIPPED
    result = undo_lines([line], by=User.objects.get(username="dora"))
    if not result.undone:
        return "nothing was put back"
    after = stage.record(handle)
    assert after is not None
    for step in result.undone:
        key = step.line.key
        stage.wrote(UNDO, NPD, handle, key, local_value(after, key), (local_value(before, key),))
    return None


LIMIT = 4  # GUARD_RECORDS in chaos_settings.py


def delete_many(stage: Stage, handles: list[str]) -> str | None:
    stage.in_bulk = {handle: item for handle in handles if (item := _active(stage, handle))}
    results = [delete(stage, handle) for handle in handles]
    return None if None in results else SKIPPED


def empty_many(stage: Stage, handles: list[str], key: str) -> str | None:
    column = stage.column(handles[0], key)
    filled = {handle for handle in handles if remote_value(stage.item(handle) or {"values": {}}, column)}
    stage.in_bulk = {handle: stage.item_id(handle) for handle in sorted(filled)}
    return import_update(stage, handles, key, 0)


def look_what_went(stage: Stage, key: str = "") -> str | None:
    """Before any approval, at most `LIMIT` items may be gone from the board, or (`key`) emptied."""
    if not stage.in_bulk:
        return SKIPPED
    items = {item["id"]: item for board in stage.sandbox.boards() for item in board["items"]}
    column = stage.column(next(iter(stage.in_bulk)), key) if key else ""
    in_bulk = [items[item_id] for item_id in stage.in_bulk.values() if item_id in items]
    missing = [item for item in in_bulk if (not remote_value(item, column) if key else item["state"] != "active")]
    if len(missing) > LIMIT:
        harm = f"had their {key} emptied" if key else "were put away"
        stage.wrong(f"{len(missing)} items {harm} at once, and nobody approved more than {LIMIT}")
    stage.in_bulk = {}
    return None


def decide_guarded(stage: Stage, how: str) -> str | None:
    waiting = list(ApprovalRequest.objects.filter(state=ApprovalState.PENDING))
    if not waiting:
        return SKIPPED
    decide = reject if how == "reject" else approve
    decide(ApprovalRequest.objects.filter(pk__in=[act.pk for act in waiting]), User.objects.get(username="dora"))
    if how == "reject":
        _note_what_comes_back(stage, waiting)
    return None


def _note_what_comes_back(stage: Stage, waiting: list[ApprovalRequest]) -> None:
    """Rejecting that a field is emptied restores the value from the other side."""
    for act in waiting:
        handle = stage.handle_of(str(act.entity_id))
        if handle and act.key in FIELDS[stage.type_of(handle)]:
            side = NPD if act.kind == ApprovalKind.CLEAR_MONDAY else MONDAY
            value = str(act.values["value"])
            stage.wrote("an administrator", side, handle, act.key, value, ("", value))


def _active(stage: Stage, handle: str) -> str:
    item = stage.item(handle)
    return item["id"] if item and item["state"] == "active" else ""


def begin_save(stage: Stage, handle: str, key: str, number: int) -> str | None:
    """Write a change without committing it."""
    record = stage.record(handle)
    if record is None or key not in FIELDS[stage.type_of(handle)] or stage.slow:
        return SKIPPED
    parameters = connection.get_connection_params()
    names = ("host", "port", "dbname", "user", "password")
    slow = psycopg.connect(**{name: parameters[name] for name in names if parameters.get(name)})
    statement = sql.SQL("UPDATE {} SET {} = %s WHERE id = %s").format(
        sql.Identifier(record._meta.db_table), sql.Identifier(stage.field(key))
    )
    value = stage.text(handle, key, number)
    slow.execute(statement, [value, record.pk])
    stage.slow = (slow, handle, key, value, local_value(record, key))
    return None


def commit_save(stage: Stage) -> str | None:
    if not stage.slow:
        return SKIPPED
    slow, handle, key, value, before = _taken(stage)
    slow.commit()
    slow.close()
    stage.wrote("a slow import", NPD, handle, key, value, (before,))
    return None


def _taken(stage: Stage) -> tuple[Any, ...]:
    taken, stage.slow = stage.slow, ()
    return taken
