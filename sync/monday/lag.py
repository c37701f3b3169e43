"""Figures about what Monday's answers may lack, and how far they lag behind what it reports.

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

# Listings. So many pages without a new item make a listing unreadable.
MAX_REPEATED_PAGES = 2

# More items that can't be read are Monday's fault, not theirs: the listing has failed.
MAX_UNREADABLE_ITEMS = 10

# A listing that is shorter than the board's count, and was so this long ago, was so two nights in a row.
SHORT_LISTING_AFTER = timedelta(hours=20)

# The activity log. Its rows come late and out of order, so each sweep begins so long before the newest row that one has
# seen; once in `LONG_OVERLAP_EVERY` it begins `LONG_OVERLAP` before the last time that it did so.
OVERLAP = timedelta(minutes=10)
LONG_OVERLAP = timedelta(hours=1)
LONG_OVERLAP_EVERY = timedelta(hours=1)

# Without a row for so long, while webhooks or the comparison bring changes, the log can't be relied on.
LOG_SILENCE = timedelta(hours=24)

# Sweeps take no more than this share of a day's calls: hourly at 1,000 calls and two boards.
SWEEP_SHARE = 0.05

# The buckets in which /metrics counts after how many seconds a read first showed what was reported.
LAG_BUCKETS = (3.0, 10.0, 30.0, 90.0, LONGEST_LAG.total_seconds())
