"""NPD's admin."""

from npd.admin import contact_pages, user_pages

__all__ = ["contact_pages", "user_pages"]
