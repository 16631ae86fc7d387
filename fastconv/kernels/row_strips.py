"""A few images fill the lanes of a block in strips: a lane holds some rows of an image, the next those below.

image, H rows       lanes  0      1      2
+-----------+       +----+ +----+ +----+        Strip k holds `height` rows from `start` + k * `step` on.
|           |  -->  |    | |    | |    |        They overlap where windows do; rows outside the image are
+-----------+       +----+ +----+ +----+        zeros.
"""

from typing import NamedTuple

import numpy as np

from .. import simd
from ..simd import keep, pointer, transpose
from ..simd.compiling import compiled


class Cut(NamedTuple):
    """How each image is cut in strips of rows."""

    strips: int  # of an image
    start: int  # the first row of the first strip
    step: int  # rows from one strip to the next
    height: int  # rows of a strip


WHOLE_BYTES, STRIP_BYTES = 1 << 23, 1 << 20  # of a block: what the allocator keeps, and what a cache holds


@compiled
def strip_rows(images, rows, row_vectors, lanes, multiple):
    """Rows of a strip, a multiple of `multiple`; all rows of the image where it need not be cut.

    As many strips as fill the lanes of a block, or several blocks, so that one stays in the cache.
    `row_vectors` are the vectors in a row of a block, channels of input and output together.
    """
    strips = max(1, min(lanes // max(images, 1), rows))
    row_bytes = row_vectors * simd.VECTOR_BYTES
    if strips == 1 and rows * row_bytes <= WHOLE_BYTES:
        return rows
    height = (rows + strips - 1) // strips
    blocks = max(1, (height * row_bytes + STRIP_BYTES - 1) // STRIP_BYTES)
    height = (height + blocks - 1) // blocks
    return min((height + multiple - 1) // multiple * multiple, rows)


@compiled
def _find_rows(x, cut, first, valid, c, h, elsewhere, addresses):
    """The addresses of row h of channel c of strips first, first + 1, ...; outside the image, `elsewhere`.

    Lanes past the valid ones are given the row of the last.
    """
    for lane in range(len(addresses)):
        strip = first + min(lane, valid - 1)
        line = cut.start + strip % cut.strips * cut.step + h
        place = ((strip // cut.strips * x.shape[1] + c) * x.shape[2] + line) * x.shape[3] * x.itemsize
        addresses[lane] = x.ctypes.data + place if 0 <= line < x.shape[2] else elsewhere.ctypes.data


@compiled
def gather_strips(x, cut, first, valid, block, steps):
    """The strips first, first + 1, ... of x into the lanes at `block`; zeros past the valid ones."""
    width, lanes = x.shape[3], simd.lanes(block)
    nothing, addresses = np.zeros(width, x.dtype), np.zeros(lanes, np.int64)
    for c in range(x.shape[1]):
        for h in range(cut.height):
            _find_rows(x, cut, first, valid, c, h, nothing, addresses)
            at = c * steps[0] + h * steps[1]
            for w in range(0, width, lanes):
                square = transpose.square_from(block, pointer(addresses), w, valid, width - w)
                transpose.store_column(transpose.transpose(square), block, at + w, width - w)
    keep((nothing, addresses))


@compiled
def scatter_strips(block, y, cut, first, valid, steps):
    """The reverse for strips that do not overlap: rows past the image are left out."""
    width, lanes = y.shape[3], simd.lanes(block)
    nowhere, addresses = np.zeros(width, y.dtype), np.zeros(lanes, np.int64)
    for c in range(y.shape[1]):
        for h in range(cut.height):
            _find_rows(y, cut, first, valid, c, h, nowhere, addresses)
            at = c * steps[0] + h * steps[1]
            for w in range(0, width, lanes):
                square = transpose.transpose(transpose.square(block, (at + w) * lanes, lanes))
                transpose.store_square_at(square, pointer(addresses), w, valid, width - w)
    keep((nowhere, addresses))
