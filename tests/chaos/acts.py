"""Acts of scripts: what people do on both sides. The number is the weight in a draw."""

from tests.chaos.generating import Cast, act


@act(9)
def edit_in_npd(cast: Cast) -> None:
    handle = cast.someone()
    cast.do("patch", handle=handle, key=cast.key_of(handle), number=cast.token())


@act(9)
def edit_on_monday(cast: Cast) -> None:
    handle = cast.someone()
    cast.do("edit", handle=handle, key=cast.key_of(handle), number=cast.token())


@act(5)
def edit_both(cast: Cast) -> None:
    """Both sides change the same field before a worker runs."""
    handle = cast.someone()
    key = cast.key_of(handle)
    names = ("patch", "edit") if cast.rng.random() < 0.5 else ("edit", "patch")
    for name in names:
        cast.do(name, handle=handle, key=key, number=cast.token())
    cast.work()


@act(4)
def clear(cast: Cast) -> None:
    handle = cast.someone()
    side = cast.rng.choice(("patch", "edit"))
    cast.do(side, handle=handle, key=cast.key_of(handle, may_be_empty=True), number=0)


@act(1)
def stale_etag(cast: Cast) -> None:
    handle = cast.someone()
    cast.do("patch", handle=handle, key=cast.key_of(handle), number=cast.token(2), how="stale")


@act(3)
def stale_form(cast: Cast) -> None:
    """Somebody opens an admin page, others change the record, then the page is saved."""
    handle = cast.someone()
    cast.forms += 1
    form, key = f"f{cast.forms}", cast.key_of(handle)
    cast.do("open_form", handle=handle, form=form)
    other = cast.rng.choice((key, cast.key_of(handle)))
    cast.do(cast.rng.choice(("patch", "edit")), handle=handle, key=other, number=cast.token())
    if cast.rng.random() < 0.7:
        cast.work()
    cast.do("save_form", form=form, key=key, number=cast.token(), insist=cast.rng.random() < 0.5)


@act(3)
def create(cast: Cast) -> None:
    entity = cast.any_type()
    cast.do("create", handle=cast.newcomer(entity), entity=entity, keys=cast.keys(entity), number=cast.token())


@act(3)
def add(cast: Cast) -> None:
    """Add an item to the board, often with enough time for it to become a record."""
    entity = cast.any_type()
    keys = cast.keys(entity)
    cast.do("add", handle=cast.newcomer(entity), entity=entity, keys=keys, number=cast.token())
    if cast.rng.random() < 0.6:
        cast.do("deliver")
        cast.later(cast.rng.choice((15, 330)))


@act(2)
def same_person_on_both_sides(cast: Cast) -> None:
    """Both sides get the same email address before a worker runs."""
    email = cast.token()
    steps = [
        ("create", {"keys": ["role_title"], "number": cast.token()}),
        ("add", {"keys": ["role_title"], "number": cast.token()}),
    ]
    cast.rng.shuffle(steps)
    for name, args in steps[: cast.rng.choice((2, 2, 2, 1))]:
        cast.do(name, handle=cast.newcomer("contact"), entity="contact", email=email, **args)
    if cast.rng.random() < 0.3:
        cast.do("add", handle=cast.newcomer("contact"), entity="contact", keys=[], number=cast.token(), email=email)
    cast.work()
    cast.later(15)


@act(1)
def import_new(cast: Cast) -> None:
    handles = [cast.newcomer("contact") for _ in range(cast.rng.randint(2, 5))]
    cast.do("import_new", handles=handles, number=cast.token(len(handles)))


@act(1)
def import_update(cast: Cast) -> None:
    """One statement writes a field of several records."""
    handles = sorted({cast.someone("contact") for _ in range(4)} - {""})
    empties = cast.rng.random() < 0.2
    key = cast.rng.choice(("role_title", "notes", "phone"))
    cast.do("import_update", handles=handles, key=key, number=0 if empties else cast.token(len(handles) or 1))


