"""Bulk archiving and deleting: jobs to ask about and to undo."""

from typing import Any

from sandbox.graph.common import Resolver, context_of, number, resolvers
from sandbox.graph.context import Context
from sandbox.model import Job
from sandbox.operations import bulk


def bulk_archive_items(context: Context, board_id: str, item_ids: list[str]) -> dict[str, str]:
    return _started(context, board_id, item_ids, "archived")


def bulk_delete_items(context: Context, board_id: str, item_ids: list[str]) -> dict[str, str]:
    return _started(context, board_id, item_ids, "deleted")


def undo_action(context: Context, job_id: str) -> dict[str, Any]:
    """Restores what the job took away; the second time there is nothing to undo."""
    done = bulk.undo(context.world, job_id)
    return {"success": done, "message": None if done else "This action was undone before"}


def job_status(_: Any, info: Any, job_id: str) -> dict[str, Any]:
    job = bulk.status(context_of(info).world, job_id)
    finished = job.status in bulk.FINISHED
    return {
        "id": job.id,
        "status": job.status,
        "created_at": job.created_at,
        "updated_at": job.updated_at,
        "error": None,
        "result": _result(job) if finished else None,
    }


def _result(job: Job) -> dict[str, Any]:
    return {
        "total": len(job.item_ids),
        "succeeded": len(job.succeeded),
        "failed": len(job.failed),
        "details": {"failed_ids": [str(one) for one in job.failed]},
    }


def _started(context: Context, board_id: str, item_ids: list[str], state: str) -> dict[str, str]:
    ids = [number(one) for one in item_ids]
    job = bulk.start(context.world, context.user.id, number(board_id), ids, state)
    return {"job_id": job.id}


QUERY: dict[str, Resolver] = {"job_status": job_status}
MUTATION = resolvers(bulk_archive_items, bulk_delete_items, undo_action)
