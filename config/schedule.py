"""The periodic tasks, and how often they run at first; an administrator changes that under “Schedule”."""

from sync.kernel.scheduled_jobs import Job

SCHEDULE = (
    Job("Start due jobs", "sync.sweep", every=(10, "seconds"),
        description="Starts the jobs whose time has come: retries, and those whose message to the worker was lost."),
    # How often a board is asked depends on the day's API quota, every 10 minutes at most: see
    # sync/operations/detect/__init__.py.
    Job("Check for missed changes", "sync.sweep_boards", every=(1, "minutes"),
        description="Asks boards what changed since they were last asked, and repairs missing webhooks. Each board is "
        "asked every 10 minutes, or less often when the day's API quota is short."),
    # Once a night (sync/operations/detect/__init__.py); asked often, for a night when Monday is away.
    Job("Compare both sides", "sync.compare_boards", every=(10, "minutes"),
        description="Compares every item with its record and the last synced values, once a night."),
    Job("Compare the API quota with Monday's figures", "sync.refresh_quota", every=(1, "hours"),
        description="Asks Monday what is used of the API quota."),
    Job("Close approvals that are not needed any more", "sync.release_approvals", every=(1, "minutes"),
        description="Closes approvals whose reason has ended, for example because somebody restored the records."),
    Job("Notify people", "sync.notify_people", every=(1, "minutes"),
        description="Notices what needs attention, and sends the messages that are due."),
    Job("Continue set-ups", "sync.set_up", every=(10, "seconds"),
        description="Compares the drafts of the set-up wizard, and applies those that were confirmed."),
    Job("Delete old data", "sync.prune", at=(2, 40),
        description="Deletes finished jobs, activity, changes and deliveries that were kept for their time."),
    Job("Delete delivered messages", "config.delete_delivered_messages", every=(5, "minutes"),
        description="Deletes the broker's delivered messages, where PostgreSQL is the broker."),
)  # fmt: skip
