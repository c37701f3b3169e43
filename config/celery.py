"""The Celery application.

Messages only wake workers. The jobs are rows, so a lost message costs time, never data.
"""

import os
import signal
import threading
import time
from typing import Any

import structlog
from billiard.process import active_children
from celery import Celery, bootsteps, shared_task
from celery.signals import setup_logging, worker_init, worker_process_init, worker_shutting_down
from celery.worker import state
from django.conf import settings
from django.db import DatabaseError, connection
from kombu.transport import TRANSPORT_ALIASES, redis
from redis.exceptions import ConnectionError as LostConnection

from sync.kernel import process

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

log = structlog.get_logger(__name__)


class RedisChannel(redis.Channel):
    """Raises ConnectionError if its connection has no address.

    A worker that loses Redis while it has messages closes its connection twice, and acknowledges the messages later.
    Both use a channel whose connection has no address any more, and the AttributeError ended the worker (kombu 5.7.0
    with Celery 5.7.0; github.com/celery/kombu/issues/582 reports the same error). A lost connection doesn't end it:
    Redis delivers the messages again after their visibility timeout, and a sweep finds their jobs earlier.
    """

    def _connparams(self, asynchronous: bool = False) -> Any:
        # The stubs know neither this method nor that either can be None.
        if getattr(self.connection, "client", None) is None:
            raise LostConnection("This channel's connection to Redis is closed.")
        return super()._connparams(asynchronous)  # type: ignore[misc]


class RedisTransport(redis.Transport):
    Channel = RedisChannel


# Kombu's own transports don't recover after the broker was down; ours do.
TRANSPORT_ALIASES["sqla"] = "config.embedded.broker:Transport"
TRANSPORT_ALIASES["redis"] = TRANSPORT_ALIASES["rediss"] = "config.celery:RedisTransport"
app = Celery("npd_sync")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

# Between two looks at the pool.
WATCHDOG_SECONDS = 10


class PoolWatch:
    """Notices a pool that takes no task though jobs are due.

    That happens after a kill of a pool process that held the pool's queue lock.
    """

    def __init__(self) -> None:
        self.begun_before = 0  # the tasks that had begun by the last look
        self.idle_since = 0.0  # 0 before the first look

    def observe(self, begun: int, running: int, waiting: int, now: float) -> bool:
        """Note what the pool does now; return whether it is stuck.

        It is if, for READY_MAX_DUE_SECONDS, no task ran or began though some were waiting and a board's jobs are
        overdue. `begun` counts the tasks that the pool has begun so far, `running` those that haven't ended, `waiting`
        those that the worker has received and not begun. If none is waiting, as when beat is down, the pool is merely
        idle.
        """
        from sync.operations import readiness

        if begun != self.begun_before or running or not waiting or not self.idle_since:
            self.begun_before = begun
            self.idle_since = now
            return False
        seconds = settings.READY_MAX_DUE_SECONDS
        return now - self.idle_since >= seconds and bool(readiness.overdue_boards(seconds))


class Watchdog(bootsteps.StartStopStep):
    """Ends a worker on a server if its pool is stuck, so that its supervisor restarts it.

    It runs in a thread and kills the pool, because a stuck loop or pool doesn't react to signals.
    """

    requires = ("celery.worker.components:Pool",)

    def include_if(self, parent: Any) -> bool:
        return not settings.EMBEDDED

    def start(self, parent: Any) -> None:
        self.ended = threading.Event()
        threading.Thread(target=self._watch, daemon=True, name="watchdog").start()

    def stop(self, parent: Any) -> None:
        self.ended.set()

    def _watch(self) -> None:
        watch = PoolWatch()
        while not self.ended.wait(WATCHDOG_SECONDS):
            try:
                begun = sum(state.total_count.values())
                running = len(state.active_requests)
                waiting = len(state.reserved_requests) - running
                if watch.observe(begun, running, waiting, time.monotonic()):
                    log.error("worker ended: its pool takes no tasks though jobs are due")
                    for pid in [child.pid for child in active_children() if child.pid]:
                        os.kill(pid, signal.SIGKILL)
                    os._exit(1)
            except DatabaseError as error:
                log.warning("the pool can't be watched", error=type(error).__name__)
            finally:
                connection.close()  # a pool process that is forked later must not share it


app.steps["worker"].add(Watchdog)


@worker_init.connect
def start_process(**kwargs: object) -> None:
    # A worker may start in a process that has stopped a worker before.
    process.cancel_shutdown()


@worker_process_init.connect
def start_pool_process(**kwargs: object) -> None:
    # Without a collection first, which would write to all memory shared with the parent.
    process.freeze_loaded_objects()


@worker_shutting_down.connect
def end_tasks_soon(**kwargs: object) -> None:
    # Only the main process gets the signal; shared memory tells the pool's processes.
    process.request_shutdown()


@setup_logging.connect
def use_the_project_logging(**kwargs: object) -> None:
    """Configure logging by settings.LOGGING; with this receiver Celery leaves the loggers alone."""
    import logging.config

    logging.config.dictConfig(settings.LOGGING)


@shared_task(name="config.delete_delivered_messages")
def delete_delivered_messages() -> None:
    """Delete the delivered messages that kombu leaves in PostgreSQL."""
    if settings.CELERY_BROKER_URL.startswith("sqla+"):
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM kombu_message WHERE NOT visible")
