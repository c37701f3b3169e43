"""The API's side of imports: two mutations that start them and the query that asks about one."""

from typing import Any

from sandbox.graph.common import Resolver, context_of, number, resolvers
from sandbox.graph.context import Context
from sandbox.ingest.jobs import Job
from sandbox.ingest.web import status_of, upload_url


def ingest_items(context: Context, board_id: str, group_id: str, on_match: Any = None) -> dict[str, str]:
    return _started(
        context, context.ingest.start("ingest", context.user.id, number(board_id), group_id, on_match)
    )


def backfill_items(context: Context, board_id: str, group_id: str) -> dict[str, str]:
    return _started(context, context.ingest.start("backfill", context.user.id, number(board_id), group_id))


def fetch_job_status(_: Any, info: Any, job_id: str) -> dict[str, Any]:
    context = context_of(info)
    return status_of(context.world, context.ingest.find(job_id))


def _started(context: Context, job: Job) -> dict[str, str]:
    return {"job_id": job.id, "upload_url": upload_url(context.world, job)}


QUERY: dict[str, Resolver] = {"fetch_job_status": fetch_job_status}
MUTATION = resolvers(ingest_items, backfill_items)
