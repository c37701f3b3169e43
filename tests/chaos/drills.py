"""Acts that each show one fault for certain if the product has it, on a contact that no other act touches."""

from tests.chaos.generating import Cast, act


def synced(cast: Cast) -> str:
    """Make a contact in sync with all fields filled in and every webhook processed, while all else is calm."""
    cast.do("calm")
    handle = cast.stranger()
    keys = ["email", "phone", "role_title", "notes"]
    cast.do("create", handle=handle, entity="contact", keys=keys, number=cast.token())
    cast.do_all("work", "deliver", "work")
    return handle


def _patch(cast: Cast, handle: str, key: str = "role_title") -> None:
    cast.do("patch", handle=handle, key=key, number=cast.token())


def _edit(cast: Cast, handle: str, key: str = "role_title") -> None:
    cast.do("edit", handle=handle, key=key, number=cast.token())


@act(0.5)
def drill_emptied_in_npd(cast: Cast) -> None:
    handle = synced(cast)
    cast.do("patch", handle=handle, key="role_title", number=0)
    cast.do("work")


@act(0.5)
def drill_emptied_on_monday(cast: Cast) -> None:
    handle = synced(cast)
    cast.do("edit", handle=handle, key="role_title", number=0)
    cast.do_all("deliver", "work")


@act(0.5)
def drill_saved_while_pulled(cast: Cast) -> None:
    """A save comes between our read and our pull of another value."""
    handle = synced(cast)
    _edit(cast, handle)
    cast.do("deliver")
    cast.do("hold_worker", at=1, only="an answer")
    _patch(cast, handle)
    cast.do("let_go")
    cast.work()


@act(0.5)
def drill_echo_comes_late(cast: Cast) -> None:
    """The webhook of our own write arrives after the next save."""
    handle = synced(cast)
    cast.do("webhook_rule", rule={"rule": "hold"})
    _patch(cast, handle)
    cast.do("work")
    _patch(cast, handle)
    cast.do("release", how="send", number=1)
    cast.do_all("deliver", "work")


@act(0.5)
def drill_create_without_answer(cast: Cast) -> None:
    """One call creates two items, its answer is lost, and their webhooks come much later."""
    cast.do("calm")
    for handle in (cast.stranger(), cast.stranger()):
        cast.do("create", handle=handle, entity="contact", keys=["role_title"], number=cast.token())
    cast.do("webhook_rule", rule={"rule": "hold"})
    cast.do("api_fault", fault={"timeout": "after", "on": "create_item"})
    cast.do("work")
    for _ in range(3):
        cast.work_after(200)
    cast.do("release", how="send", number=1)
    cast.work()


@act(0.5)
def drill_two_at_one_board(cast: Cast) -> None:
    """A worker is stopped after its read; another comes by, and people go on editing."""
    handle = synced(cast)
    _patch(cast, handle)
    cast.do("hold_worker", at=1, only="an answer")
    cast.do("work")
    _patch(cast, handle)
    cast.do_all("work", "let_go")


@act(0.5)
def drill_frozen_past_its_lease(cast: Cast) -> None:
    """A worker is stopped until its lease is over; another does its work, then the first continues."""
    handle = synced(cast)
    _patch(cast, handle)
    cast.do("hold_worker", at=1, only="an answer")
    cast.work_after(200)
    _patch(cast, handle)
    cast.do_all("work", "deliver", "work")
    cast.do("let_go", silent=True)


@act(0.5)
def drill_record_that_kills(cast: Cast) -> None:
    """Every worker that takes this record dies before it reads; the record is given up until somebody saves it."""
    handle = synced(cast)
    _patch(cast, handle)
    for _ in range(7):
        cast.do("kill_worker", at=1, only="a query about to go")
        cast.do("clock", seconds=4200)
    cast.do("expect_attempts", handle=handle, kills=7)
    _patch(cast, handle)
    cast.do("work")


