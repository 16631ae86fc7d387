"""Engines that wait for their next use."""

from ..kernels.precision import chosen, get_precision
from .engine import Engine
from .few_samples import few_in_training, samples_at_once
from .memory import lanes_of
from .one_thread import OneThread
from .run import Run
from .threads import get_num_threads

KEPT_ENGINES = 4
REMEMBERED = 64
KEPT_BYTES = 1 << 26  # a larger engine is built in a hundredth of the time of its step (VGG, batch 256)


class EnginePool:
    """Engines of one network that wait for their next use: building one takes 0.2 to 2 ms.

    Who takes an engine has it alone. One list operation takes or gives back, so that neither threads nor a
    fork need a lock. Copies and pickles of it are empty. `training` is the door to the network's parameters:
    who changes them step by step has gone through it.
    """

    def __init__(self):
        self._engines = []
        self._predictions = {}  # (samples, batch size, threads, precision) -> the run that predicts them
        self.training = OneThread()

    def __reduce__(self):
        return EnginePool, ()

    def take(self, network, purpose, samples, batch_size=None, **others):
        """An engine that takes `samples` samples in batches of `batch_size`, or all at once.

        Where they fit in one batch, the engine is for whole blocks, so that it serves similar numbers too.
        Few samples may have their channels in the lanes: a block would leave most lanes empty.
        `others` are further fields of the `Run`.
        """
        if purpose == "predict":
            run = self._prediction(network, samples, batch_size)
        else:
            differentiates, precision = purpose == "gradients", get_precision()
            few = few_in_training(network, samples, precision) if differentiates else 0
            run = Run(
                purpose,
                samples if few else _in_blocks(network, samples, batch_size),
                get_num_threads(),
                frozen=network.frozen if differentiates else frozenset(),
                precision=precision,
                few=few,
                **others,
            )
        for engine in self._engines.copy():
            if engine.asked_run is run or engine.asked_run == run:
                try:
                    self._engines.remove(engine)
                except ValueError:  # another thread was faster
                    continue
                return engine
        return Engine(network, run)

    def _prediction(self, network, samples, batch_size):
        """The run that predicts so many samples; the last ones are remembered."""
        asked = samples, batch_size, get_num_threads(), chosen.value
        run = self._predictions.get(asked)
        if run is None:
            together, threads, precision = min(samples, batch_size or samples), asked[2], get_precision()
            few = samples_at_once(network, together, threads, precision)
            size = together if few else _in_blocks(network, samples, batch_size)
            run = Run("predict", size, threads, precision=precision, few=few)
            self._predictions = dict([*self._predictions.items(), (asked, run)][-REMEMBERED:])
        return run

    def give_back(self, engine):
        """Keep an engine whose run has ended well; the one that has waited longest may have to go."""
        engine.release()
        if engine.bytes <= KEPT_BYTES:
            self._engines.append(engine)
            if len(self._engines) > KEPT_ENGINES:
                del self._engines[:-KEPT_ENGINES]


def _in_blocks(network, samples, batch_size):
    """The batch size, or whole blocks for all samples where they fit in one batch."""
    if batch_size is None or batch_size >= samples:
        lanes = lanes_of(network.dtype)
        return -(-samples // lanes) * lanes
    return batch_size
