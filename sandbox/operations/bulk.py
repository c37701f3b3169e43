"""Archive or delete many items in the background, as a job that can be asked for and undone."""

import threading
import uuid

from sandbox import errors
from sandbox.errors import FieldError
from sandbox.model import Job
from sandbox.operations.items import set_state
from sandbox.operations.telling import log_board
from sandbox.world import World

TOGETHER = 50
EVENTS = {"archived": "batch_archive_pulses", "deleted": "batch_delete_pulses"}
FINISHED = ("COMPLETED", "FAILED", "CANCELLED")


def start(world: World, user_id: int, board_id: int, item_ids: list[int], state: str) -> Job:
    """A job that puts these items of a board into a state; those that are not on it fail."""
    if not item_ids:
        raise errors.invalid_argument("item_ids must not be empty")
    with world.transaction():
        world.active_board(board_id)
        stamp = world.clock.stamp()
        ids = list(dict.fromkeys(item_ids))
        job = Job(str(uuid.uuid4()), board_id, user_id, state, ids, stamp, stamp)
        world.put_job(job)
    threading.Thread(target=_work, args=(world, job.id), daemon=True, name="bulk").start()
    return job


def status(world: World, job_id: str) -> Job:
    """The job; ResourceNotFoundException when there is none."""
    with world.reading():
        job = world.jobs.get(job_id)
        if job is None:
            raise FieldError("Job not found", "ResourceNotFoundException", 404, job_id=job_id)
        return job


def resume(world: World) -> None:
    """Go on with the jobs that a stopped sandbox left unfinished."""
    for job in list(world.jobs.values()):
        if job.status not in FINISHED:
            threading.Thread(target=_work, args=(world, job.id), daemon=True, name="bulk").start()


def undo(world: World, job_id: str) -> bool:
    """Restore what a job archived or deleted, or cancel what it has not done yet."""
    with world.transaction():
        job = status(world, job_id)
        if job.status == "CANCELLED":
            return False
        job.status = "CANCELLED"
        for item_id in job.succeeded:
            if world.items[item_id].state == job.state:  # else somebody has done another thing to it since
                set_state(world, job.user_id, item_id, "active")
        _keep(world, job)
        return True


def _work(world: World, job_id: str) -> None:
    """Piece by piece, so that others get their turn; each piece is kept with what it did."""
    while True:
        with world.transaction():
            job = world.jobs.get(job_id)
            if job is None or job.status in FINISHED:
                return
            done = len(job.succeeded) + len(job.failed)
            some = job.item_ids[done : done + TOGETHER]
            job.status = "RUNNING" if some else "COMPLETED"
            gone = [item_id for item_id in some if _one(world, job, item_id)]
            if gone:
                board = world.boards[job.board_id]
                log_board(world, EVENTS[job.state], board, job.user_id, pulse_ids=gone)
            _keep(world, job)


def _one(world: World, job: Job, item_id: int) -> bool:
    item = world.items.get(item_id)
    kept = item is not None and item.board_id == job.board_id and item.state == "active"
    (job.succeeded if kept else job.failed).append(item_id)
    if kept:
        set_state(world, job.user_id, item_id, job.state, logged=False)
    return kept


def _keep(world: World, job: Job) -> None:
    job.updated_at = world.clock.stamp()
    world.put_job(job)
