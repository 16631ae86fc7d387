"""How the positions of an image are cut in register tiles.

+-+------+-+    Positions are covered by areas, each cut in tiles along its rows or its columns, or in
| |      | |    blocks. An area at an edge misses some taps, so that its tiles had better lie along the
+-+------+-+    edge. Whether a cut in three strips, or in nine areas, makes fewer products than none
| | all  | |    depends on the sizes: what a tile has more than its area is wasted, too.
| | taps | |
+-+------+-+    An area is (first and last row, first and last column, lines and steps of a tile, whether
| |      | |    its tiles go on across the ends of rows or columns, how many tiles), as an array or a
+-+------+-+    tuple. Taps that positions use are ranges, (first, last excluded), of each along an axis.
"""

import numpy as np

from ...simd.compiling import compiled
from .conv import BLOCKS, SINGLE, passes

TOP, BOTTOM, LEFT, RIGHT, TILE_LINES, TILE_STEPS, ACROSS, TILES, AREA = range(9)
MANY_POSITIONS = 256  # of more, the edges are few, and a search for the best cut takes too long


@compiled
def _union(ranges, first, last):
    """The taps from the first to the last that any of the positions first..last - 1 uses."""
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
    return (area[BOTTOM] - area[TOP]) * (area[RIGHT] - area[LEFT])


@compiled
def position(area, k):
    """(line, step) of position number k of an area whose tiles go on across the ends of rows or columns."""
    if area[TILE_LINES] > 1:
        height = area[BOTTOM] - area[TOP]
        return area[TOP] + k % height, area[LEFT] + k // height
    width = area[RIGHT] - area[LEFT]
    return area[TOP] + k // width, area[LEFT] + k % width


@compiled
def box(area, number):
    """(lines from, to, steps from, to) of the smallest box around a tile."""
    top, bottom, left, right = area[TOP], area[BOTTOM], area[LEFT], area[RIGHT]
    tile_lines, tile_steps = area[TILE_LINES], area[TILE_STEPS]
    if not area[ACROSS]:
        tiles_in_line = (right - left + tile_steps - 1) // tile_steps
        i = top + number // tiles_in_line * tile_lines
        j = left + number % tiles_in_line * tile_steps
        return i, min(i + tile_lines, bottom), j, min(j + tile_steps, right)
    size = tile_lines * tile_steps
    i0, j0 = position(area, number * size)
    i1, j1 = position(area, min((number + 1) * size, _positions(area)) - 1)
    if tile_lines > 1:
        return (i0, i1 + 1, j0, j0 + 1) if j0 == j1 else (top, bottom, j0, j1 + 1)
    return (i0, i0 + 1, j0, j1 + 1) if i0 == i1 else (i0, i1 + 1, left, right)


@compiled
def box_taps(lines, steps, bounds):
    """The grid of taps, (lines from, to, steps from, to), that the positions in a box use."""
    top, bottom, left, right = bounds
    return *_union(lines, top, bottom), *_union(steps, left, right)


@compiled
def next_across(area, place):
    """The position after `place`, across the ends of rows or columns; the last one is its own successor."""
    i, j = place
    if area[TILE_LINES] > 1:
        i, j = (i + 1, j) if i + 1 < area[BOTTOM] else (area[TOP], j + 1)
    else:
        i, j = (i, j + 1) if j + 1 < area[RIGHT] else (i + 1, area[LEFT])
    return (i, j) if i < area[BOTTOM] and j < area[RIGHT] else place


@compiled
def _axis_products(ranges, size):
    """The taps of tiles of `size` positions along an axis, added up, and how many tiles there are."""
    taps, tiles = 0, 0
    for start in range(0, len(ranges), size):
        low, high = _union(ranges, start, min(start + size, len(ranges)))
        taps += high - low
        tiles += 1
    return taps, tiles


