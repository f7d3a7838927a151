"""`python -m benchmarks [--quick] [SUBJECT …]`: run, and print one table. Exit status 1 only if something broke."""

import argparse
import os
import platform
import sys
import time

from benchmarks import commit, engine, latency, simulate, start, throughput
from benchmarks.common import FULL, QUICK, BrokenError
from benchmarks.figures import Row, table

SUBJECTS = {
    "latency": latency.run,
    "throughput": throughput.run,
    "commit": commit.run,
    "start": start.run,
    "engine": engine.run,
    "simulate": simulate.run,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help=f"of {', '.join(SUBJECTS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="a fraction of the work: figures that are only a hint")
    arguments = parser.parse_args()
    for subject in arguments.subjects:
        if subject not in SUBJECTS:
            parser.error(f"there is no subject {subject}; there are {', '.join(SUBJECTS)}")
    began = time.monotonic()
    print(f"{os.cpu_count()} CPUs, {platform.platform(terse=True)}, Python {platform.python_version()}", flush=True)
    rows: list[Row] = []
    broken = []
    for name in arguments.subjects or SUBJECTS:
        print(f"… {name}", file=sys.stderr, flush=True)
        try:
            rows += SUBJECTS[name](QUICK if arguments.quick else FULL)
        except (BrokenError, OSError) as error:
            broken.append(f"{name}: {error}")
    print(table(rows))
    print(f"medians of alternating rounds; {time.monotonic() - began:.0f} s")
    for line in broken:
        print(f"BROKEN {line}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
