"""Which layers take all blocks of a batch together, so that their weights are read once for all.

    block by block     for each block: [ conv | relu | dense | loss | gradients ]    its values stay in cache

    together           for each block: [ conv | relu ]
                       for all blocks: [ dense ]           threads share the outputs, not the blocks
                       for each block: [ loss ]
                       for all blocks: [ dense, its input gradient ]
                       for each block: [ gradients ]       its values come back from memory

A dense layer reads each weight for a single product with each block; with two blocks in a register tile, for
two. That pays where the layer is large, or where the values of all blocks stay in cache anyway.
"""

import math

from ..simd import VECTOR_BYTES

CACHE_BYTES = 1 << 20  # a second-level cache: the values of all blocks stay in a larger one
PASSES = 3  # over the values of a layer in training: forward, and twice backward
MOVE = 4  # products in the time that a vector of these takes
SAVED = 0.25  # of the time of a product
PER_STAGE = 8_000  # products: threads wait for each other before and after


def take_together(layers, plan, training):
    """Set `together` of the lowerings that take all blocks of a plan together."""
    if plan.blocks < 2:
        return
    chosen = [one for one in layers if one.takes_blocks_together and not one.few]
    passes = 2 if training else 1
    saved = {one: passes * SAVED * one.layer.products(one.input_shape) * plan.blocks for one in chosen}
    chosen = [one for one in chosen if saved[one] > passes * PER_STAGE]
    kept = 0
    if training and not any(one.shares_blocks for one in layers):
        values = plan.blocks * sum(math.prod(one.output_shape) for one in layers)
        kept = PASSES * MOVE * values if values * VECTOR_BYTES > CACHE_BYTES else 0
    if sum(saved[one] for one in chosen) > kept:
        for one in chosen:
            one.together = True
