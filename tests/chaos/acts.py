"""The acts that scripts are made of: what people do, and what goes wrong. Weights are of one draw."""

from __future__ import annotations

from tests.chaos.generating import MOST_POINTS, Cast, act

API_FAULTS = (
    {"status": 500, "on": "mutation"},
    {"status": 503},
    {"status": 423, "on": "mutation"},
    {"timeout": "before"},
    {"timeout": "after"},
    {"timeout": "before", "on": "create_item"},
    {"timeout": "after", "on": "create_item"},
    {"timeout": "after", "count": 3},
    {"limit": "complexity", "retry_in": 20},
    {"limit": "minute", "retry_in": 30},
    {"limit": "daily", "retry_in": 3600},
    {"limit": "concurrency", "retry_in": 15},
    {"partial": {"every": 2}},
    {"partial": {"every": 1, "code": "InternalServerError"}},
    {"partial": {"every": 1, "applied": True}},
    {"partial": {"every": 2, "no_data": True}},
    {"slow": 0.3},
    {"stale": 60},
    {"status": 429, "retry_after": 30},
    {"status": 401, "count": 2},
)
LISTING_FAULTS = (
    {"listing": "empty"},
    {"listing": 1},
    {"cursor": "expired"},
    {"listing": "empty", "on": "items"},
)
WEBHOOK_RULES = (
    {"rule": "drop", "count": 4},
    {"rule": "double", "count": 4, "times": 3},
    {"rule": "double", "count": 4, "fresh_uuid": True},
    {"rule": "delay", "seconds": 120, "count": 4},
    {"rule": "delay", "seconds": 3600, "count": 4},
    {"rule": "reorder", "n": 4, "seed": 5},
    {"rule": "hold"},
)


@act(9)
def edit_in_npd(cast: Cast) -> None:
    """By API, with the ETag."""
    handle = cast.someone()
    cast.do("patch", handle=handle, key=cast.key_of(handle), number=cast.token())


@act(9)
def edit_on_monday(cast: Cast) -> None:
    """On the board; the name is a rename."""
    handle = cast.someone()
    cast.do("edit", handle=handle, key=cast.key_of(handle), number=cast.token())


@act(5)
def edit_both(cast: Cast) -> None:
    """The same field, differently, before anybody works."""
    handle = cast.someone()
    key = cast.key_of(handle)
    both = ("patch", "edit") if cast.rng.random() < 0.5 else ("edit", "patch")
    for name in both:
        cast.do(name, handle=handle, key=key, number=cast.token())
    cast.work()


@act(2)
def clear_in_npd(cast: Cast) -> None:
    """A field is emptied."""
    handle = cast.someone()
    cast.do("patch", handle=handle, key=cast.key_of(handle, may_be_empty=True), number=0)


@act(2)
def clear_on_monday(cast: Cast) -> None:
    """A cell is emptied."""
    handle = cast.someone()
    cast.do("edit", handle=handle, key=cast.key_of(handle, may_be_empty=True), number=0)


@act(1)
def stale_etag(cast: Cast) -> None:
    """Two colleagues at once."""
    handle = cast.someone()
    cast.do("patch", handle=handle, key=cast.key_of(handle), number=cast.token(2), how="stale")


@act(3)
def stale_form(cast: Cast) -> None:
    """A page of the admin is opened, others are faster, it is saved."""
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
    """A new record in NPD."""
    entity = cast.any_type()
    cast.do(
        "create", handle=cast.newcomer(entity), entity=entity, keys=cast.keys(entity), number=cast.token()
    )


@act(3)
def add(cast: Cast) -> None:
    """A new item on the board, in time to become a record."""
    entity = cast.any_type()
    keys = cast.keys(entity)
    cast.do("add", handle=cast.newcomer(entity), entity=entity, keys=keys, number=cast.token())
    if cast.rng.random() < 0.6:
        cast.do("deliver")
        cast.do("clock", seconds=cast.rng.choice((15, 330)))
        cast.work()


