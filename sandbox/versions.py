"""API versions, and which one serves a request (developer.monday.com/api-reference/docs/api-versioning)."""

import re
from dataclasses import dataclass

from sandbox.errors import RequestError

CURRENT = "2026-10"
MAINTENANCE = "2026-07"


QUARTER = re.compile(
    r"20(23|24|25|26)-(01|04|07|10)"
)  # there were versions of these months, the oldest are gone


@dataclass(frozen=True)
class Version:
    value: str
    kind: str
    display_name: str

    @property
    def before_2026_10(self) -> bool:
        """Whether users still have the fields that 2026-10 removed."""
        return self.value < CURRENT


VERSIONS = (
    Version("2025-01", "deprecated", "Deprecated"),
    Version("2025-04", "deprecated", "Deprecated"),
    Version("2026-01", "deprecated", "Deprecated"),
    Version("2026-04", "previous_maintenance", "Previous maintenance"),
    Version(MAINTENANCE, "maintenance", "Maintenance"),
    Version(CURRENT, "current", "Current"),
    Version("2027-01", "release_candidate", "Release candidate"),
    Version("dev", "dev", "Development"),
)


def served(asked: str | None) -> Version:
    """The version that answers: deprecated ones are served by maintenance, unknown ones by the current."""
    known = {version.value: version for version in VERSIONS}
    if not asked:
        return known[CURRENT]
    if asked != "dev" and not re.fullmatch(r"\d{4}-\d{2}", asked):
        raise RequestError(400, f"Invalid API version {asked!r}", "InvalidVersionException")
    was_once = bool(QUARTER.fullmatch(asked)) and asked < MAINTENANCE
    found = known.get(asked) or known[MAINTENANCE if was_once else CURRENT]
    return known[MAINTENANCE] if found.kind == "deprecated" else found
