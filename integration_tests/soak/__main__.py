"""Reads repeatedly from a local API that fails and changes during the reads, and checks that no record is lost.

Each run takes everything from a seed: data, settings of the API, faults (10 % of the responses), changes between the
requests, and reads that are killed at random points and continued from the last state that was printed. At the end, the
emitted records must contain every record that exists, with its current values. `make soak` does 300 runs;
`python -m integration_tests.soak --seed 17` repeats one.
"""

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context

from integration_tests.soak.runs import run


def soak(seeds: list[int], processes: int) -> list[str]:
    """Run all seeds; return the failure reports. Print the progress on standard error."""
    began = time.monotonic()
    failures = []
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(run, seed) for seed in seeds]
        for number, future in enumerate(as_completed(futures), 1):
            failure = future.result()
            if failure is not None:
                failures.append(failure)
                sys.stderr.write(f"{failure}\n")
            if number % 10 == 0 or number == len(seeds):
                seconds = time.monotonic() - began
                sys.stderr.write(f"{number} of {len(seeds)} runs, {len(failures)} failed, {seconds:.0f} s\n")
    return failures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--first", type=int, default=1, help="the first seed; the next runs count up from it")
    parser.add_argument("--seed", type=int, help="run this seed only")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    seeds = [given.seed] if given.seed is not None else list(range(given.first, given.first + given.runs))
    failures = soak(seeds, given.processes)
    sys.stderr.write(f"{len(seeds) - len(failures)} of {len(seeds)} runs passed.\n")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
