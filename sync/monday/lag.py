"""Every figure about how far Monday's answers lag behind what it reports: one table.

Reads are answered by replicas that may be behind Monday's own webhooks and behind our writes (the `latest` argument in
its schema says so).
"""

from datetime import timedelta

# No read lags behind by more: after this time Monday's answer counts as it is.
LONGEST_LAG = timedelta(minutes=10)

# When an item whose answer is behind is read again, in seconds after the event or the write.
LOOKS = (2.5, 7.0, 60.0, LONGEST_LAG.total_seconds())

# How far Monday's time of our own write's event may be from our time of it, and how long an item may be shown as it was
# before we removed it.
ECHO_WINDOW = timedelta(minutes=2)

# Monday's times of two events don't tell their order if they are this close; then their arrival does.
SAME_TIME = timedelta(seconds=1)

# More records than this whose connected items are shown as none within an hour, though nobody removed them, wait for
# a person: one alone may have been unlinked from the other side, which reports nothing.
UNLINKED_AN_HOUR = 5

# How often a value is sent that Monday answers without storing it.
MAX_SENDS = 2

# The buckets in which /metrics counts after how many seconds a read first showed what was reported.
LAG_BUCKETS = (3.0, 10.0, 30.0, 90.0, LONGEST_LAG.total_seconds())
