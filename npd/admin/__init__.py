"""NPD's admin."""

from npd.admin import people, records

__all__ = ["people", "records"]
