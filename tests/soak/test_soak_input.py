"""Bad input: every call ends in a right answer or a clear error."""

from collections import Counter

from children import fuzz

CALLS = 12_000


def test_every_call_of_a_kernel_ends_in_a_right_answer_or_a_clear_error(figure):
    outcomes = fuzz("kernel_fuzzer.py", CALLS)
    counts = Counter(outcome[0] for outcome in outcomes.values())
    figure("kernel calls tried", f"{len(outcomes)}: {dict(counts)}")
    bad = {number: outcome for number, outcome in outcomes.items() if outcome[0] not in ("right", "refused")}
    assert not bad, "\n".join(f"{number}: {outcome[1]}" for number, outcome in list(bad.items())[:20])
    assert len(outcomes) == CALLS
