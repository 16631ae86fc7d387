"""How few samples are predicted: with their channels in the lanes, or as a block with most lanes empty."""

import math

from ..simd import VECTOR_BYTES
from .lowering import lowering_of
from .plan import image_of, lanes_of

# Bytes of values that stay in the second-level cache. Of more, samples follow each other, unless there are
# even more weights: these are read for each batch.
VALUES_AT_ONCE = 1 << 18
CACHE_BYTES = 1 << 20  # a second-level cache: the values that a block reads and makes leave a smaller one
MOVE = 4  # products in the time that a vector of these takes
SAMPLES_PER_THREAD = 4  # with as many, threads have blocks of about the same size
PRODUCTS_PER_START = 1_000_000  # some 10 us: a worker that sleeps is woken in less


def few_samples(network, samples):
    """So many samples, if they are better off with their channels in the lanes, else 0.

    Counted are products and values in whole vectors: of a block, as many for any number of samples as for
    a full one; with channels in the lanes, those of each sample, whose last vector may have empty lanes.
    """
    lanes = lanes_of(network.dtype)
    if samples >= lanes or not _takes_few_samples(network):
        return 0
    block = channels = 0
    for node in network.nodes:
        c, h, w = image_of(node.output_shape)
        products = node.layer.products(node.input_shape)
        moved = c * h * w + math.prod(node.input_shape)
        block += products + c * h * w + (MOVE * moved if moved * VECTOR_BYTES > CACHE_BYTES else 0)
        channels += samples * (products // c + h * w) * -(-c // lanes)
    return samples if channels < block else 0


def samples_at_once(network, samples, threads=1):
    """In blocks of how many so few samples have their channels in the lanes; 0 where samples lie in them.

    All at once use each vector of weights that is loaded for all, as long as their values stay in the cache.
    """
    if not few_samples(network, samples):
        return 0
    lanes = lanes_of(network.dtype)
    most = max(
        _vectors(node.output_shape, lanes) + _read_vectors(network, node, lanes) for node in network.nodes
    )
    weights = network.num_parameters * (VECTOR_BYTES // lanes)
    fit = max(1, max(VALUES_AT_ONCE, weights) // (VECTOR_BYTES * most))
    blocks, threads = -(-samples // fit), threads_of_few(network, samples, threads)
    if blocks == 1 and samples % threads and samples < SAMPLES_PER_THREAD * threads:
        return samples  # all threads work on each operation: blocks would be done at different times
    return -(-samples // (-(-blocks // threads) * threads))


def threads_of_few(network, samples, threads):
    """How many threads have enough to do with so few samples to make up for being woken."""
    return min(threads, 1 + network.products() * samples // PRODUCTS_PER_START)


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
