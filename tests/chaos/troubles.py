"""Acts of scripts: what goes wrong, and what the clock and Beat do. The number is the weight in a draw."""

from tests.chaos.generating import MAX_POINTS, Cast, act

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
    {"cursor": "same", "count": 3},
    {"unreadable": "first"},
)
WITHOUT_EFFECT = (
    {"swallow": True},
    {"swallow": True, "count": 2},
    {"swallow": True, "columns": ["role_title", "notes"], "count": 3},
    {"swallow": True, "on": "create_item"},
    {"swallow": True, "columns": ["email", "notes"], "on": "create_item"},
)
WEBHOOK_RULES = (
    {"rule": "drop", "count": 4},
    {"rule": "double", "count": 4, "times": 3},
    {"rule": "double", "count": 4, "fresh_uuid": True},
    {"rule": "delay", "seconds": 120, "count": 4},
    {"rule": "delay", "seconds": 3600, "count": 4},
    {"rule": "delay", "seconds": [20, 0, 5], "count": 6},
    {"rule": "hold"},
)


@act(1.5)
def automation(cast: Cast) -> None:
    """Monday rewrites what we write, once or several times."""
    handle = cast.someone()
    key = cast.key_of(handle)
    times = cast.rng.choice((1, 1, 2, 8))
    cast.do("automation", handle=handle, key=key, number=cast.token(times), times=times)
    cast.do("patch", handle=handle, key=key, number=cast.token())
    for _ in range(min(times, 3)):
        cast.work()


@act(4)
def someone_is_faster(cast: Cast) -> None:
    """People edit while a worker is stopped between two points."""
    handle = cast.someone()
    key = cast.key_of(handle)
    cast.do(cast.rng.choice(("patch", "edit")), handle=handle, key=key, number=cast.token())
    cast.do("deliver")
    cast.do("hold_worker", at=cast.rng.randint(1, MAX_POINTS))
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


@act(4)
def killed(cast: Cast) -> None:
    """A worker is killed between two writes; time may pass before the next one runs."""
    handle = cast.someone()
    cast.do(cast.rng.choice(("patch", "edit")), handle=handle, key=cast.key_of(handle), number=cast.token())
    if cast.rng.random() < 0.3:
        cast.do("create", handle=cast.newcomer("contact"), entity="contact", keys=["email"], number=cast.token())
    cast.do("deliver")
    if cast.rng.random() < 0.3:
        cast.do("kill_worker", at=1, only=cast.deal(("a mutation about to go", "a query about to go", "an answer")))
    else:
        cast.do("kill_worker", at=cast.rng.randint(1, MAX_POINTS))
    if cast.rng.random() < 0.4:
        cast.do("edit", handle=handle, key=cast.key_of(handle), number=cast.token())
    if cast.rng.random() < 0.7:
        cast.do("clock", seconds=200)
    cast.work()


@act(1)
def two_workers(cast: Cast) -> None:
    for _ in range(2):
        handle = cast.someone()
        cast.do("patch", handle=handle, key=cast.key_of(handle), number=cast.token())
    cast.do("two_workers")


@act(2)
def a_call_fails(cast: Cast) -> None:
    """A call fails while there is something to send."""
    fault = cast.deal(API_FAULTS)
    handle = cast.someone()
    if cast.rng.random() < 0.4:
        cast.do("create", handle=cast.newcomer("contact"), entity="contact", keys=["email"], number=cast.token())
    cast.do("patch", handle=handle, key=cast.key_of(handle), number=cast.token())
    cast.do("api_fault", fault=fault)
    cast.work()
    if cast.rng.random() < 0.4:
        cast.do("edit", handle=handle, key=cast.key_of(handle), number=cast.token())
    if cast.rng.random() < 0.6:
        cast.later(cast.rng.choice((10, 70, 200)))


@act(1)
def a_write_has_no_effect(cast: Cast) -> None:
    """Monday answers a write and doesn't carry it out; then somebody edits the item."""
    fault = cast.deal(WITHOUT_EFFECT)
    cast.do("api_fault", fault=fault)
    if fault.get("on"):
        handle = cast.newcomer("contact")
        cast.do("create", handle=handle, entity="contact", keys=cast.keys("contact"), number=cast.token())
        key = cast.key_of(handle)
    else:
        handle = cast.someone()
        key = cast.key_of(handle)
        cast.do("patch", handle=handle, key=key, number=cast.token())
    cast.work()
    if cast.rng.random() < 0.6:
        cast.do("edit", handle=handle, key=key, number=cast.token())
        cast.work()


@act(2.5)
def a_list_is_not_whole(cast: Cast) -> None:
    """A sweep gets a truncated or empty list, or an expired cursor."""
    fault = cast.deal(LISTING_FAULTS)
    if "cursor" in fault:
        cast.six_synced()  # else there is no second page
    cast.do("api_fault", fault=fault)
    cast.do("reconcile" if "cursor" in fault else cast.rng.choice(("reconcile", "beat")))
    cast.work()


@act(2)
def webhooks_go_astray(cast: Cast) -> None:
    """Webhooks are lost, doubled, delayed, kept or reordered while somebody edits."""
    rule = cast.deal(WEBHOOK_RULES)
    cast.do("webhook_rule", rule=dict(rule))
    for _ in range(cast.rng.randint(1, 3)):
        handle = cast.someone()
        cast.do("edit", handle=handle, key=cast.key_of(handle), number=cast.token())
    cast.work()
    if rule["rule"] == "hold":
        how = cast.deal(("send", "double", "shuffle", "drop"))
        cast.do("release", how=how, number=cast.token())
        cast.work()
    elif rule["rule"] == "delay" and cast.rng.random() < 0.6:
        cast.later((20 if isinstance(rule["seconds"], list) else rule["seconds"]) + 5)


@act(1.2)
def forge(cast: Cast) -> None:
    handle = cast.someone()
    door = cast.deal(("bare", "signed wrong", "wrong token", "path"))
    cast.do("forge", handle=handle, key=cast.key_of(handle), number=cast.token(), door=door)


@act(2)
def time_passes(cast: Cast) -> None:
    cast.later(cast.rng.choice((5, 15, 70, 200, 400, 700, 3700)))


@act(1)
def beat(cast: Cast) -> None:
    cast.do("beat")
    cast.work()


@act(0.5)
def reconcile(cast: Cast) -> None:
    cast.do("reconcile")


@act(0.3)
def no_beat(cast: Cast) -> None:
    cast.do("stop_beat")


@act(0.4)
def flush_broker(cast: Cast) -> None:
    handle = cast.someone()
    cast.do("patch", handle=handle, key=cast.key_of(handle), number=cast.token())
    cast.do("flush_broker")


@act(0.25)
def restart_postgres(cast: Cast) -> None:
    handle = cast.someone()
    cast.do("patch", handle=handle, key=cast.key_of(handle), number=cast.token())
    cast.do("restart_postgres")
    cast.do("patch", handle=handle, key=cast.key_of(handle), number=cast.token())
    cast.work()


@act(0.1)
def kill_celery(cast: Cast) -> None:
    cast.do("kill_celery")