@compiled
def _products(lines, steps, area):
    """The products that the tiles of an area make, for each of their positions; sets how many tiles."""
    products = 0
    if area[ACROSS]:
        size = area[TILE_LINES] * area[TILE_STEPS]
        area[TILES] = (_positions(area) + size - 1) // size
        for number in range(area[TILES]):
            a0, a1, b0, b1 = box_taps(lines, steps, box(area, number))
            products += (a1 - a0) * (b1 - b0)
        return products
    line_taps, line_tiles = _axis_products(lines[area[TOP] : area[BOTTOM]], area[TILE_LINES])
    step_taps, step_tiles = _axis_products(steps[area[LEFT] : area[RIGHT]], area[TILE_STEPS])
    area[TILES] = line_tiles * step_tiles
    return line_taps * step_taps


@compiled
def _set_area(lines, steps, area, size, block_lines, top, bottom, left, right):
    """Fill in an area, in the way that makes the fewest products; returns how many these are."""
    area[TOP], area[BOTTOM], area[LEFT], area[RIGHT] = top, bottom, left, right
    area[TILE_LINES], area[TILE_STEPS], area[ACROSS] = block_lines, size // block_lines, False
    if _positions(area) == 0:
        return 0
    if block_lines > 1:
        return _products(lines, steps, area)
    lines_alike, steps_alike = _alike(lines, top, bottom), _alike(steps, left, right)
    area[ACROSS] = True
    if lines_alike and steps_alike:
        area[TILES] = (_positions(area) + size - 1) // size
        return area[TILES] * (lines[top, 1] - lines[top, 0]) * (steps[left, 1] - steps[left, 0])
    if lines_alike:
        area[TILE_LINES], area[TILE_STEPS] = size, 1
    best, least = area.copy(), _products(lines, steps, area)
    best[TILES] = area[TILES]
    area[ACROSS] = False
    for _ in range(2):
        area[TILE_LINES], area[TILE_STEPS] = area[TILE_STEPS], area[TILE_LINES]
        products = _products(lines, steps, area)
        if products < least:
            least, best = products, area.copy()
    area[:] = best
    return least


@compiled
def _alike(ranges, first, last):
    """Whether the positions first..last - 1 use the same taps."""
    for i in range(first + 1, last):
        if ranges[i, 0] != ranges[first, 0] or ranges[i, 1] != ranges[first, 1]:
            return False
    return True


@compiled
def _middle(ranges):
    """(first, last excluded) of the positions that use the most taps."""
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
def _cover(lines, steps, size, block_lines):
    """The areas that cover all positions with tiles of `size` positions, and how many products they make."""
    height, width = len(lines), len(steps)
    top, bottom = _middle(lines)
    left, right = _middle(steps)
    start = np.int64(0)  # a constant would have `_set_area` compiled anew
    rows = start, top, bottom, height
    columns = start, left, right, width
    best, least = np.zeros((9, AREA), np.int64), 0
    for i in range(3):
        for j in range(3):
            bounds = rows[i], rows[i + 1], columns[j], columns[j + 1]
            least += _set_area(lines, steps, best[3 * i + j], size, block_lines, *bounds)
    if height * width <= MANY_POSITIONS:
        three, whole = np.zeros((3, AREA), np.int64), np.zeros((1, AREA), np.int64)
        products = 0
        for j in range(3):
            bounds = start, height, columns[j], columns[j + 1]
            products += _set_area(lines, steps, three[j], size, block_lines, *bounds)
        if products < least:
            best, least = three, products
        products = _set_area(lines, steps, whole[0], size, block_lines, start, height, start, width)
        if products <= least:
            best, least = whole, products
    return best, least * size


@compiled
def covers(lines, steps, count):
    """The areas of each pass over `count` rows; of a single row, either tiles along lines or blocks."""
    plans = passes(count, len(lines) * len(steps))
    nothing = np.zeros((0, AREA), np.int64)
    found = [nothing for _ in plans]
    products = [0 for _ in plans]
    for number in range(len(plans)):
        first, last, size, block_lines = plans[number]
        if first < last and len(lines) * len(steps) > 0 and (number != BLOCKS or block_lines > 1):
            found[number], products[number] = _cover(lines, steps, size, block_lines)
    if products[BLOCKS] > 0:  # a product in a block takes two thirds of the time
        found[SINGLE if 2 * products[BLOCKS] < 3 * products[SINGLE] else BLOCKS] = nothing
    return found


@compiled
def tile_count(cover):
    """The tiles of all areas."""
    count = 0
    for area in cover:
        count += area[TILES]
    return count
