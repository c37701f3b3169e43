"""The engine's admin: jobs, boards, activity, set-up, and the base of every synced model's admin."""

from sync.admin import activity_pages, board_pages, diagnostics, home_acts, personal_pages, queue_pages, waiting_pages  # noqa: F401 - each registers its admins or acts
