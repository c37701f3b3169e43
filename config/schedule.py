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
        description="Works every board that has due rows: what a lost wake-up would have done.",
        when_off="What no wake-up tells of waits: retries, rows whose wake-up was lost, boards that were paused.",
        every=10,
        max_seconds=5 * 60,
    ),
    PeriodicJob(
        "ask boards what webhooks missed",
        "sync.sweep_boards",
        # How often a board is asked depends on the day's API quota, every 10 minutes at most: see
        # sync/operations/detect/sweep_schedule.py.
        description="Looks which boards are due, asks these what changed since they were last asked, and repairs our "
        "webhooks. A board is due every 10 minutes or more rarely, as the day's allowance has room; its page says "
        "how often.",
        when_off="A change on Monday whose webhook was lost is not noticed, nor are webhooks that were deleted.",
        every=60,
        max_seconds=HOUR,
    ),
    PeriodicJob(
        "compare both sides",
        "sync.compare_boards",
        # Once a night (sync/operations/detect/sweep_schedule.py); asked often, for a night when Monday is
        # away.
        description="Holds every item against its record and what was last agreed on, once a night.",
        when_off="What neither a webhook nor the activity log tells of is not found.",
        every=600,
        max_seconds=HOUR,
    ),
    PeriodicJob(
        "compare the allowance with Monday's figures",
        "sync.refresh_allowance",
        description="Asks Monday what is used of the allowance, and who the account's users are.",
        when_off="Calls that other programs make are not counted, and people columns don't learn of new users.",
        every=HOUR,
        max_seconds=DAY,
    ),
    PeriodicJob(
        "read a sample of synced records again",
        "sync.audit",
        description="Reads random synced records again, where the day's calls have one to spare.",
        when_off="No sample says any more how many records really are the same on both sides.",
        every=900,
        max_seconds=DAY,
    ),
    PeriodicJob(
        "let go what waits for approval without a cause",
        "sync.release_held",
        description="Ends what waits for approval once its cause is gone.",
        when_off="What waits for approval stays in the list when its cause is gone.",
        every=60,
        max_seconds=HOUR,
    ),
    PeriodicJob(
        "carry on with many conflicts",
        "conflicts.carry_on_batches",
        description="Goes on with conflicts that a person settled by the hundred, or wants undone.",
        when_off="Where a worker ended in the middle, the rest of such conflicts waits.",
        every=10,
        max_seconds=5 * 60,
    ),
    PeriodicJob(
        "carry on set-ups",
        "sync.set_up",
        description="Compares the drafts of the set-up wizard, and applies those that were confirmed.",
        when_off="A set-up whose wake-up was lost, or whose worker ended, stands still.",
        every=10,
        max_seconds=5 * 60,
    ),
    PeriodicJob(
        "carry on imports",
        "npd.imports",
        description="Reads files to import and carries on imports: what a lost wake-up or an ended worker left undone.",
        when_off="An import whose wake-up was lost, or whose worker ended, stands still.",
        every=60,
        max_seconds=HOUR,
    ),
    PeriodicJob(
        "forget what is old",
        "sync.prune",
        description="Deletes finished queue rows, decisions, changes and deliveries that were kept for their time.",
        when_off="The database grows for ever.",
        at=(2, 40),
    ),
    PeriodicJob(
        "forget delivered messages",
        "config.embedded.tasks.forget_delivered_messages",
        description="Deletes the broker's delivered messages, where PostgreSQL is the broker.",
        when_off="Where PostgreSQL is the broker, its table of messages grows for ever.",
        every=300,
        max_seconds=DAY,
    ),
)
