"""Engines that wait for their next use."""

from .engine import Engine
from .plan import lanes_of
from .threads import get_num_threads

FEW_SAMPLES = 4  # LeNet-5 takes 8 us for each alone, 40 us for a block
KEPT_ENGINES = 4
KEPT_BYTES = 1 << 26  # a larger engine is built in a hundredth of the time of its step (VGG, batch 256)


class IdleEngines:
    """Engines of one network that wait for their next use: building one takes 0.2 to 2 ms.

    Who takes an engine has it alone. One list operation takes or puts back, so that neither threads nor a
    fork need a lock. Copies and pickles of it are empty.
    """

    def __init__(self):
        self._engines = []

    def __reduce__(self):
        return IdleEngines, ()

    def take(self, network, purpose, samples, batch_size=None, loss=None, weighted=False, outputs=False):
        """An engine that takes `samples` samples in batches of `batch_size`, or all at once.

        Where they fit in one batch, the engine is for whole blocks, so that it serves similar numbers too.
        Predictions of a few samples are made one by one: a block would leave most of its lanes empty.
        """
        if purpose == "predict" and samples <= FEW_SAMPLES and not network.grouped:
            batch_size = 1
        elif batch_size is None or batch_size >= samples:
            lanes = lanes_of(network.dtype)
            batch_size = -(-samples // lanes) * lanes
        key = purpose, batch_size, get_num_threads(), loss, weighted, outputs
        for engine in self._engines.copy():
            if engine.key == key:
                try:
                    self._engines.remove(engine)
                except ValueError:  # another thread was faster
                    continue
                return engine
        return Engine(network, purpose, batch_size, loss, weighted=weighted, outputs=outputs)

    def put_back(self, engine):
        """Keep an engine whose run has ended well; the one that has waited longest may have to go."""
        engine.release()
        if engine.program.memory.nbytes <= KEPT_BYTES:
            self._engines.append(engine)
            del self._engines[:-KEPT_ENGINES]
