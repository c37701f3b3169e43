"""What goes wrong: webhooks, calls, workers, the broker, PostgreSQL, the clock."""

from typing import Any

import jwt
import requests
from django.conf import settings
from django.db.models import Max

from conflicts.models import SyncConflict
from sync.models import SyncQueue, WebhookEvent
from tests.chaos.journal import FIELDS
from tests.chaos.stage import MODELS, SKIPPED, Stage, local_value, remote_value, same

MAX_TO_REDELIVER = 400
MADE_UP = "forged"
ENOUGH_ATTEMPTS = 2  # after seven killed workers, even if three records share them


def work(stage: Stage) -> None:
    """Run a worker; a made-up value must not be in NPD even for a moment."""
    stage.arena.work()
    made_up = MODELS["contact"]._default_manager.filter(role_title__startswith=MADE_UP)
    for record in made_up:
        stage.wrong(f"{record.pk} has {record.role_title!r} from a webhook that somebody made up")


def deliver(stage: Stage) -> None:
    stage.arena.delivered()


def clock(stage: Stage, seconds: float) -> str | None:
    stage.arena.delivered()
    return None if stage.arena.pass_time(seconds) else SKIPPED


def beat(stage: Stage) -> None:
    for task in stage.arena.tasks():
        stage.arena.run(f"task {task}")


def reconcile(stage: Stage) -> str | None:
    """Run sync_reconcile; a failure, as while Monday is away, is no fault."""
    if stage.arena.held:
        return SKIPPED  # it would wait for the lease of a worker that we have stopped
    if stage.arena.leased() and not stage.arena.live:
        stage.arena.pass_time(200)  # it waits until the lease of a killed worker has run out
    stage.arena.hand.run("reconcile")
    return None


def hold_worker(stage: Stage, at: int, only: str = "") -> str | None:
    """Start a worker and stop it at its `at`-th point (with `only`, of that name)."""
    worker = stage.arena.hand.wait(stage.arena.hand.fork("work", at, "", only))
    if not worker.stopped:
        return "ended before that point"
    stage.journal.lines.append(f"      held after point {worker.report.get('points')}, {worker.report.get('point')}")
    stage.arena.held.append(worker)
    return None


def hide_column(stage: Stage, entity: str, key: str, hidden: bool) -> None:
    """The board's owner hides a column from the token's user, or shows it again."""
    column, board = stage.column_of(entity, key), stage.link(entity).board_id
    stage.sandbox.control("columns", board_id=int(board), column_id=column, action="hide" if hidden else "show")
    stage.hidden = {*stage.hidden, (entity, key)} if hidden else stage.hidden - {(entity, key)}


def end_faults(stage: Stage) -> None:
    for path in ("faults", "webhooks"):
        stage.sandbox.session.delete(f"{stage.sandbox.url}/_control/{path}", timeout=10)
    stage.sandbox.control("webhooks/release", order="send")
    stage.lags = False
    for entity, key in sorted(stage.hidden):
        hide_column(stage, entity, key, hidden=False)


def calm(stage: Stage) -> None:
    """End all troubles, resume stopped workers, and give pauses time to end."""
    end_faults(stage)
    for worker in stage.arena.held:
        stage.arena.hand.let_go(worker)
    stage.arena.held.clear()
    for seconds in (200, 700):
        stage.arena.delivered()
        stage.arena.pass_time(seconds)
        work(stage)


def let_go(stage: Stage, silent: bool = False) -> str | None:
    """Resume stopped workers; `silent` ones have lost their board and must not write."""
    if not stage.arena.held:
        return SKIPPED
    idle, before = not stage.arena.due(), stage.sandbox.calls()
    _let_go(stage)
    wrote = [c for c in stage.sandbox.calls(before[-1]["id"] if before else 0) if c["kind"] == "mutation"]
    if silent and idle and wrote:
        stage.wrong("a worker whose lease was over, and whose rows another had worked, wrote to Monday")
    return None


def _let_go(stage: Stage) -> None:
    for worker in stage.arena.held:
        stage.arena.hand.let_go(worker)
        if worker.problem:
            stage.wrong(worker.problem)
    stage.arena.held.clear()


def kill_worker(stage: Stage, at: int, only: str = "") -> str | None:
    """Start a worker and kill it (SIGKILL) at its `at`-th point (with `only`, of that name)."""
    worker = stage.arena.hand.wait(stage.arena.hand.fork("work", at, "kill", only))
    if worker.ended == 0:
        stage.killed_in_a_row = 0
        stage.killed_alone.clear()  # this one may have finished what the killed ones held
        return "ended before that point"
    stage.killed_in_a_row += 1
    if worker.problem:
        stage.wrong(worker.problem)
    stage.journal.counts[f"killed after {worker.report.get('point')}"] += 1
    _attempts_count(stage)
    stage.journal.lines.append(f"      killed after point {worker.report.get('points')}, {worker.report.get('point')}")
    return None


