"""Posts deliveries as Monday does, at a steady rate or as fast as they are answered, in its own process.

    python -m bench.load < plan.json

The plan has the address, path, rate (0: a burst), connections and bodies. The output has the number of each status, and
the milliseconds of each answer since its delivery was due: waiting for earlier deliveries counts, as for their sender.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.servers import ROOT

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Answers:
    statuses: Counter[str] = field(default_factory=Counter)
    milliseconds: list[float] = field(default_factory=list)
    seconds: float = 0.0


def post(address: tuple[str, int], path: str, bodies: Sequence[Any], *, rate: float, connections: int) -> Answers:
    """Send deliveries from another process, so that both have a processor."""
    plan = {"address": address, "path": path, "rate": rate, "connections": connections, "bodies": bodies}
    command = [sys.executable, "-m", "bench.load"]
    sender = subprocess.run(command, input=json.dumps(plan), capture_output=True, text=True, check=True, cwd=ROOT)
    answers = json.loads(sender.stdout)
    return Answers(Counter(answers["statuses"]), sorted(answers["milliseconds"]), answers["seconds"])


async def _send(plan: dict[str, Any]) -> Answers:
    host, port = plan["address"]
    requests = [_request(host, plan["path"], body) for body in plan["bodies"]]
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(plan["connections"]):
        free.put_nowait(await asyncio.open_connection(host, port))
    answers = Answers()
    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number, request in enumerate(requests):
            due = begun + number / plan["rate"] if plan["rate"] else 0.0
            if due > time.perf_counter():
                await asyncio.sleep(due - time.perf_counter())
            connection = await free.get()
            group.create_task(_deliver(free, connection, request, due or time.perf_counter(), answers))
    answers.seconds = time.perf_counter() - begun
    return answers


async def _deliver(
    free: asyncio.Queue[Connection], connection: Connection, request: bytes, due: float, answers: Answers
) -> None:
    reader, writer = connection
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    await reader.readexactly(length)
    answers.milliseconds.append((time.perf_counter() - due) * 1000)
    answers.statuses[head.split(b" ", 2)[1].decode()] += 1
    free.put_nowait(connection)


def _request(host: str, path: str, body: Any) -> bytes:
    content = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


if __name__ == "__main__":
    json.dump(vars(asyncio.run(_send(json.load(sys.stdin)))), sys.stdout)