@act(2)
def same_person_on_both_sides(cast: Cast) -> None:
    """The same e-mail address, typed on both sides before anybody works."""
    email = cast.token()
    steps = [
        ("create", {"keys": ["role_title"], "number": cast.token()}),
        ("add", {"keys": ["role_title"], "number": cast.token()}),
    ]
    cast.rng.shuffle(steps)
    for name, args in steps[: cast.rng.choice((2, 2, 2, 1))]:
        cast.do(name, handle=cast.newcomer("contact"), entity="contact", email=email, **args)
    if cast.rng.random() < 0.3:
        cast.do(
            "add",
            handle=cast.newcomer("contact"),
            entity="contact",
            keys=[],
            number=cast.token(),
            email=email,
        )
    cast.work()
    cast.do("clock", seconds=15)
    cast.work()


@act(1)
def import_new(cast: Cast) -> None:
    """A bulk import of new contacts."""
    handles = [cast.newcomer("contact") for _ in range(cast.rng.randint(2, 5))]
    cast.do("import_new", handles=handles, number=cast.token(len(handles)))


@act(1)
def import_update(cast: Cast) -> None:
    """A bulk import that writes one field of many."""
    handles = sorted({cast.someone("contact") for _ in range(4)} - {""})
    empties = cast.rng.random() < 0.2
    key = cast.rng.choice(("role_title", "notes", "phone"))
    cast.do("import_update", handles=handles, key=key, number=0 if empties else cast.token(len(handles) or 1))


@act(2)
def delete_record(cast: Cast) -> None:
    """In NPD; sometimes somebody edits the item meanwhile."""
    handle = cast.someone()
    if cast.rng.random() < 0.4:
        cast.do("edit", handle=handle, key=cast.key_of(handle), number=cast.token())
    cast.do("delete", handle=handle)
    cast.work()


@act(2)
def remove_item(cast: Cast) -> None:
    """Archive or delete an item; sometimes its record was edited; sometimes it is restored soon, or late."""
    handle = cast.someone()
    if cast.rng.random() < 0.4:
        cast.do("patch", handle=handle, key=cast.key_of(handle), number=cast.token())
    cast.do("move_state", handle=handle, action=cast.rng.choice(("archive", "delete")))
    cast.work()
    if cast.rng.random() < 0.6:
        cast.do("clock", seconds=cast.rng.choice((60, 660)))
        cast.work()
    if cast.rng.random() < 0.5:
        cast.do("move_state", handle=handle, action="restore")
        cast.work()


@act(0.7)
def restore_after_delete(cast: Cast) -> None:
    """A record is deleted, its item put away by us, and a person restores that."""
    handle = cast.someone()
    cast.do("delete", handle=handle)
    cast.do("work")
    cast.do("clock", seconds=700)
    cast.do("work")
    cast.do("move_state", handle=handle, action="restore")
    cast.do("deliver")
    cast.do("work")


@act(0.7)
def move_to_other_board(cast: Cast) -> None:
    """An item leaves for the other board."""
    cast.do("move_to_other_board", handle=cast.someone())
    cast.work()


@act(1)
def duplicate(cast: Cast) -> None:
    """“Duplicate item”."""
    cast.do("duplicate", handle=cast.someone())
    cast.work()
    if cast.rng.random() < 0.5:
        cast.do("clock", seconds=15)
        cast.work()


@act(2)
def switch_sync(cast: Cast) -> None:
    """Off or on."""
    cast.do("toggle", handle=cast.someone(), name="sync_enabled", value=cast.rng.random() < 0.5)


@act(1)
def switch_off_and_on(cast: Cast) -> None:
    """Off for a while, in which both sides are edited."""
    handle = cast.someone()
    cast.do("toggle", handle=handle, name="sync_enabled", value=False)
    cast.do("patch", handle=handle, key=cast.key_of(handle), number=cast.token())
    cast.do("edit", handle=handle, key=cast.key_of(handle), number=cast.token())
    cast.work()
    cast.do("toggle", handle=handle, name="sync_enabled", value=True)
    cast.work()


