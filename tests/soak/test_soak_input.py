"""Bad input: every call ends in a right answer or a clear error, and none reads beside its arrays.

The arrays of the kernels lie beside pages that nobody may touch, and each call runs in a child process, where
a crash is seen.
"""

from collections import Counter

import pytest

from tests.soak.children import fuzz

CAMPAIGNS = {
    "kernel_fuzzer.py": ("calls of kernels", 14_000),
    "network_fuzzer.py": ("calls of networks, trainers, records and the command line", 8_000),
    "file_fuzzer.py": ("damaged files read", 6_000),
    "state_fuzzer.py": ("networks and trainers assigned to, spoilt and shared by threads", 3_000),
    "metadata_fuzzer.py": ("models saved with metadata of any kind", 3_000),
}


@pytest.mark.parametrize("script", CAMPAIGNS)
def test_every_call_ends_in_a_right_answer_or_a_clear_error(script, figure):
    name, count = CAMPAIGNS[script]
    outcomes = fuzz(script, count)
    counts = Counter(outcome[0] for outcome in outcomes.values())
    figure(
        name,
        f"{len(outcomes)}: {counts['right']} right, {counts['refused']} refused, {counts['crash']} crashes",
    )
    bad = {number: outcome for number, outcome in outcomes.items() if outcome[0] not in ("right", "refused")}
    assert not bad, "\n".join(f"{number}: {outcome[1]}" for number, outcome in list(bad.items())[:20])
    assert len(outcomes) == count
