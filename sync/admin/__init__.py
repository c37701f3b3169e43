"""The engine's pages, and in record_pages.py the admin of every synced model.

All build on admin_base.py; a button's act runs by confirmed_action.py, if it is on what waits by home_acts.py.
"""

from sync.admin import (  # noqa: F401 - each registers its admins or acts
    activity_pages,
    advanced_lists,
    board_pages,
    home_acts,
    items_and_approvals,
    notifications_and_tokens,
    queue_pages,
)