@act(2)
def change_direction(cast: Cast) -> None:
    """Of one record."""
    ways = ("bidirectional", "bidirectional", "npd_to_monday", "monday_to_npd", "none")
    cast.do("toggle", handle=cast.someone(), name="sync_direction", value=cast.rng.choice(ways))


@act(0.5)
def push_by_name(cast: Cast) -> None:
    """“Sync now”."""
    cast.do("push_by_name", handle=cast.someone())


@act(1)
def change_rule(cast: Cast) -> None:
    """Who wins where both sides changed a field."""
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
    """A mapping's direction, or the mapping itself."""
    key = cast.rng.choice(("role_title", "notes", "phone"))
    if cast.rng.random() < 0.4:
        cast.do("change_mapping", entity="contact", key=key, name="version", value=None)
    else:
        way = cast.rng.choice(("npd_to_monday", "monday_to_npd", "bidirectional"))
        cast.do("change_mapping", entity="contact", key=key, name="direction", value=way)


@act(0.7)
def change_policy(cast: Cast) -> None:
    """What becomes of the one when the other is gone."""
    if cast.rng.random() < 0.5:
        value = cast.rng.choice(("ask", "unlink", "delete", "create"))
        cast.do("change_policy", entity=cast.any_type(), name="item_gone", value=value)
    else:
        value = cast.rng.choice(("archive", "delete", "unlink", "ask"))
        cast.do("change_policy", entity=cast.any_type(), name="record_gone", value=value)


@act(3)
def resolve(cast: Cast) -> None:
    """A person settles a conflict."""
    how = cast.deal(("keep_npd", "keep_monday", "merge"))
    cast.do("resolve", how=how, number=cast.token(6), pick=cast.rng.randrange(5))
    cast.work()


@act(1.5)
def resolve_a_stale_screen(cast: Cast) -> None:
    """The screen is opened, a side moves on, the choice comes late."""
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
    """A choice is taken back, at once or when somebody has moved on."""
    handle = cast.someone()
    key = cast.key_of(handle)
    for name in ("patch", "edit"):
        cast.do(name, handle=handle, key=key, number=cast.token())
    cast.work()
    how = cast.deal(("keep_npd", "keep_monday", "merge"))
    cast.do("resolve", how=how, number=cast.token(6), pick=cast.rng.randrange(5))
    cast.work()
    if cast.rng.random() < 0.4:
        cast.do(cast.rng.choice(("patch", "edit")), handle=handle, key=key, number=cast.token())
    cast.do("undo_conflict", pick=cast.rng.randrange(5))
    cast.work()


@act(1)
def undo_change(cast: Cast) -> None:
    """A change that came from the other side is taken back."""
    handle = cast.someone()
    cast.do("edit", handle=handle, key=cast.key_of(handle), number=cast.token())
    cast.work()
    cast.do("undo_change", pick=cast.rng.randrange(4))
    cast.work()


@act(1.5)
def automation(cast: Cast) -> None:
    """Monday rewrites what we write, once or again and again."""
    handle = cast.someone()
    key = cast.key_of(handle)
    times = cast.rng.choice((1, 1, 2, 8))
    cast.do("automation", handle=handle, key=key, number=cast.token(times), times=times)
    cast.do("patch", handle=handle, key=key, number=cast.token())
    for _ in range(min(times, 3)):
        cast.work()


