"""Kernels in the lane layout: a batch is cut in blocks of samples, one sample in each lane of a vector.

        [block][C][H][W][lanes]        lanes = 16 samples of float32, 8 of float64 (64 bytes)

Kernels count memory in whole vectors, so that each reads like one for a single sample. They trust their
arguments; who calls them has checked. `operation.py` says what they all have in common. Their words:

    block        as many samples as a vector has lanes; in `single_sample.py` the lanes hold channels instead
    plane, line  one channel [H][W] of a block, and one line of pixels in it; never called a row
    row, column  of a matrix or of a register tile
    distance     how far two elements lie apart in memory; `x_line`: from a line of x to the next
    stride       how far two windows lie apart in the image
    geometry     the numbers `g` that a kernel works by: sizes, distances, tables; made by `..._geometry`
    state        the numbers `s` that change as the engine goes on: which step, which block, which thread
    step         of training: one batch, forward, backward and update
    tap          one place (kh, kw) in a window; a position is where a window starts
    output       one sum at a position: an output channel, or in the gradient an input channel
    part         a piece of a long sum, added up from 0 on its own, so that rounding loses less
    tile         outputs x positions, or x taps, that are summed up in registers
    sweep        all tiles of one shape; a patch is a tile of one output and positions on several lines
    ending       what becomes of a finished sum: it stays, ReLU, or 0 where the gate is not positive
    shard        blocks whose weight gradients are summed in one place, so that threads do not matter
    share        what one thread does of an operation on the whole batch
"""
