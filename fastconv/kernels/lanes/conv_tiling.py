"""How the positions of an image are cut in register tiles.

+-+------+-+    Positions are covered by areas, each cut in tiles across its lines or down through them,
| |      | |    or in patches. An area at an edge misses some taps, so that its tiles had better lie along the
+-+------+-+    edge. Whether a cut in three strips, or in nine areas, makes fewer products than none
| | all  | |    depends on the sizes: what a tile has more than its area is wasted, too.
| | taps | |
+-+------+-+    Which taps the positions use is told by `taps_h`, for each line of positions, and `taps_w`,
| |      | |    for each place in a line: ranges (the first tap, the one after the last) along that axis.
+-+------+-+
"""

from typing import NamedTuple

import numpy as np

from ...simd.compiling import compiled
from .conv import ALONG_LINES, IN_PATCHES, sweeps
from .operation import offsets_of


class Area(NamedTuple):
    """The numbers of an area, an array or a tuple of them: its edges, and how it is cut in tiles."""

    top: int
    bottom: int  # the line after the last
    left: int
    right: int
    tile_h: int  # lines of a tile
    tile_w: int  # positions of a tile in a line
    wraps: int  # whether tiles go on past an edge of the area, from its opposite edge
    tiles: int


AREA = offsets_of(Area)
MANY_POSITIONS = 256  # of more, the edges are few, and a search for the best cut takes too long


@compiled
def _union(ranges, first, last):
    """The smallest range of taps that holds all those of positions `first` to `last` - 1 along an axis."""
    low, high = 0, 0
    for i in range(first, last):
        if ranges[i, 0] < ranges[i, 1]:
            if low == high:
                low, high = ranges[i, 0], ranges[i, 1]
            else:
                low, high = min(low, ranges[i, 0]), max(high, ranges[i, 1])
    return low, high


@compiled
def _positions(area):
    """How many positions an area has."""
    return (area[AREA.bottom] - area[AREA.top]) * (area[AREA.right] - area[AREA.left])


@compiled
def position(area, k):
    """Where position number k of an area lies whose tiles wrap: (line, place in the line)."""
    if area[AREA.tile_h] > 1:
        height = area[AREA.bottom] - area[AREA.top]
        return area[AREA.top] + k % height, area[AREA.left] + k // height
    width = area[AREA.right] - area[AREA.left]
    return area[AREA.top] + k // width, area[AREA.left] + k % width


@compiled
def box(area, number):
    """The smallest box of positions around a tile, by its number: (top, bottom, left, right)."""
    top, bottom, left, right = area[AREA.top], area[AREA.bottom], area[AREA.left], area[AREA.right]
    tile_h, tile_w = area[AREA.tile_h], area[AREA.tile_w]
    if not area[AREA.wraps]:
        tiles_in_line = (right - left + tile_w - 1) // tile_w
        i = top + number // tiles_in_line * tile_h
        j = left + number % tiles_in_line * tile_w
        return i, min(i + tile_h, bottom), j, min(j + tile_w, right)
    size = tile_h * tile_w
    i0, j0 = position(area, number * size)
    i1, j1 = position(area, min((number + 1) * size, _positions(area)) - 1)
    if tile_h > 1:
        return (i0, i1 + 1, j0, j0 + 1) if j0 == j1 else (top, bottom, j0, j1 + 1)
    return (i0, i0 + 1, j0, j1 + 1) if i0 == i1 else (i0, i1 + 1, left, right)


@compiled
def box_taps(taps_h, taps_w, bounds):
    """The taps that the positions in a box use: (first kh, kh past the last, first kw, kw past the last)."""
    top, bottom, left, right = bounds
    return *_union(taps_h, top, bottom), *_union(taps_w, left, right)


@compiled
def next_position(area, place):
    """The position after `place` in an area whose tiles wrap; after the last comes the last again."""
    i, j = place
    if area[AREA.tile_h] > 1:
        i, j = (i + 1, j) if i + 1 < area[AREA.bottom] else (area[AREA.top], j + 1)
    else:
        i, j = (i, j + 1) if j + 1 < area[AREA.right] else (i + 1, area[AREA.left])
    return (i, j) if i < area[AREA.bottom] and j < area[AREA.right] else place


@compiled
def _axis_products(ranges, size):
    """Cut an axis in tiles of `size` positions: returns the taps of all tiles added up, and the tiles."""
    taps, tiles = 0, 0
    for start in range(0, len(ranges), size):
        low, high = _union(ranges, start, min(start + size, len(ranges)))
        taps += high - low
        tiles += 1
    return taps, tiles


@compiled
def _products(taps_h, taps_w, area):
    """Fill in how many tiles an area has; returns the products that they make at one position each."""
    products = 0
    if area[AREA.wraps]:
        size = area[AREA.tile_h] * area[AREA.tile_w]
        area[AREA.tiles] = (_positions(area) + size - 1) // size
        for number in range(area[AREA.tiles]):
            h0, h1, w0, w1 = box_taps(taps_h, taps_w, box(area, number))
            products += (h1 - h0) * (w1 - w0)
        return products
    h_products, h_tiles = _axis_products(taps_h[area[AREA.top] : area[AREA.bottom]], area[AREA.tile_h])
    w_products, w_tiles = _axis_products(taps_w[area[AREA.left] : area[AREA.right]], area[AREA.tile_w])
    area[AREA.tiles] = h_tiles * w_tiles
    return h_products * w_products


