"""The periodic tasks, and how often they run at first.

Beat creates the missing ones when it starts (sync/kernel/periodic_jobs.py). From then on the times are the
administrator's, who edits them under “Schedule”; a task removed from this list is deleted at the next start.
"""

from sync.kernel.timetable import PeriodicJob

HOUR = 3_600
DAY = 24 * HOUR

SCHEDULE = (
    PeriodicJob(
        "sweep for due rows",
        "sync.sweep",
        title="Start due jobs",
        description="Starts the jobs whose time has come: retries, and those whose message to the worker was lost.",
        when_off="Jobs without a message wait: retries, jobs whose message was lost, boards that were paused.",
        every=10,
        max_seconds=5 * 60,
    ),
    PeriodicJob(
        "ask boards what webhooks missed",
        "sync.sweep_boards",
        title="Check for missed changes",
        # How often a board is asked depends on the day's API quota, every 10 minutes at most: see
        # sync/operations/detect/sweep_schedule.py.
        description="Asks boards what changed since they were last asked, and repairs missing webhooks. Each board is "
        "asked every 10 minutes, or less often when the day's API quota is short; the board's page says how often.",
        when_off="A change on Monday whose webhook was lost is not noticed, nor are webhooks that were deleted.",
        every=60,
        max_seconds=HOUR,
    ),
    PeriodicJob(
        "compare both sides",
        "sync.compare_boards",
        title="Compare both sides",
        # Once a night (sync/operations/detect/sweep_schedule.py); asked often, for a night when Monday is away.
        description="Compares every item with its record and the last synced values, once a night.",
        when_off="What neither a webhook nor the activity log tells of is not found, and nothing verifies that synced "
        "records really are the same on both sides.",
        every=600,
        max_seconds=HOUR,
    ),
    PeriodicJob(
        "compare the quota with Monday's figures",
        "sync.refresh_quota",
        title="Compare the API quota with Monday's figures",
        description="Asks Monday what is used of the API quota, and who the account's users are.",
        when_off="Calls that other programs make are not counted, and people columns don't learn of new users.",
        every=HOUR,
        max_seconds=DAY,
    ),
    PeriodicJob(
        "release approvals without a cause",
        "sync.release_approvals",
        title="Close approvals that are not needed any more",
        description="Closes approvals whose reason has ended, for example because somebody restored the records.",
        when_off="What waits for approval stays in the list when its cause has ended.",
        every=60,
        max_seconds=HOUR,
    ),
    PeriodicJob(
        "notify people",
        "sync.notify_people",
        title="Notify people",
        description="Notices what needs attention, and sends the messages that are due.",
        when_off="Nobody is notified of anything, by email or chat.",
        every=60,
        max_seconds=15 * 60,
    ),
    PeriodicJob(
        "tell other systems",
        "sync.deliver_webhooks",
        title="Send webhooks",
        description="Tells the endpoints of other systems what happened: what a lost message would have done, and "
        "what is tried again.",
        when_off="Webhooks whose message was lost, or that failed, are not sent.",
        every=10,
        max_seconds=5 * 60,
    ),
    PeriodicJob(
        "resolve many conflicts",
        "conflicts.carry_on_batches",
        title="Continue bulk resolutions",
        description="Continues bulk resolutions of conflicts, and their undo.",
        when_off="Where a worker ended in the middle, the rest of such conflicts waits.",
        every=10,
        max_seconds=5 * 60,
    ),
    PeriodicJob(
        "run set-ups",
        "sync.set_up",
        title="Continue set-ups",
        description="Compares the drafts of the set-up wizard, and applies those that were confirmed.",
        when_off="A set-up whose message was lost, or whose worker ended, doesn't go on.",
        every=10,
        max_seconds=5 * 60,
    ),
    PeriodicJob(
        "run imports",
        "npd.imports",
        title="Continue imports",
        description="Reads files to import and continues imports: what a lost message or an ended worker left undone.",
        when_off="An import whose message was lost, or whose worker ended, doesn't go on.",
        every=60,
        max_seconds=HOUR,
    ),
    PeriodicJob(
        "warn of wrong codes",
        "npd.warn_of_wrong_codes",
        title="Warn of guessed codes",
        description="Warns people by email when somebody who knows their password guesses their two-factor codes, and "
        "tells them when an authenticator app or a passkey was added.",
        when_off="Nobody gets an email about guessed codes, which only the next sign-in says, or about two-factor "
        "authentication.",
        every=60,
        max_seconds=HOUR,
    ),
    PeriodicJob(
        "delete old data",
        "sync.prune",
        title="Delete old data",
        description="Deletes finished jobs, activity, changes and deliveries that were kept for their time.",
        when_off="The database grows for ever.",
        at=(2, 40),
    ),
    PeriodicJob(
        "delete delivered messages",
        "config.embedded.tasks.delete_delivered_messages",
        title="Delete delivered messages",
        description="Deletes the broker's delivered messages, where PostgreSQL is the broker.",
        when_off="Where PostgreSQL is the broker, its table of messages grows for ever.",
        every=300,
        max_seconds=DAY,
    ),
)
