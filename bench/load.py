"""Deliveries as Monday posts them, at a steady rate or as fast as they are answered; a process of its own.

    python -m bench.load < plan.json

The plan: host, port, path, rate (0: a burst), connections, and the bodies. Printed: the statuses with their numbers
and the milliseconds of each answer, counted from the moment at which the delivery was due: one that had to wait
for those before it is as late as its sender finds it.
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

from bench.ground import ROOT

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Answers:
    """What came back."""

    statuses: Counter[str] = field(default_factory=Counter)
    milliseconds: list[float] = field(default_factory=list)
    seconds: float = 0.0


def post(address: tuple[str, int], path: str, bodies: Sequence[Any], *, rate: float, connections: int) -> Answers:
    """Send them from another process, whose work doesn't stand in this one's way."""
    plan = {"address": address, "path": path, "rate": rate, "connections": connections, "bodies": bodies}
    command = [sys.executable, "-m", "bench.load"]
    ran = subprocess.run(command, input=json.dumps(plan), capture_output=True, text=True, check=True, cwd=ROOT)
    answers = json.loads(ran.stdout)
    return Answers(Counter(answers["statuses"]), sorted(answers["milliseconds"]), answers["seconds"])


async def _send(plan: dict[str, Any]) -> Answers:
    host, port = plan["address"]
    requests = [_request(host, plan["path"], body) for body in plan["bodies"]]
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(plan["connections"]):
        free.put_nowait(await asyncio.open_connection(host, port))
    answers, begun = Answers(), time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number, request in enumerate(requests):
            due = begun + number / plan["rate"] if plan["rate"] else 0.0
            if due > time.perf_counter():
                await asyncio.sleep(due - time.perf_counter())
            connection = await free.get()
            group.create_task(_one(free, connection, request, due or time.perf_counter(), answers))
    answers.seconds = time.perf_counter() - begun
    return answers


async def _one(
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


def main() -> int:
    """Read the plan, send, print."""
    answers = asyncio.run(_send(json.load(sys.stdin)))
    json.dump(vars(answers), sys.stdout)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