@act(4)
def someone_is_faster(cast: Cast) -> None:
    """Between any two points of a worker's work, people go on."""
    handle = cast.someone()
    key = cast.key_of(handle)
    cast.do(cast.rng.choice(("patch", "edit")), handle=handle, key=key, number=cast.token())
    cast.do("deliver")
    cast.do("hold_worker", at=cast.rng.randint(1, MOST_POINTS))
    for _ in range(cast.rng.randint(1, 2)):
        other = cast.rng.choice((key, key, cast.key_of(handle)))
        number = cast.token() if other == "name" or cast.rng.random() < 0.85 else 0
        cast.do(cast.rng.choice(("patch", "edit")), handle=handle, key=other, number=number)
    if cast.rng.random() < 0.3:
        cast.do("clock", seconds=200)
    if cast.rng.random() < 0.5:
        cast.do("work")
    cast.do("let_go")
    cast.work()


@act(1.5)
def edited_under_our_hands(cast: Cast) -> None:
    """Between our read and our write somebody edits the same cell: our write replaces what nobody here has seen."""
    handle = cast.someone()
    key = cast.key_of(handle)
    cast.do("deliver")
    cast.do("work")
    cast.do("patch", handle=handle, key=key, number=cast.token())
    cast.do("hold_worker", at=1, only="a mutation about to go")
    cast.do("edit", handle=handle, key=key, number=cast.token())
    cast.do("let_go")
    cast.work()
    if cast.rng.random() < 0.5:
        cast.do("deliver")
        cast.do("work")
        how = cast.deal(("keep_npd", "keep_monday", "merge"))
        cast.do("resolve", how=how, number=cast.token(6), pick=1)
        cast.work()


@act(4)
def killed(cast: Cast) -> None:
    """A worker is killed between two writes; time may pass before the next looks."""
    handle = cast.someone()
    cast.do(cast.rng.choice(("patch", "edit")), handle=handle, key=cast.key_of(handle), number=cast.token())
    if cast.rng.random() < 0.3:
        cast.do(
            "create", handle=cast.newcomer("contact"), entity="contact", keys=["email"], number=cast.token()
        )
    cast.do("deliver")
    if cast.rng.random() < 0.3:
        cast.do(
            "kill_worker",
            at=1,
            only=cast.deal(("a mutation about to go", "a query about to go", "an answer")),
        )
    else:
        cast.do("kill_worker", at=cast.rng.randint(1, MOST_POINTS))
    if cast.rng.random() < 0.4:
        cast.do("edit", handle=handle, key=cast.key_of(handle), number=cast.token())
    if cast.rng.random() < 0.7:
        cast.do("clock", seconds=200)
    cast.work()


@act(1)
def poison(cast: Cast) -> None:
    """A record kills its worker again and again: after its last attempt it is left alone until somebody saves it."""
    handle = cast.someone()
    cast.do("work")
    cast.do("patch", handle=handle, key=cast.key_of(handle), number=cast.token())
    for _ in range(cast.rng.choice((3, 4, 7))):
        cast.do("kill_worker", at=cast.rng.randint(5, 12))
        cast.do("clock", seconds=4200)
    cast.do("patch", handle=handle, key=cast.key_of(handle), number=cast.token())
    cast.work()


@act(1)
def two_workers(cast: Cast) -> None:
    """At once."""
    for _ in range(2):
        handle = cast.someone()
        cast.do("patch", handle=handle, key=cast.key_of(handle), number=cast.token())
    cast.do("two_workers")


@act(2)
def a_call_fails(cast: Cast) -> None:
    """With something to send, so that it matters."""
    fault = cast.deal(API_FAULTS)
    handle = cast.someone()
    if cast.rng.random() < 0.4:
        cast.do(
            "create", handle=cast.newcomer("contact"), entity="contact", keys=["email"], number=cast.token()
        )
    cast.do("patch", handle=handle, key=cast.key_of(handle), number=cast.token())
    cast.do("api_fault", fault=fault)
    cast.work()
    if cast.rng.random() < 0.4:
        cast.do("edit", handle=handle, key=cast.key_of(handle), number=cast.token())
    if cast.rng.random() < 0.6:
        cast.do("clock", seconds=cast.rng.choice((10, 70, 200)))
        cast.work()


