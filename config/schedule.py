"""What Beat does and how often.

Beat copies it into its tables at its start; the admin shows when each part last ran.
"""

from typing import Any

from celery.schedules import crontab

BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "sweep for due rows": {
        "task": "sync.sweep",
        "schedule": 10.0,
        # A worker that was away for an hour has one sweep to make, not 360.
        "options": {"expire_seconds": 10},
    },
    "ask boards what webhooks missed": {
        "task": "sync.sweep_boards",
        # How often a board is asked follows from the day's allowance (sync/sweeps/timing.py): 10 minutes at most.
        "schedule": 60.0,
        "options": {"expire_seconds": 60},
    },
    "compare both sides": {
        "task": "sync.compare_boards",
        # Once a night (sync/sweeps/timing.py); asked often, for a night when Monday is away.
        "schedule": 600.0,
        "options": {"expire_seconds": 600},
    },
    "compare the allowance with Monday's figures": {
        "task": "sync.refresh_allowance",
        "schedule": 3600.0,
        "options": {"expire_seconds": 600},
    },
    "read a sample of synced records again": {
        "task": "sync.audit",
        "schedule": 900.0,
        "options": {"expire_seconds": 600},
    },
    "let go what waits for approval without a cause": {
        "task": "sync.release_held",
        "schedule": 60.0,
        "options": {"expire_seconds": 60},
    },
    "forget what is old": {
        "task": "sync.prune",
        "schedule": crontab(hour="2", minute="40"),
        "options": {"expire_seconds": 3600},
    },
    "forget delivered messages": {
        "task": "config.embedded.tasks.forget_delivered_messages",
        "schedule": 300.0,
        "options": {"expire_seconds": 300},
    },
}
