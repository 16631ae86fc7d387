"""Images fill the lanes of blocks in strips: a lane holds some rows of an image, the next those below.

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


class Row(NamedTuple):
    """What a row of a block costs, channels of input and output together."""

    vectors: int
    squares: int  # of samples x places, that it is packed in where it is packed on its own
    products: int  # of vectors
    seam: int  # squares that a strip has besides, since windows reach into the next one


WHOLE_BYTES, STRIP_BYTES = 1 << 23, 1 << 20  # of a block: what the allocator keeps, and what a cache holds
SQUARE_COST = 300  # products that are made while a square is packed


@compiled
def row_of(read, written, products, seam, lanes):
    """The `Row` of what is read and what is written, each (channels, width, its rows for one of a block).

    Strips have `seam` rows more of what is read.
    """
    line = read[0] * ((read[1] + lanes - 1) // lanes)
    target = written[0] * ((written[1] + lanes - 1) // lanes)
    vectors = read[0] * read[1] * read[2] + written[0] * written[1] * written[2]
    squares = line * read[2] + target * written[2]
    return Row(int(vectors), int(squares), int(products), int(line * seam))


@compiled
def _height(rows, strips, multiple):
    """Rows of a strip, where an image is cut in about so many."""
    return min(((rows + strips - 1) // strips + multiple - 1) // multiple * multiple, rows)


@compiled
def _strips(images, rows, row, lanes, multiple):
    """In how many strips an image is best cut: blocks have few empty lanes then, at the price of packing."""
    best, least = 1, 0.0
    for strips in range(1, max(1, min(lanes, rows)) + 1):
        blocks = (images * strips + lanes - 1) // lanes
        squares, seam = (row.vectors / lanes, 0) if strips == 1 else (row.squares, row.seam)
        height = _height(rows, strips, multiple)
        cost = blocks * (height * row.products + SQUARE_COST * (height * squares + seam))
        if strips == 1 or cost < least:
            best, least = strips, cost
    return best


@compiled
def strip_rows(images, rows, row, lanes, multiple):
    """Rows of a strip, a multiple of `multiple`; all rows of the image where it need not be cut.

    There are strips where they leave fewer lanes empty, and so many that a block of them stays in the cache.
    """
    strips = _strips(images, rows, row, lanes, multiple)
    row_bytes = row.vectors * simd.VECTOR_BYTES
    if strips == 1 and rows * row_bytes <= WHOLE_BYTES:
        return rows
    height = (rows + strips - 1) // strips
    blocks = max(1, (height * row_bytes + STRIP_BYTES - 1) // STRIP_BYTES)
    return _height(rows, strips * blocks, multiple)


@compiled
def _strip_starts(x, cut, first, valid, lanes):
    """For each lane: the address of the image that its strip is of, and the row that it begins with.

    Lanes past the valid ones have the strip of the last.
    """
    images, lines = np.empty(lanes, np.int64), np.empty(lanes, np.int64)
    image_bytes = x.shape[1] * x.shape[2] * x.shape[3] * x.itemsize
    for lane in range(lanes):
        strip = first + min(lane, valid - 1)
        images[lane] = x.ctypes.data + strip // cut.strips * image_bytes
        lines[lane] = cut.start + strip % cut.strips * cut.step
    return images, lines


@compiled
def _find_rows(x, starts, c, h, elsewhere, addresses):
    """The addresses of row h of channel c of the strips; outside the image, `elsewhere`."""
    images, lines = starts
    row_bytes = x.shape[3] * x.itemsize
    for lane in range(len(addresses)):
        line = lines[lane] + h
        place = images[lane] + (c * x.shape[2] + line) * row_bytes
        addresses[lane] = place if 0 <= line < x.shape[2] else elsewhere.ctypes.data


@compiled
def gather_strips(x, cut, first, valid, block, steps):
    """The strips first, first + 1, ... of x into the lanes at `block`; zeros past the valid ones."""
    width, lanes = x.shape[3], simd.lanes(block)
    nothing, addresses = np.zeros(width, x.dtype), np.zeros(lanes, np.int64)
    starts = _strip_starts(x, cut, first, valid, lanes)
    for c in range(x.shape[1]):
        for h in range(cut.height):
            _find_rows(x, starts, c, h, nothing, addresses)
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
    starts = _strip_starts(y, cut, first, valid, lanes)
    for c in range(y.shape[1]):
        for h in range(cut.height):
            _find_rows(y, starts, c, h, nowhere, addresses)
            at = c * steps[0] + h * steps[1]
            for w in range(0, width, lanes):
                square = transpose.transpose(transpose.square(block, (at + w) * lanes, lanes))
                transpose.store_square_at(square, pointer(addresses), w, valid, width - w)
    keep((nowhere, addresses))
