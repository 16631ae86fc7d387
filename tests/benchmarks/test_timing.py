import pytest

from fastconv.benchmarks.timing import Contender, Effort, race


class Clock:
    """A clock that only goes when somebody works."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def work(self, seconds):
        def call():
            self.now += next(seconds) if hasattr(seconds, "__next__") else seconds

        return call


def test_times_are_for_one_piece_of_work():
    clock = Clock()
    timings = race({"a": Contender(clock.work(6.0), pieces=3), "b": Contender(clock.work(1.0))}, clock=clock)
    assert timings["a"].best == pytest.approx(2.0)
    assert timings["b"].best == pytest.approx(1.0)


def test_fast_calls_are_repeated_until_a_sample_is_long_enough():
    clock = Clock()
    calls = []
    work = clock.work(1e-6)
    effort = Effort(seconds=0, turns=1, sample=1e-4)
    timings = race({"a": Contender(lambda: (calls.append(1), work()))}, effort, clock)
    assert timings["a"].best == pytest.approx(1e-6)
    assert 2 + 3 * 100 <= len(calls) <= 2 + 3 * 101


def test_the_best_sample_counts_and_the_median_is_told():
    clock = Clock()
    slow_at_first = iter([5.0, 5.0, 4.0, 3.0, 2.0])
    timings = race({"a": Contender(clock.work(slow_at_first))}, Effort(seconds=0, turns=1), clock)
    assert timings["a"] == (2.0, 3.0, 3)


def test_contenders_take_turns_and_not_always_in_the_same_order():
    clock = Clock()
    order = []

    def contender(name):
        work = clock.work(1.0)
        return Contender(lambda: (order.append(name), work()))

    race({name: contender(name) for name in "abc"}, Effort(seconds=0, turns=3), clock)
    assert "".join(order) == "aabbcc" + "aaabbbccc" + "bbbcccaaa" + "cccaaabbb"


def test_measuring_stops_when_nobody_gets_better():
    clock = Clock()
    effort = Effort(seconds=1000, turns=2, patience=4)
    timings = race({"a": Contender(clock.work(1.0))}, effort, clock)
    assert timings["a"].samples == 3 * 5


def test_measuring_goes_on_while_somebody_gets_better_but_not_for_ever():
    clock = Clock()
    seconds = iter(0.9**k for k in range(10_000))
    patient = Effort(seconds=12.0, turns=2, patience=1, sample=0)
    timings = race({"a": Contender(clock.work(seconds)), "b": Contender(clock.work(0.5))}, patient, clock)
    assert 30 < timings["a"].samples < 60


def test_no_contenders_take_no_time():
    assert race({}) == {}
