import os
import sys
import time

from tests.chaos.generating import ACTS, generate
from tests.chaos.test_planted import empty, with_bug


def seeds_with(act_name, limit=25):
    found = []
    for seed in range(1, limit + 1):
        used = []
        weight, original = ACTS[act_name]
        ACTS[act_name] = (weight, lambda cast: (used.append(1), original(cast)))
        try:
            generate(seed)
        finally:
            ACTS[act_name] = (weight, original)
        if used:
            found.append(seed)
    return found


def test_hunt(arena, crew):
    for pair in os.environ["HUNT"].split():
        name, act = pair.split(":")
        generate(1)
        seeds = seeds_with(act)
        seeds = sorted(seeds, key=lambda s: (generate(s).live, s))
        print(f"\n## {name} via {act}: seeds {seeds}", file=sys.stderr, flush=True)
        for seed in seeds[: int(os.environ.get("MOST", 4))]:
            t = time.time()
            found = with_bug(arena, crew, name, seed)
            open(f"/tmp/story-{name}.txt", "w").write(found.words())
            empty(arena)
            print(
                f"   seed {seed} {time.time() - t:.0f}s: {[str(v)[:160] for v in found.violations[:3]] or 'MISSED'}",
                file=sys.stderr,
                flush=True,
            )
            if found.violations and not os.environ.get("ALL"):
                break
