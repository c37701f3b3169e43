"""What runs by the clock, and how often at first.

Beat makes what is missing of it when it starts (sync/scheduling.py). From then on the times are the administrator's,
who edits them under “Schedule”; what is taken off this list goes with the next start.
"""

from sync.schedule import Job

HOUR = 3_600
DAY = 24 * HOUR

SCHEDULE = (
    Job(
        "sweep for due rows",
        "sync.sweep",
        does="Works every board that has due rows: what a lost wake-up would have done.",
        without="What no wake-up tells of waits: retries, rows whose wake-up was lost, boards that were paused.",
        every=10,
        longest=5 * 60,
    ),
    Job(
        "ask boards what webhooks missed",
        "sync.sweep_boards",
        # How often a board is asked follows from the day's allowance (sync/sweeps/timing.py): 10 minutes at most.
        does="Asks the boards that are due what changed since they were last asked, and repairs our webhooks.",
        without="A change on Monday whose webhook was lost is not noticed, nor are webhooks that were deleted.",
        every=60,
        longest=HOUR,
    ),
    Job(
        "compare both sides",
        "sync.compare_boards",
        # Once a night (sync/sweeps/timing.py); asked often, for a night when Monday is away.
        does="Holds every item against its record and what was last agreed on, once a night.",
        without="What neither a webhook nor the activity log tells of is not found.",
        every=600,
        longest=HOUR,
    ),
    Job(
        "compare the allowance with Monday's figures",
        "sync.refresh_allowance",
        does="Asks Monday what is used of the allowance, and who the account's users are.",
        without="Calls that other programs make are not counted, and people columns don't learn of new users.",
        every=HOUR,
        longest=DAY,
    ),
    Job(
        "read a sample of synced records again",
        "sync.audit",
        does="Reads random synced records again, where the day's calls have one to spare.",
        without="No sample says any more how many records really are the same on both sides.",
        every=900,
        longest=DAY,
    ),
    Job(
        "let go what waits for approval without a cause",
        "sync.release_held",
        does="Ends what waits for approval once its cause is gone.",
        without="What waits for approval stays in the list when its cause is gone.",
        every=60,
        longest=HOUR,
    ),
    Job(
        "carry on with many conflicts",
        "conflicts.carry_on_batches",
        does="Goes on with conflicts that a person settled by the hundred, or wants undone.",
        without="Where a worker ended in the middle, the rest of such conflicts waits.",
        every=10,
        longest=5 * 60,
    ),
    Job(
        "carry on set-ups",
        "sync.set_up",
        does="Compares what the set-up wizard has drawn up, and carries out what was confirmed.",
        without="A set-up whose wake-up was lost, or whose worker ended, stands still.",
        every=10,
        longest=5 * 60,
    ),
    Job(
        "carry on imports",
        "npd.imports",
        does="Carries on imports that were confirmed: what a lost wake-up or a worker that ended left undone.",
        without="An import whose wake-up was lost, or whose worker ended, stands still.",
        every=60,
        longest=HOUR,
    ),
    Job(
        "forget what is old",
        "sync.prune",
        does="Deletes finished queue rows, decisions, changes and deliveries that were kept for their time.",
        without="The database grows for ever.",
        at=(2, 40),
    ),
    Job(
        "forget delivered messages",
        "config.embedded.tasks.forget_delivered_messages",
        does="Deletes the broker's delivered messages, where PostgreSQL is the broker.",
        without="Where PostgreSQL is the broker, its table of messages grows for ever.",
        every=300,
        longest=DAY,
    ),
)