@act(0.5)
def drill_item_not_shown(cast: Cast) -> None:
    handle = synced(cast)
    cast.do("clock", seconds=1_000)  # later than any read lags behind its create
    _edit(cast, handle)
    cast.do("deliver")
    cast.do("api_fault", fault={"listing": "empty", "on": "items"})
    cast.work()


@act(0.5)
def drill_same_address_again(cast: Cast) -> None:
    """A second item has the email address of a contact that already has an item."""
    cast.do("calm")
    email = cast.token()
    handle = cast.stranger()
    cast.do("create", handle=handle, entity="contact", keys=["role_title"], number=cast.token(), email=email)
    cast.do_all("work", "deliver", "work")
    other = cast.stranger()
    cast.do("add", handle=other, entity="contact", keys=["role_title"], number=cast.token(), email=email)
    cast.do("deliver")
    cast.later(15)


@act(0.5)
def drill_column_hidden(cast: Cast) -> None:
    """A column is hidden from the token's user for a while, so its values are unknown."""
    handle = synced(cast)
    cast.do("hide_column", entity="contact", key="role_title", hidden=True)
    _edit(cast, handle, "name")
    cast.work()
    cast.do("hide_column", entity="contact", key="role_title", hidden=False)
    cast.work()


@act(0.5)
def drill_forged(cast: Cast) -> None:
    """Somebody who knows the webhook address's secret sends a made-up value."""
    handle = synced(cast)
    cast.do("forge", handle=handle, key="role_title", number=cast.token(), door="path")
    cast.do("work")


@act(0.5)
def drill_missed_shortly_before_a_sweep(cast: Cast) -> None:
    """A webhook is lost, and the sweep right after it leaves such a fresh change to the next sweep."""
    handle = synced(cast)
    cast.do("clock", seconds=700)
    cast.do("webhook_rule", rule={"rule": "drop", "count": 2})
    _edit(cast, handle)
    cast.do_all("beat", "work")


@act(1.5)
def drill_edited_under_our_hands(cast: Cast) -> None:
    """Somebody edits a cell between our read and our write, which replaces a value that NPD never saw."""
    handle = synced(cast)
    _patch(cast, handle)
    cast.do("hold_worker", at=1, only="a mutation about to go")
    _edit(cast, handle)
    cast.do("let_go")
    cast.work()
    if cast.rng.random() < 0.5:
        cast.do_all("deliver", "work")
        cast.do("resolve", how=cast.deal(("keep_npd", "keep_monday", "merge")), number=cast.token(6), pick=1)
        cast.work()


@act(0.5)
def drill_killed_after_its_write(cast: Cast) -> None:
    """Our write took effect, the worker died, and the record is saved again."""
    handle = synced(cast)
    _patch(cast, handle)
    cast.do("kill_worker", at=2, only="an answer")
    _patch(cast, handle)
    cast.later(200)


@act(0.5)
def drill_saved_slowly(cast: Cast) -> None:
    """A save stays uncommitted beside its record's waiting row while a worker begins; no webhook helps later."""
    handle = synced(cast)
    cast.do("deliver")
    cast.work_after(15)  # a webhook that came before its record was linked waits ten seconds
    cast.do("webhook_rule", rule={"rule": "hold"})
    _patch(cast, handle)
    cast.do("begin_save", handle=handle, key="notes", number=cast.token())
    cast.do("hold_worker", at=1, only="a query about to go")
    cast.do_all("commit_save", "let_go", "work")
    cast.do("release", how="drop", number=1)


def _lag(cast: Cast, edits: float, writes: float, rows: tuple[float, ...] = (0,)) -> None:
    kinds = ["cells", "names", "states", "new", "listings", "searches"]
    cast.do("lag", kinds=kinds, edits=edits, writes=writes, rows=list(rows))