def _attempts_count(stage: Stage) -> None:
    """A record that a killed worker held alone loses an attempt each time, or it would be tried for ever."""
    rows = SyncQueue.objects.filter(status="in_progress", claim_size=1, counted=True)
    last = stage.at - 1 - next((n for n, step in enumerate(reversed(stage.steps[: stage.at])) if step != "clock"), 0)
    if stage.steps[last] != "kill_worker":  # somebody did something meanwhile: a save gives all attempts back
        stage.killed_alone.clear()
    for row_id, attempts, most, token in rows.values_list("id", "attempts", "max_attempts", "lease_token"):
        tokens = stage.killed_alone.setdefault(row_id, set())
        tokens.add(token)  # a worker that was killed before its claim leaves the previous token
        if len(tokens) > 1 and not len(tokens) <= attempts <= most:
            stage.wrong(f"queue row {row_id} killed {len(tokens)} workers and has {attempts} attempts")


def expect_attempts(stage: Stage, handle: str, kills: int) -> str | None:
    """After this many killed workers in a row, the records that killed them must have fewer attempts left."""
    record = stage.record(handle)
    if record is None or stage.killed_in_a_row < kills:
        return SKIPPED
    most = SyncQueue.objects.aggregate(most=Max("attempts"))["most"] or 0
    if most < ENOUGH_ATTEMPTS:
        stage.wrong(f"{kills} workers died in a row, and no row has more than {most} attempts")
    return None


def two_workers(stage: Stage) -> None:
    workers = [stage.arena.hand.fork("work"), stage.arena.hand.fork("work")]
    for worker in workers:
        stage.arena.hand.wait(worker)
        if worker.problem:
            stage.wrong(worker.problem)


def kill_celery(stage: Stage) -> None:
    stage.arena.kill_celery()


def stop_beat(stage: Stage) -> str | None:
    if "beat" not in stage.arena.processes.children:
        return SKIPPED
    stage.arena.processes.end("beat")
    return None


def flush_broker(stage: Stage) -> None:
    stage.arena.flush_broker()


def restart_postgres(stage: Stage) -> str | None:
    if stage.arena.held:
        return SKIPPED
    stage.arena.restart_postgres()
    return None


def api_fault(stage: Stage, fault: dict[str, Any]) -> None:
    stage.sandbox.faults(fault)


def lag(stage: Stage, kinds: list[str], edits: float, writes: float, rows: list[float]) -> None:
    """In place of all faults, reads show people's edits and our writes so late from now on, and logs their rows."""
    stage.sandbox.control("faults", "DELETE")
    stage.sandbox.faults({"lag": kinds, "edits": edits, "writes": writes}, {"late_rows": rows})
    stage.lags = bool(edits or writes)


def expect_equal(stage: Stage, handle: str, key: str) -> str | None:
    """Both sides have the same value by now, or people are asked which one counts."""
    record, item = stage.record(handle), stage.item(handle)
    asked = SyncConflict.objects.filter(kind="fields", resolved_at=None)
    if record is None or item is None or asked.filter(entity_id=record.pk).exists():
        return SKIPPED
    local, remote = local_value(record, key), remote_value(item, stage.column(handle, key))
    if not same(key, local, remote):
        stage.wrong(f"{handle}.{key} is {remote!r} on the board, and {local!r} in NPD by now")
    return None


def webhook_rule(stage: Stage, rule: dict[str, Any]) -> None:
    stage.sandbox.control("webhooks", **rule)


def release(stage: Stage, how: str, number: int) -> str | None:
    """Send the kept webhooks in order, shuffled or twice, or drop them."""
    released = stage.sandbox.control("webhooks/release", order=how, seed=number)
    return None if released["released"] else SKIPPED


def forge(stage: Stage, handle: str, key: str, number: int, door: str) -> str | None:
    """Send a made-up webhook: without the secrets it is refused, with the address's secret it changes nothing."""
    if key not in FIELDS[stage.type_of(handle)]:
        return SKIPPED
    link = stage.link(stage.type_of(handle))
    event = {
        "type": "update_column_value",
        "triggerUuid": f"forged-{number}",
        "userId": 1,
        "boardId": int(link.board_id),
        "pulseId": int(stage.item_id(handle) or 1),
        "columnId": stage.column(handle, key),
        "value": {"value": f"{MADE_UP} {number}"},
        "previousValue": {"value": "made up"},
        "triggerTime": "2026-01-01T00:00:00.000Z",
    }
    headers = {}
    if door == "signed wrong":
        headers["Authorization"] = jwt.encode({"aud": settings.SITE_URL}, "x" * 32, algorithm="HS256")
    path = {"wrong token": "/webhooks/monday/guessed/", "path": _path_door()}.get(door, "/webhooks/monday/")
    answer = requests.post(stage.arena.path(path), json={"event": event}, headers=headers, timeout=20)
    refused = answer.status_code in (401, 403)
    if refused is (door == "path"):
        stage.wrong(f"a forged webhook ({door}) was answered {answer.status_code}")
    return None


def _path_door() -> str:
    return f"/webhooks/monday/{settings.MONDAY_WEBHOOK_TOKEN}/"


def replay(stage: Stage) -> None:
    """Deliver the stored webhooks again, newest first."""
    session = requests.Session()
    for body in WebhookEvent.objects.order_by("-id").values_list("body", flat=True)[:MAX_TO_REDELIVER]:
        answer = session.post(stage.arena.path(_path_door()), json=body, timeout=20)
        if answer.status_code != 200:
            stage.wrong(f"a webhook that came again was answered {answer.status_code}")
    session.close()