@act(2.5)
def a_list_is_not_whole(cast: Cast) -> None:
    """A sweep meets a truncated or empty list, or a cursor that is too old."""
    cast.do("api_fault", fault=cast.deal(LISTING_FAULTS))
    cast.do(cast.rng.choice(("reconcile", "beat")))
    cast.work()


@act(2)
def webhooks_go_astray(cast: Cast) -> None:
    """Lost, doubled, late, in another order, kept; somebody edits meanwhile."""
    rule = cast.deal(WEBHOOK_RULES)
    cast.do("webhook_rule", rule=dict(rule))
    for _ in range(cast.rng.randint(1, 3)):
        handle = cast.someone()
        cast.do("edit", handle=handle, key=cast.key_of(handle), number=cast.token())
    cast.work()
    if rule["rule"] in ("hold", "reorder"):
        how = cast.deal(("send", "double", "shuffle", "drop"))
        cast.do("release", how=how, number=cast.token())
        cast.work()
    elif rule["rule"] == "delay" and cast.rng.random() < 0.6:
        cast.do("clock", seconds=rule["seconds"] + 5)
        cast.work()


@act(1.2)
def forge(cast: Cast) -> None:
    """Somebody makes up a webhook."""
    handle = cast.someone()
    door = cast.deal(("bare", "signed wrong", "wrong token", "path"))
    cast.do("forge", handle=handle, key=cast.key_of(handle), number=cast.token(), door=door)


@act(0.7)
def replay(cast: Cast) -> None:
    """Webhooks of before come again."""
    cast.do("replay")
    cast.work()


@act(2)
def time_passes(cast: Cast) -> None:
    """A little or a lot."""
    cast.do("clock", seconds=cast.rng.choice((5, 15, 70, 200, 400, 700, 3700)))
    cast.work()


@act(1)
def beat(cast: Cast) -> None:
    """Sweeps and checks."""
    cast.do("beat")
    cast.work()


@act(0.5)
def reconcile(cast: Cast) -> None:
    """sync_reconcile."""
    cast.do("reconcile")


@act(0.3)
def no_beat(cast: Cast) -> None:
    """From here on."""
    cast.do("stop_beat")


@act(0.4)
def flush_broker(cast: Cast) -> None:
    """With a wake-up in it."""
    handle = cast.someone()
    cast.do("patch", handle=handle, key=cast.key_of(handle), number=cast.token())
    cast.do("flush_broker")


@act(0.25)
def restart_postgres(cast: Cast) -> None:
    """Between two saves."""
    handle = cast.someone()
    cast.do("patch", handle=handle, key=cast.key_of(handle), number=cast.token())
    cast.do("restart_postgres")
    cast.do("patch", handle=handle, key=cast.key_of(handle), number=cast.token())
    cast.work()


@act(0.1)
def kill_celery(cast: Cast) -> None:
    """The real worker."""
    cast.do("kill_celery")


@act(0.8)
def deletes_in_bulk(cast: Cast) -> None:
    """More records than the guard lets go at once; somebody approves, or rejects, or nobody looks."""
    handles = _six_synced(cast)
    cast.do("delete_many", handles=handles)
    cast.do("work")
    cast.do("look_what_went")
    _decide(cast)


@act(0.8)
def empties_in_bulk(cast: Cast) -> None:
    """A field of more records than the guard lets be emptied at once."""
    handles = _six_synced(cast)
    cast.do("empty_many", handles=handles, key="role_title")
    cast.do("work")
    cast.do("look_what_went", key="role_title")
    _decide(cast)


def _six_synced(cast: Cast) -> list[str]:
    handles = [cast.newcomer("contact") for _ in range(6)]
    cast.do("import_new", handles=handles, number=cast.token(6))
    for step in ("work", "deliver", "work"):
        cast.do(step)
    return handles


def _decide(cast: Cast) -> None:
    how = cast.deal(("approve", "reject", ""))
    if how:
        cast.do("decide_guarded", how=how)
        cast.work()
