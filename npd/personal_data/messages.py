"""What is said of erasing a person, by code: why it can't be done now, and what to do."""

from __future__ import annotations

from enum import StrEnum

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from npd.personal_data.traces import NamedIn


class ErasureProblem(StrEnum):
    """Why nobody was erased."""

    BOARD_BUSY = "board_busy"
    OUTCOME_UNKNOWN = "outcome_unknown"
    NAMED_IN_RECORDS = "named_in_records"
    IMPORT_BEING_READ = "import_being_read"
    BOARD_UNAVAILABLE = "board_unavailable"
    ITEM_NOT_DELETED = "item_not_deleted"


PROBLEM_TEXTS = {
    ErasureProblem.BOARD_BUSY: gettext_lazy(
        "A worker is syncing the board at this moment, and might store again what is erased. Nothing was done. Try "
        "again in a minute."
    ),
    ErasureProblem.OUTCOME_UNKNOWN: gettext_lazy(
        "A call to Monday about this person has no answer yet, so it is not known which items there are. Nothing "
        "was done. Try again in some minutes."
    ),
    ErasureProblem.NAMED_IN_RECORDS: gettext_lazy(
        "Other records name this person: %(where)s. Nothing was done. Take that out of them, wait until they are "
        "synced, and erase the person then: what their activity says of it is erased, too."
    ),
    ErasureProblem.IMPORT_BEING_READ: gettext_lazy(
        "A file that was chosen for an import waits to be read, and may name this person. Nothing was done. Try again "
        "when it is read, or discard it."
    ),
    ErasureProblem.BOARD_UNAVAILABLE: gettext_lazy(
        "Monday can't be called: %(why)s Nothing was done. Try again when it can, or leave the item on the board."
    ),
    ErasureProblem.ITEM_NOT_DELETED: gettext_lazy(
        "Monday didn't delete the item: %(why)s Nothing was erased in NPD. Try again, or leave the item on the board."
    ),
}
"""Each says what is so, why, and what to do."""


def naming_text(found: list[NamedIn]) -> list[str]:
    """Return where other records name the person, as “Acme” (notes)."""

    def labels(one: NamedIn) -> str:
        fields = {field.column: field for field in one.record._meta.concrete_fields}
        names = [str(fields[name].verbose_name) for name in one.columns]
        return ", ".join(names) or _("taken out, and not synced yet")

    return [f"“{one.record}” ({labels(one)})" for one in found]


ERASED_SENTENCE = gettext_lazy("The person is erased: %(rows)s rows in %(tables)s tables.")
