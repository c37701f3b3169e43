"""A Celery application of one task, which beat sends five times a second; for test_broker.py."""

import os
from pathlib import Path

from celery import Celery
from kombu.transport import TRANSPORT_ALIASES

TRANSPORT_ALIASES["sqla"] = "config.embedded.broker:Transport"

app = Celery("ticks", broker=os.environ["TICK_BROKER"])
app.conf.update(
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    task_publish_retry=False,
    beat_max_loop_interval=0.2,
    beat_schedule={"tick": {"task": "tick", "schedule": 0.2}},
)


@app.task(name="tick")
def tick() -> None:
    """Leave a mark."""
    with Path(os.environ["TICK_FILE"]).open("a") as file:
        file.write("tick\n")