@act(0.5)
def drill_told_before_it_is_shown(cast: Cast) -> None:
    """A webhook comes before reads show the edit."""
    handle = synced(cast)
    cast.do("clock", seconds=1_000)
    _lag(cast, edits=20, writes=20)
    _edit(cast, handle)
    cast.do_all("deliver", "work")
    cast.work_after(30)
    cast.work_after(60)
    cast.do("expect_equal", handle=handle, key="role_title")


@act(0.5)
def drill_saved_just_after_an_edit(cast: Cast) -> None:
    """Reads show a person's edit while they don't show our later write yet."""
    handle = synced(cast)
    cast.do("clock", seconds=1_000)
    _lag(cast, edits=10, writes=60)
    # The edit is reported once reads show it, our write much later.
    cast.do("webhook_rule", rule={"rule": "delay", "seconds": [14, 3600], "count": 2})
    _edit(cast, handle)
    _patch(cast, handle)
    cast.do("work")
    cast.do("clock", seconds=15)
    cast.do_all("deliver", "work")
    cast.later(100)
    cast.do("expect_equal", handle=handle, key="role_title")


@act(0.5)
def drill_saved_before_its_item_is_shown(cast: Cast) -> None:
    """A contact is saved again moments after its create, before reads return its item."""
    cast.do("calm")
    _lag(cast, edits=0, writes=20)
    cast.do("webhook_rule", rule={"rule": "hold"})
    handle = cast.stranger()
    cast.do("create", handle=handle, entity="contact", keys=["email"], number=cast.token())
    cast.do("work")
    _patch(cast, handle)
    cast.do("work")
    for seconds in (30, 60):
        cast.work_after(seconds)
    cast.do("expect_equal", handle=handle, key="role_title")


@act(0.5)
def drill_pulled_at_once(cast: Cast) -> None:
    """Where nothing lags an edit is in NPD after one pass."""
    handle = synced(cast)
    _lag(cast, edits=0, writes=0)
    _edit(cast, handle)
    cast.do_all("deliver", "work")
    cast.do("expect_equal", handle=handle, key="role_title")


@act(0.5)
def drill_moved_and_back(cast: Cast) -> None:
    handle = synced(cast)
    cast.do("move_to_other_board", handle=handle, elsewhere=True)
    cast.do("clock", seconds=60)
    cast.do("move_back", handle=handle)
    cast.do("clock", seconds=700)
    cast.do_all("beat", "work")


@act(0.5)
def drill_change_without_effect(cast: Cast) -> None:
    """A save is answered twice and not carried out; then somebody edits the cell."""
    handle = synced(cast)
    cast.do("api_fault", fault={"swallow": True, "count": 2})
    _patch(cast, handle)
    cast.do("work")
    _edit(cast, handle)
    cast.do_all("deliver", "work")


@act(0.5)
def drill_write_that_never_lands(cast: Cast) -> None:
    """For an hour Monday answers each write of a record and carries none out."""
    handle = synced(cast)
    cast.do("clock", seconds=4_000)
    cast.do("api_fault", fault={"swallow": True, "count": 1_000})
    _patch(cast, handle)
    for _ in range(25):
        cast.do("work")
        cast.do("clock", seconds=130)


@act(0.5)
def drill_create_without_a_value(cast: Cast) -> None:
    cast.do("calm")
    cast.do("api_fault", fault={"swallow": True, "columns": ["email", "role_title"], "on": "create_item"})
    keys = ["email", "phone", "role_title", "notes"]
    cast.do("create", handle=cast.stranger(), entity="contact", keys=keys, number=cast.token())
    cast.do_all("work", "deliver", "work")


@act(0.5)
def drill_writes_fail_for_an_hour(cast: Cast) -> None:
    """Monday answers reads and fails every write for an hour, while workers go on."""
    synced(cast)
    cast.do("api_fault", fault={"status": 500, "on": "mutation", "count": 1_000})
    for handle in (cast.stranger(), cast.stranger()):
        cast.do("create", handle=handle, entity="contact", keys=["email"], number=cast.token())
    for _ in range(30):
        cast.do("work")
        cast.do("clock", seconds=115)
    cast.do("calm")
