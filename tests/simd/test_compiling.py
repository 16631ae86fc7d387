"""How functions are compiled: with or without an entry for Python, while the collector of cycles rests."""

import gc

import pytest
from numba import njit
from numba.core import event

from fastconv.simd import compiling
from fastconv.simd.collecting import collector_resting


@compiling.internal
def doubled(x):
    return 2 * x


@njit
def doubled_twice(x):
    return doubled(doubled(x))


def test_an_internal_function_serves_compiled_code_and_tells_python_that_it_does():
    for _ in range(2):  # before there is code of it, and after
        with pytest.raises(TypeError, match="doubled is for compiled code alone"):
            doubled(3)
        assert doubled_twice(3) == 12


def test_the_collector_rests_and_goes_on_as_it_was():
    assert gc.isenabled()
    with collector_resting():
        assert not gc.isenabled()
        with collector_resting():
            pass
        assert not gc.isenabled(), "until the outermost ends"
    assert gc.isenabled()
    with pytest.raises(ValueError, match="why"), collector_resting():
        raise ValueError("why")
    assert gc.isenabled()
    gc.disable()
    try:
        with collector_resting():
            pass
        assert not gc.isenabled(), "as the user has it"
    finally:
        gc.enable()


class Collections(event.Listener):
    """Whether the collector could run while functions were typed."""

    seen = ()

    def on_start(self, happening):
        self.seen = (*self.seen, gc.isenabled())

    def on_end(self, happening):
        pass


def test_no_cycles_are_collected_while_a_function_is_compiled():
    function, listener = compiling.compiled(lambda x: x + 1, cached=False), Collections()
    with event.install_listener("numba:run_pass", listener):
        assert function(1) == 2
    assert listener.seen
    assert not any(listener.seen)
    assert gc.isenabled()


@compiling.compiled
def squared(x):
    return x * x


@compiling.compiled
def squares(count):
    return [squared(k) for k in range(count)]


def test_an_interpreted_function_compiles_nothing_not_even_what_its_lists_call():
    assert compiling.interpreted(squares)(4) == [0, 1, 4, 9]
    assert not squares.overloads
    assert not squared.overloads
