"""Settle: store the result of a pass in one transaction, under the board's lease.

What a plan is based on is compared again with the locked rows. If it has changed since it was read, nothing is
written, and the next pass takes the job.

No other part of a pass writes the values of records, their sync state or conflicts. Beside settle, send.py stores
intents and counted requests, unanswered_creates.py ends unanswered creates and links what they made, and reconcile()
stores problems with columns, stops with their lines of activity, batch sizes, how long reads lagged, and when the board
had its last pass.

`transaction` has existing records: `record` has what becomes of one, `dependents` what that means for others.
`items_and_deletions` has items, answers and deleted records; `activity` has who did what, and why; `jobs` has the end
of jobs, intents and events, with the statuses of records; `pass_run` has the locks.
"""
