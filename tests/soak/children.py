"""Child processes of the campaigns, in which a crash is seen."""

import json
import os
import subprocess
import sys
from pathlib import Path

import fastconv


def environment(**more):
    """The environment of a child process that imports this fastconv and these tests."""
    tests = Path(__file__).parents[1]
    paths = [Path(fastconv.__file__).parents[1], tests, tests / "kernels", tests / "soak"]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), **more}


def fuzz(script, count, share=500):
    """Run the cases 0..count of a fuzzer in child processes; returns what each case came to, by number.

    A child tells before each case that it begins, so that a crash has a number; the next child goes on
    behind it.
    """
    outcomes, first = {}, 0
    while first < count:
        last = min(count, first + share)
        done = subprocess.run(
            [
                sys.executable,
                "-X",
                "faulthandler",
                str(Path(__file__).parent / script),
                str(first),
                str(last),
            ],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=1800,
            check=False,
        )
        begun = first
        for line in done.stdout.splitlines():
            number, _, outcome = line.partition(" ")
            begun = int(number)
            if outcome:
                outcomes[begun] = json.loads(outcome)
        if done.returncode != 0:
            outcomes[begun] = ["crash", f"exit code {done.returncode}: {done.stderr[-2000:]}"]
            last = begun + 1
        first = last
    return outcomes