@act(2)
def delete_record(cast: Cast) -> None:
    """Delete a record in NPD; sometimes its item was edited just before."""
    handle = cast.someone()
    if cast.rng.random() < 0.4:
        cast.do("edit", handle=handle, key=cast.key_of(handle), number=cast.token())
    cast.do("delete", handle=handle)
    cast.work()


@act(2)
def remove_item(cast: Cast) -> None:
    """Archive or delete an item; its record may have been edited, and the item may be restored later."""
    handle = cast.someone()
    if cast.rng.random() < 0.4:
        cast.do("patch", handle=handle, key=cast.key_of(handle), number=cast.token())
    cast.do("move_state", handle=handle, action=cast.rng.choice(("archive", "delete")))
    cast.work()
    if cast.rng.random() < 0.6:
        cast.later(cast.rng.choice((60, 660)))
    if cast.rng.random() < 0.5:
        cast.do("move_state", handle=handle, action="restore")
        cast.work()


@act(0.7)
def restore_after_delete(cast: Cast) -> None:
    """A record is deleted, the sync removes its item, and a person restores the item."""
    handle = cast.someone()
    cast.do("delete", handle=handle)
    cast.do("work")
    cast.work_after(700)
    cast.do("move_state", handle=handle, action="restore")
    cast.do_all("deliver", "work")


@act(0.7)
def move_to_other_board(cast: Cast) -> None:
    cast.do("move_to_other_board", handle=cast.someone())
    cast.work()


@act(0.7)
def moves_and_comes_back(cast: Cast) -> None:
    """An item goes to another board, which has no column for some cells, and comes back without them."""
    handle = cast.someone()
    cast.do("move_to_other_board", handle=handle, elsewhere=cast.rng.random() < 0.7)
    if cast.rng.random() < 0.5:
        cast.work()
        cast.later(cast.rng.choice((5, 60, 700)))
    if cast.rng.random() < 0.3:
        cast.do("patch", handle=handle, key=cast.key_of(handle), number=cast.token())
    cast.do("move_back", handle=handle)
    if cast.rng.random() < 0.4:
        cast.do("edit", handle=handle, key=cast.key_of(handle), number=cast.token())
    cast.work()


@act(1)
def duplicate(cast: Cast) -> None:
    cast.do("duplicate", handle=cast.someone())
    cast.work()
    if cast.rng.random() < 0.5:
        cast.later(15)


@act(1)
def edits_a_copy(cast: Cast) -> None:
    """Somebody edits a copy between the answer that it is one and the pass that archives it."""
    handle = cast.someone()
    cast.do("duplicate", handle=handle)
    cast.do_all("deliver", "work")
    cast.later(15)
    key = cast.key_of(handle, may_be_empty=True)
    steps = [
        ("answer_copy", {"choose": "archive"}),
        ("edit_copy", {"handle": handle, "key": key, "number": cast.token()}),
    ]
    for name, args in steps if cast.rng.random() < 0.8 else steps[::-1]:
        cast.do(name, **args)
    cast.work()


@act(2)
def switch_sync(cast: Cast) -> None:
    cast.do("toggle", handle=cast.someone(), name="sync_enabled", value=cast.rng.random() < 0.5)


@act(1)
def switch_off_and_on(cast: Cast) -> None:
    """Both sides are edited while sync is off."""
    handle = cast.someone()
    cast.do("toggle", handle=handle, name="sync_enabled", value=False)
    cast.do("patch", handle=handle, key=cast.key_of(handle), number=cast.token())
    cast.do("edit", handle=handle, key=cast.key_of(handle), number=cast.token())
    cast.work()
    cast.do("toggle", handle=handle, name="sync_enabled", value=True)
    cast.work()


@act(2)
def change_direction(cast: Cast) -> None:
    ways = ("bidirectional", "bidirectional", "npd_to_monday", "monday_to_npd", "none")
    cast.do("toggle", handle=cast.someone(), name="sync_direction", value=cast.rng.choice(ways))


@act(0.5)
def push_by_name(cast: Cast) -> None:
    cast.do("push_by_name", handle=cast.someone())


