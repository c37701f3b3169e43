"""What webhooks missed is found all the same: sweeps by the activity log, a nightly comparison, a check of webhooks.

    missed      what changed on a board since its last finished sweep, in one call where nothing did
    handing     rows of the log handed to the inbox, as the webhooks that should have told the same
    touched     items by last update, for what no log tells
    comparison  every linked item against base and NPD, once a night
    hooks       are our webhooks still there; has a busy board fallen silent
    timing      which board is due, paced by the day's allowance
    reports     all of it in words

They read without the board's lease, and write nothing but queue rows, inbox rows and the board link's own notes.
"""

from sync.sweeps.comparison import compare, compare_due
from sync.sweeps.missed import Found, sweep_board, sweep_due

__all__ = ["Found", "compare", "compare_due", "sweep_board", "sweep_due"]
