"""How few samples are worked on: with their channels in the lanes, or as blocks, with samples in the lanes.

Few samples leave most lanes of a block empty, and the values of large images leave the cache.
"""

import math
from weakref import WeakKeyDictionary

from ..simd import VECTOR_BYTES
from .emitter import Emitter, layers_of_channels
from .lowering import lowering_of
from .lowering.strips import samples_of_strip
from .memory import image_of, lanes_of
from .plan import Plan
from .run import Run

# Bytes of values that stay in the second-level cache. Of more, samples follow each other, unless there are
# even more weights: these are read for each batch.
VALUES_AT_ONCE = 1 << 18
CACHE_BYTES = 1 << 20  # a second-level cache: the values that a block reads and makes leave a smaller one
PASSES = 3  # over the values of a layer in training: forward, and twice backward
MOVE = 4  # products in the time that a vector of these takes, or one of weights
WORTH_IT = 0.9  # of the cost of blocks that are full
SAMPLES_PER_THREAD = 4  # with as many, threads have blocks of about the same size
PER_START = 60_000  # products of vectors, some 10 us: a worker that sleeps is woken in less
PER_WAIT = 4_000  # half a microsecond: threads that share the work on a layer wait for each other

_known_costs: WeakKeyDictionary = WeakKeyDictionary()  # network -> precision -> what `_costs` gives


def few_samples(network, samples, precision="high"):
    """Whether so many samples are better off with their channels in the lanes.

    Counted are products and values in whole vectors: of a block, as many for any number of samples as for
    a full one; with channels in the lanes, those of each sample, whose last vector may have empty lanes.
    """
    lanes = lanes_of(network.dtype)
    if not _takes_few_samples(network):
        return False
    block, one = _costs(network, precision)
    if samples < lanes:
        return samples * one < block
    return lanes * one < WORTH_IT * block  # whatever their number: that must not decide on last bits


def _costs(network, precision):
    """What a block costs, and one of few samples, in products of vectors."""
    known = _known_costs.setdefault(network, {})
    if precision not in known:
        runs = (
            Run("predict", few or lanes_of(network.dtype), 1, precision=precision, few=few) for few in (0, 1)
        )
        known[precision] = tuple(_cost(network, run) for run in runs)
    return known[precision]


def _cost(network, run):
    """What a step takes, in products of vectors."""
    emitter = Emitter(network, run, Plan(network.dtype, run.batch_size, 1, run.few), None, run.few)
    total, passes = 0, PASSES if run.training else 1
    for number, node in enumerate(network.nodes):
        layer = lowering_of(node.layer)(number, node, emitter)
        total += (layer.few or 1) * (layer.step_cost() if run.training else layer.cost())
        values = math.prod(node.output_shape) + math.prod(node.input_shape)
        if not layer.few and values * VECTOR_BYTES > CACHE_BYTES:
            total += passes * MOVE * values
        if layer.few and run.training:
            total += layer.packing_cost()
    return total


def few_in_training(network, batch_size, precision="high"):
    """How many samples of a training step have their channels in the lanes: the whole batch, or 0: none.

    Smaller batches that an engine takes, too, go the same way: see `samples_of_strip`.
    """
    lanes = lanes_of(network.dtype)
    samples = samples_of_strip(batch_size, lanes)
    if samples == lanes:
        return 0
    known = _known_costs.setdefault(network, {})
    if (precision, samples) not in known:
        known[precision, samples] = _pays_in_training(network, samples, precision)
    return batch_size if known[precision, samples] else 0


def _pays_in_training(network, samples, precision):
    """Whether there are layers for channels in the lanes, and a step costs less so."""
    if not layers_of_channels(network, training=True):
        return False
    runs = (Run("gradients", samples, 1, precision=precision, few=few) for few in (0, samples))
    block, few = (_cost(network, run) for run in runs)
    return few < WORTH_IT * block


def samples_at_once(network, samples, threads=1, precision="high"):
    """In blocks of how many so few samples have their channels in the lanes; 0 where samples lie in them.

    All at once use each vector of weights that is loaded for all, as long as their values stay in the cache.
    """
    if not few_samples(network, samples, precision):
        return 0
    lanes = lanes_of(network.dtype)
    most = max(
        _vectors(node.output_shape, lanes) + _read_vectors(network, node, lanes) for node in network.nodes
    )
    weights = network.num_parameters * (VECTOR_BYTES // lanes)
    fit = max(1, min(lanes - 1, max(VALUES_AT_ONCE, weights) // (VECTOR_BYTES * most)))
    blocks, threads = -(-samples // fit), threads_of_few(network, samples, threads)
    if blocks == 1 and _share_layers(network, samples, threads):
        return samples
    return -(-samples // (-(-blocks // threads) * threads))


def _share_layers(network, samples, threads):
    """Whether threads work on each layer of one block together, rather than on blocks of their own.

    Blocks of few samples would be done at different times, and each thread would load all weights.
    """
    uneven = samples % threads > 0 and samples < SAMPLES_PER_THREAD * threads
    saved = MOVE * _weight_vectors(network) * (threads - 1) // threads
    return uneven or saved > PER_WAIT * len(network.nodes)


def threads_of_few(network, samples, threads, training=False):
    """How many threads have enough to do with so few samples to make up for being woken."""
    work = network.products() * samples // lanes_of(network.dtype) + MOVE * _weight_vectors(network)
    work *= PASSES if training else 1
    return min(threads, 1 + work // PER_START)


def _weight_vectors(network):
    return network.num_parameters // lanes_of(network.dtype)


def _vectors(shape, lanes):
    """The vectors of a value of one sample."""
    c, h, w = image_of(shape)
    return -(-c // lanes) * h * w


def _read_vectors(network, node, lanes):
    """The vectors of what a layer reads of one sample: the network's own input mostly lies in scalars."""
    if node.inputs[0] in network.inputs:
        return -(-math.prod(node.input_shape) // lanes)
    return _vectors(node.input_shape, lanes)


def _takes_few_samples(network):
    """Whether every layer can have its channels in the lanes."""
    layers = [node.layer.image_layer() for node in network.nodes]
    return all(lowering_of(layer).takes_few_samples(layer) for layer in layers)
