"""Runs mutants one after the other, notes each result at once, and says it."""

import contextlib
import os
import sys
import time
from collections import defaultdict
from collections.abc import Sequence

from benchmarks.mutation import results, selecting
from benchmarks.mutation.mutants import TREE, Mutant
from benchmarks.mutation.server import TIMEOUT, Server, serve


def run(todo: Sequence[Mutant], draw: str, budget: float, variants: int) -> None:
    """Tests each mutant, for about `budget` processor seconds where it survives."""
    os.environ["PYTHONPATH"] = str(TREE)  # of the processes that tests start
    sys.path.insert(0, str(TREE))

    def work(server: Server) -> None:
        results.remember(draw, server.items)
        reach = selecting.Reach(server, variants)
        killers: dict[str, list[str]] = defaultdict(list)
        for number, mutant in enumerate(todo, start=1):
            begun = time.monotonic()
            tests, killer = meet(server, reach, mutant, killers[mutant.module], budget)
            status = "survived" if killer is None else "timeout" if killer == TIMEOUT else "killed"
            took = round(time.monotonic() - begun, 1)
            results.note(results.result(mutant, draw, status, killer, tests, took))
            what = f"{status} {mutant.function} [{mutant.kind}]"
            print(f"{number}/{len(todo)} {what} {tests} tests, {took} s", flush=True)

    with contextlib.chdir(TREE):
        serve(selecting.folders({mutant.package for mutant in todo}), work)


def meet(
    server: Server, reach: selecting.Reach, mutant: Mutant, killers: list[str], budget: float
) -> tuple[int, str | None]:
    """How many tests were chosen, and which of them fails (TIMEOUT, CRASHED); it comes first among `killers` then."""
    met = 0
    for choose in (lambda: reach.choose(mutant, killers, budget), lambda: reach.named(mutant)):
        while tests := choose():
            measured = all(test in reach.seconds for test in tests)
            # a mutant may be slower, but what takes so much longer does not end
            seconds = 10 + 5 * sum(reach.seconds[test] for test in tests) if measured else 4 * budget
            killer = server.run(mutant.name, tests, seconds)
            met += len(tests)
            if killer is None or (killer == TIMEOUT and not measured):
                break
            if killer not in server.items:
                return met, killer
            if killer in killers or server.run("", [killer], 60) is None:
                killers[:] = [killer, *(test for test in killers if test != killer)]
                return met, killer
            reach.forget(killer)  # it fails without a mutant as well
    return met, None
