"""Engines that wait for their next use."""

from ..kernels.precision import get_precision
from .engine import Engine
from .lowering import takes_single_sample
from .one_thread import OneThread
from .plan import lanes_of
from .run import Run
from .threads import get_num_threads

FEW_SAMPLES = 4  # LeNet-5 takes 8 us for each alone, 40 us for a block
KEPT_ENGINES = 4
KEPT_BYTES = 1 << 26  # a larger engine is built in a hundredth of the time of its step (VGG, batch 256)


class EnginePool:
    """Engines of one network that wait for their next use: building one takes 0.2 to 2 ms.

    Who takes an engine has it alone. One list operation takes or gives back, so that neither threads nor a
    fork need a lock. Copies and pickles of it are empty. `training` is the door to the network's parameters:
    who changes them step by step has gone through it.
    """

    def __init__(self):
        self._engines = []
        self._takes_single_sample = None
        self.training = OneThread()

    def __reduce__(self):
        return EnginePool, ()

    def take(self, network, purpose, samples, batch_size=None, **others):
        """An engine that takes `samples` samples in batches of `batch_size`, or all at once.

        Where they fit in one batch, the engine is for whole blocks, so that it serves similar numbers too.
        Predictions of a few samples are made one by one: a block would leave most of its lanes empty.
        `others` are further fields of the `Run`.
        """
        if self._takes_single_sample is None:
            self._takes_single_sample = takes_single_sample(network)
        if purpose == "predict" and samples <= FEW_SAMPLES and self._takes_single_sample:
            batch_size = 1
        elif batch_size is None or batch_size >= samples:
            lanes = lanes_of(network.dtype)
            batch_size = -(-samples // lanes) * lanes
        frozen = network.frozen if purpose == "gradients" else frozenset()
        run = Run(purpose, batch_size, get_num_threads(), frozen=frozen, precision=get_precision(), **others)
        for engine in self._engines.copy():
            if engine.asked_run == run:
                try:
                    self._engines.remove(engine)
                except ValueError:  # another thread was faster
                    continue
                return engine
        return Engine(network, run)

    def give_back(self, engine):
        """Keep an engine whose run has ended well; the one that has waited longest may have to go."""
        engine.release()
        if engine.program.memory.nbytes <= KEPT_BYTES:
            self._engines.append(engine)
            del self._engines[:-KEPT_ENGINES]
