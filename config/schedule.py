"""The periodic tasks, and how often they run at first.

Beat creates the missing ones when it starts (sync/kernel/periodic_jobs.py). From then on the times are the
administrator's, who edits them under “Schedule”; a task removed from this list is deleted at the next start.
"""

from sync.kernel.periodic_jobs import PeriodicJob

HOUR = 3_600
DAY = 24 * HOUR

SCHEDULE = (
    PeriodicJob("sweep for due rows", "sync.sweep", title="Start due jobs", every=10, max_seconds=5 * 60,
                description="Starts the jobs whose time has come: retries, and those whose message to the worker was "
                "lost.",
                when_off="Jobs without a message wait: retries, jobs whose message was lost, boards that were paused."),
    # How often a board is asked depends on the day's API quota, every 10 minutes at most: see
    # sync/operations/detect/__init__.py.
    PeriodicJob("ask boards what webhooks missed", "sync.sweep_boards",
                title="Check for missed changes", every=60, max_seconds=HOUR,
                description="Asks boards what changed since they were last asked, and repairs missing webhooks. Each "
                "board is asked every 10 minutes, or less often when the day's API quota is short; the board's page "
                "says how often.",
                when_off="A change on Monday whose webhook was lost is not noticed, nor are webhooks that were "
                "deleted."),
    # Once a night (sync/operations/detect/__init__.py); asked often, for a night when Monday is away.
    PeriodicJob("compare both sides", "sync.compare_boards", title="Compare both sides", every=600, max_seconds=HOUR,
                description="Compares every item with its record and the last synced values, once a night.",
                when_off="What neither a webhook nor the activity log tells of is not found, and nothing verifies "
                "that synced records really are the same on both sides."),
    PeriodicJob("compare the quota with Monday's figures", "sync.refresh_quota",
                title="Compare the API quota with Monday's figures", every=HOUR, max_seconds=DAY,
                description="Asks Monday what is used of the API quota.",
                when_off="Calls that other programs make are not counted."),
    PeriodicJob("release approvals without a cause", "sync.release_approvals",
                title="Close approvals that are not needed any more", every=60, max_seconds=HOUR,
                description="Closes approvals whose reason has ended, for example because somebody restored the "
                "records.",
                when_off="What waits for approval stays in the list when its cause has ended."),
    PeriodicJob("notify people", "sync.notify_people", title="Notify people", every=60, max_seconds=15 * 60,
                description="Notices what needs attention, and sends the messages that are due.",
                when_off="Nobody is notified of anything, by email or chat."),
    PeriodicJob("run set-ups", "sync.set_up", title="Continue set-ups", every=10, max_seconds=5 * 60,
                description="Compares the drafts of the set-up wizard, and applies those that were confirmed.",
                when_off="A set-up whose message was lost, or whose worker ended, doesn't go on."),
    PeriodicJob("run imports", "npd.imports", title="Continue imports", every=60, max_seconds=HOUR,
                description="Reads files to import and continues imports: what a lost message or an ended worker left "
                "undone.",
                when_off="An import whose message was lost, or whose worker ended, doesn't go on."),
    PeriodicJob("warn of wrong codes", "npd.warn_of_wrong_codes",
                title="Warn of guessed codes", every=60, max_seconds=HOUR,
                description="Warns people by email when somebody who knows their password guesses their two-factor "
                "codes, and tells them when an authenticator app or a passkey was added.",
                when_off="Nobody gets an email about guessed codes, which only the next sign-in says, or about "
                "two-factor authentication."),
    PeriodicJob("delete old data", "sync.prune", title="Delete old data", at=(2, 40),
                description="Deletes finished jobs, activity, changes and deliveries that were kept for their time.",
                when_off="The database grows for ever."),
    PeriodicJob("delete delivered messages", "config.embedded.tasks.delete_delivered_messages",
                title="Delete delivered messages", every=300, max_seconds=DAY,
                description="Deletes the broker's delivered messages, where PostgreSQL is the broker.",
                when_off="Where PostgreSQL is the broker, its table of messages grows for ever."),
)  # fmt: skip