@act(1)
def change_rule(cast: Cast) -> None:
    """Change a field's conflict rule, then edit the field on both sides."""
    rules = ("ask", "npd_wins", "monday_wins", "newest")
    key = cast.rng.choice(("role_title", "notes", "phone"))
    cast.do("change_mapping", entity="contact", key=key, name="rule", value=cast.deal(rules))
    handle = cast.someone("contact")
    if handle:
        cast.do("patch", handle=handle, key=key, number=cast.token())
        cast.do("edit", handle=handle, key=key, number=cast.token())
        cast.work()


@act(0.7)
def change_mapping(cast: Cast) -> None:
    """Map a field anew, or change its direction."""
    key = cast.rng.choice(("role_title", "notes", "phone"))
    if cast.rng.random() < 0.4:
        cast.do("change_mapping", entity="contact", key=key, name="version", value=None)
    else:
        way = cast.rng.choice(("npd_to_monday", "monday_to_npd", "bidirectional"))
        cast.do("change_mapping", entity="contact", key=key, name="direction", value=way)


@act(0.7)
def change_policy(cast: Cast) -> None:
    """Change what happens to a record without its item, or to an item without its record."""
    if cast.rng.random() < 0.5:
        value = cast.rng.choice(("ask", "unlink", "delete_record", "create_item"))
        cast.do("change_policy", entity=cast.any_type(), name="removed_item_policy", value=value)
    else:
        value = cast.rng.choice(("archive_item", "delete_item", "unlink", "ask"))
        cast.do("change_policy", entity=cast.any_type(), name="deleted_record_policy", value=value)


@act(3)
def resolve(cast: Cast) -> None:
    how = cast.deal(("keep_npd", "keep_monday", "merge"))
    cast.do("resolve", how=how, number=cast.token(6), pick=cast.rng.randrange(5))
    cast.work()


@act(1.5)
def resolve_a_stale_screen(cast: Cast) -> None:
    """Somebody opens the conflicts, a side changes, then they choose."""
    handle = cast.someone()
    key = cast.key_of(handle)
    cast.do("look_at_conflicts")
    cast.do(cast.rng.choice(("patch", "edit")), handle=handle, key=key, number=cast.token())
    if cast.rng.random() < 0.6:
        cast.work()
    how = cast.deal(("keep_npd", "keep_monday", "merge"))
    cast.do("resolve", how=how, number=cast.token(6), pick=cast.rng.randrange(5), look=False)
    cast.work()


@act(1)
def undo_conflict(cast: Cast) -> None:
    """Undo a resolution, at once or after another edit."""
    edit_both(cast)
    resolve(cast)
    if cast.rng.random() < 0.4:
        handle = cast.someone()
        cast.do(cast.rng.choice(("patch", "edit")), handle=handle, key=cast.key_of(handle), number=cast.token())
    cast.do("undo_conflict", pick=cast.rng.randrange(5))
    cast.work()


@act(1)
def undo_change(cast: Cast) -> None:
    """Undo a change that came from the other side."""
    handle = cast.someone()
    cast.do("edit", handle=handle, key=cast.key_of(handle), number=cast.token())
    cast.work()
    cast.do("undo_change", pick=cast.rng.randrange(4))
    cast.work()


@act(0.8)
def deletes_in_bulk(cast: Cast) -> None:
    """Delete more records than the guard lets pass; somebody approves, rejects or ignores it."""
    handles = cast.six_synced()
    cast.do("delete_many", handles=handles)
    cast.do_all("work", "look_what_went")
    _decide(cast)


@act(0.8)
def empties_in_bulk(cast: Cast) -> None:
    """Empty a field of more records than the guard lets pass."""
    handles = cast.six_synced()
    cast.do("empty_many", handles=handles, key="role_title")
    cast.do("work")
    cast.do("look_what_went", key="role_title")
    _decide(cast)


def _decide(cast: Cast) -> None:
    how = cast.deal(("approve", "reject", ""))
    if how:
        cast.do("decide_guarded", how=how)
        cast.work()
