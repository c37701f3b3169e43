"""Wake a worker for due jobs after a commit; a lost wake-up does no harm.

And whether the broker takes messages.
"""

import math
import os
import threading
import time
from contextlib import suppress
from datetime import timedelta
from functools import lru_cache, partial
from typing import Any

import structlog
from celery import current_app
from django.conf import settings
from django.db import models, transaction
from django.db.models.signals import post_delete, post_save
from kombu import Connection
from kombu.pools import producers
from redis.exceptions import AuthenticationError, BusyLoadingError, ResponseError

from sync.clock import SyncNow
from sync.kernel import process
from sync.models import BoardLink, SyncedModel
from sync.words.message import Message

log = structlog.get_logger(__name__)

# A woken worker takes all due jobs, so a thousand saves need only a few messages. A person hardly notices this wait.
INTERVAL_SECONDS = 0.2

# A save hardly waits for the broker, because the next sweep makes up for a lost message.
POOL_WAIT_SECONDS = 0.1

# Nobody is woken for jobs due later than this; Beat's schedule finds them.
MAX_DELAY_SECONDS = 120.0

# Longer than a busy machine needs (about a second), so that load isn't reported as an outage.
BROKER_SECONDS = 5

BROKER_DOWN = Message("broker_down")

# Redis answers, and says why it does nothing.
REDIS_REFUSALS = (AuthenticationError, BusyLoadingError, ResponseError)

# Redis is nearly full if it uses so much of what it may.
NEARLY_FULL = 0.9

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
    send_task("sync.work_board", entity_type)  # calls `work` of sync/operations/worker.py


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
        name = f"{type(error).__name__}: {error}"
        log.warning("wake-up not sent; the schedule brings the next", task=task, about=args, error=name)
        return False
    return True


@lru_cache(maxsize=1)
def _connection(process_id: int) -> Connection:
    """Return this process's own connection, with shorter timeouts than the one that a worker reads from."""
    default = current_app.connection_for_write()
    return default.clone(transport_options={**(default.transport_options or {}), **settings.WAKE_UP_TRANSPORT_OPTIONS})


def broker_problem() -> str:
    """Return why the broker takes no messages, if Redis says it in its own words; empty if it takes them."""
    try:
        return process.call_within(BROKER_SECONDS, _try_broker)
    except Exception as error:  # any error of the broker's library, or our own timeout
        refusal = error.__cause__ or error  # kombu wraps those that come while it connects
        if isinstance(refusal, REDIS_REFUSALS):
            return Message("redis_takes_nothing", quote=str(refusal))
        log.warning("broker not reachable", error=type(error).__name__)
        return BROKER_DOWN


def _try_broker() -> str:
    """Connect, and write one key if it is Redis; return that it drops what it has taken."""
    with current_app.connection_for_write() as broker:
        broker.ensure_connection(max_retries=1, timeout=BROKER_SECONDS)
        if broker.transport.driver_type != "redis":
            return ""
        client: Any = broker.default_channel.client  # type: ignore[attr-defined]  # the stubs know no Redis
        client.set("_kombu.npd-sync", "written by /readyz", ex=60)
        client.delete("_kombu.npd-sync")
        memory = {}
        with suppress(ResponseError):  # some servers refuse INFO, or don't know it
            memory = client.info("memory")
    policy = memory.get("maxmemory_policy", "")
    if policy.startswith("allkeys") and memory["used_memory"] > NEARLY_FULL * (memory["maxmemory"] or math.inf):
        return Message("redis_drops_messages", used=memory["used_memory_human"], policy=policy)
    return ""


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


# A sweep is due if the last one is so old, because no interval between sweeps is longer.
AGE_OF_DUE_SWEEP = timedelta(days=1)


def sweep_soon(links: models.QuerySet[BoardLink]) -> None:
    """Have these boards swept now, by setting the time of their last sweep back."""
    not_due = links.filter(swept_at__gt=SyncNow() - AGE_OF_DUE_SWEEP)
    if not_due.update(swept_at=SyncNow() - AGE_OF_DUE_SWEEP):
        transaction.on_commit(partial(send_task, "sync.sweep_boards"), robust=True)
