"""Wake a worker for due jobs after a commit, at most five times a second; a lost wake-up does no harm."""

import math
import os
import threading
import time
from functools import lru_cache, partial
from typing import Any

import structlog
from celery import current_app
from django.conf import settings
from django.db import transaction
from django.db.models.signals import post_delete, post_save
from kombu import Connection
from kombu.pools import producers

from sync.kernel import process
from sync.models import SyncedModel

log = structlog.get_logger(__name__)

# A woken worker takes all due jobs, so a thousand saves need only a few messages. A person hardly notices this wait.
INTERVAL_SECONDS = 0.2

# A save hardly waits for the broker, because the next sweep makes up for a lost message.
POOL_WAIT_SECONDS = 0.1

# Nobody is woken for jobs due later than this; Beat's schedule finds them.
MAX_DELAY_SECONDS = 120.0

_last_sent: dict[str, float] = {}

# The timers, by their board and the time at which they end.
_scheduled: dict[tuple[str, float], threading.Timer] = {}

_lock = threading.Lock()


def wake_board(entity_type: str, seconds: float = 0) -> None:
    """Wake a worker for this type's board after `seconds`; each process does so at most once in INTERVAL_SECONDS.

    An earlier one is sent at the interval's end, because the worker that was woken last may have finished before the
    new job was stored. Delayed ones are lost if this process ends.
    """
    if seconds > MAX_DELAY_SECONDS:
        return
    with _lock:
        now = time.monotonic()
        due = max(now + seconds, _last_sent.get(entity_type, -math.inf) + INTERVAL_SECONDS)
        if due > now and not process.is_shutting_down():
            # Delayed ones end with a whole second, so that a storm of webhooks needs few timers.
            timer_key = (entity_type, math.ceil(due) if seconds else due)
            if timer_key not in _scheduled:
                timer = threading.Timer(timer_key[1] - now, _send_delayed, timer_key)
                timer.daemon = True  # so that the process can end before it
                timer.start()  # before it is stored, because one that failed to start would block the next
                _scheduled[timer_key] = timer
            return
        _last_sent[entity_type] = now
    send_task("sync.work_board", entity_type)


def _send_delayed(entity_type: str, due: float) -> None:
    with _lock:
        if _scheduled.pop((entity_type, due), None) is None:
            return  # all timers were cleared meanwhile, as tests do
        _last_sent[entity_type] = time.monotonic()
    send_task("sync.work_board", entity_type)


def send_task(task: str, *args: str) -> bool:
    """Send a task, and return whether the broker took it; one that doesn't answer costs 200 ms at most.

    These tasks also run by the schedule, which makes up for lost messages.
    """
    try:
        with producers[_connection(os.getpid())].acquire(block=True, timeout=POOL_WAIT_SECONDS) as producer:
            # By its name, so that this module needn't import the tasks.
            current_app.send_task(task, args=args, producer=producer, retry=False, ignore_result=True)
    except Exception as error:  # of any kind: the jobs are stored, and the schedule finds them
        name = type(error).__name__
        log.warning("wake-up not sent; the schedule brings the next", task=task, about=args, error=name)
        return False
    return True


@lru_cache(maxsize=1)
def _connection(process_id: int) -> Connection:
    """Return this process's own connection, with shorter timeouts than the one that a worker reads from."""
    default = current_app.connection_for_write()
    return default.clone(transport_options={**(default.transport_options or {}), **settings.WAKE_UP_TRANSPORT_OPTIONS})


def wake_on_commit(entity_type: str, seconds: float = 0) -> None:
    """Wake a worker after the commit, so that it sees the rows; a failure to do so fails nothing."""
    transaction.on_commit(partial(wake_board, entity_type, seconds), robust=True)


def connect_signals() -> None:
    """Listen to every model, and ignore those not synced. Bulk writes send no signals: the sweep finds their jobs."""
    post_save.connect(wake_after_save, dispatch_uid="sync.outbox.wakeups.save")
    post_delete.connect(wake_after_save, dispatch_uid="sync.outbox.wakeups.delete")


def wake_after_save(sender: type[Any], **kwargs: Any) -> None:
    if issubclass(sender, SyncedModel):
        wake_on_commit(sender.entity_type())