@compiled
def _set_area(taps_h, taps_w, area, size, patch_lines, top, bottom, left, right):
    """Fill in an area, in tiles that make the fewest products; returns how many, as `_products`."""
    area[AREA.top], area[AREA.bottom], area[AREA.left], area[AREA.right] = top, bottom, left, right
    area[AREA.tile_h], area[AREA.tile_w], area[AREA.wraps] = patch_lines, size // patch_lines, False
    if _positions(area) == 0:
        return 0
    if patch_lines > 1:
        return _products(taps_h, taps_w, area)
    alike_h, alike_w = _alike(taps_h, top, bottom), _alike(taps_w, left, right)
    area[AREA.wraps] = True
    if alike_h and alike_w:
        area[AREA.tiles] = (_positions(area) + size - 1) // size
        return area[AREA.tiles] * (taps_h[top, 1] - taps_h[top, 0]) * (taps_w[left, 1] - taps_w[left, 0])
    if alike_h:
        area[AREA.tile_h], area[AREA.tile_w] = size, 1
    best, least = area.copy(), _products(taps_h, taps_w, area)
    best[AREA.tiles] = area[AREA.tiles]
    area[AREA.wraps] = False
    for _ in range(2):
        area[AREA.tile_h], area[AREA.tile_w] = area[AREA.tile_w], area[AREA.tile_h]
        products = _products(taps_h, taps_w, area)
        if products < least:
            least, best = products, area.copy()
    area[:] = best
    return least


@compiled
def _alike(ranges, first, last):
    """Whether positions `first` to `last` - 1 along an axis all use the same taps."""
    for i in range(first + 1, last):
        if ranges[i, 0] != ranges[first, 0] or ranges[i, 1] != ranges[first, 1]:
            return False
    return True


@compiled
def _middle(ranges):
    """Which positions along an axis use the most taps: (the first, the one after the last)."""
    most = 0
    for i in range(len(ranges)):
        most = max(most, ranges[i, 1] - ranges[i, 0])
    first, last = 0, len(ranges)
    while first < last and ranges[first, 1] - ranges[first, 0] < most:
        first += 1
    while first < last and ranges[last - 1, 1] - ranges[last - 1, 0] < most:
        last -= 1
    return first, last


@compiled
def _cover(taps_h, taps_w, size, patch_lines):
    """Cover all positions with tiles of `size` positions: returns the areas, and their products."""
    height, width = len(taps_h), len(taps_w)
    top, bottom = _middle(taps_h)
    left, right = _middle(taps_w)
    start = np.int64(0)  # a constant would have `_set_area` compiled anew
    down, across = (start, top, bottom, height), (start, left, right, width)
    best, least = np.zeros((9, len(AREA)), np.int64), 0
    for i in range(3):
        for j in range(3):
            bounds = down[i], down[i + 1], across[j], across[j + 1]
            least += _set_area(taps_h, taps_w, best[3 * i + j], size, patch_lines, *bounds)
    if height * width <= MANY_POSITIONS:
        three, whole = np.zeros((3, len(AREA)), np.int64), np.zeros((1, len(AREA)), np.int64)
        products = 0
        for j in range(3):
            bounds = start, height, across[j], across[j + 1]
            products += _set_area(taps_h, taps_w, three[j], size, patch_lines, *bounds)
        if products < least:
            best, least = three, products
        products = _set_area(taps_h, taps_w, whole[0], size, patch_lines, start, height, start, width)
        if products <= least:
            best, least = whole, products
    return best, least * size


@compiled
def covers(taps_h, taps_w, count):
    """The areas of each sweep over `count` outputs: how all positions are cut in tiles of its shape."""
    planned = sweeps(count, len(taps_h) * len(taps_w))
    nothing = np.zeros((0, len(AREA)), np.int64)
    found = [nothing for _ in planned]
    products = [0 for _ in planned]
    for number in range(len(planned)):
        first, last, size, patch_lines = planned[number]
        empty = first >= last or len(taps_h) * len(taps_w) == 0
        if not empty and (number != IN_PATCHES or patch_lines > 1):
            found[number], products[number] = _cover(taps_h, taps_w, size, patch_lines)
    if products[IN_PATCHES] > 0:  # a product in a patch takes two thirds of the time
        lines_lose = 2 * products[IN_PATCHES] < 3 * products[ALONG_LINES]
        found[ALONG_LINES if lines_lose else IN_PATCHES] = nothing
    return found


@compiled
def tile_count(cover):
    """How many tiles all areas of a cover have together."""
    count = 0
    for area in cover:
        count += area[AREA.tiles]
    return count
