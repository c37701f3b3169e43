"""What Beat does and how often.

Beat copies it into its tables at its start; the admin shows when each part last ran.
"""

from typing import Any

BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "sweep for due rows": {
        "task": "sync.sweep",
        "schedule": 10.0,
        # A worker that was away for an hour has one sweep to make, not 360.
        "options": {"expire_seconds": 10},
    },
    "compare the allowance with Monday's figures": {
        "task": "sync.refresh_allowance",
        "schedule": 3600.0,
        "options": {"expire_seconds": 600},
    },
    "forget delivered messages": {
        "task": "config.embedded.tasks.forget_delivered_messages",
        "schedule": 300.0,
        "options": {"expire_seconds": 300},
    },
}
