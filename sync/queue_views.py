"""The queue's list as links show it: the filters in its address. Imports nothing, so that settings may read it."""

LIVE_ROWS = "status__exact=pending&status__exact=in_progress&status__exact=failed"
"""Without what is done, which stays in the queue for a while."""

NEW_ITEMS = "what=items&status__exact=pending"
"""Items of the boards that wait to become records."""
