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

from ...simd.compiling import compiled
from .conv import ALONG_LINES, IN_PATCHES, sweeps
from .operation import offsets_of


class Area(NamedTuple):
    """The numbers of an area, in a tuple: its edges, and how it is cut in tiles."""

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
        start, end = ranges[i]
        if start < end:
            if low == high:
                low, high = start, end
            else:
                low, high = min(low, start), max(high, end)
    return low, high


@compiled
def _positions(area):
    """How many positions an area has."""
    return (area[AREA.bottom] - area[AREA.top]) * (area[AREA.right] - area[AREA.left])


@compiled
def _position(area, k):
    """Where position number k of an area lies whose tiles wrap: (line, place in the line)."""
    if area[AREA.tile_h] > 1:
        height = area[AREA.bottom] - area[AREA.top]
        return area[AREA.top] + k % height, area[AREA.left] + k // height
    width = area[AREA.right] - area[AREA.left]
    return area[AREA.top] + k // width, area[AREA.left] + k % width


@compiled
def corner(area, number):
    """Where the first position of a tile lies, by the tile's number: (line, place in the line)."""
    tile_h, tile_w = area[AREA.tile_h], area[AREA.tile_w]
    if area[AREA.wraps]:
        return _position(area, number * tile_h * tile_w)
    tiles_in_line = (area[AREA.right] - area[AREA.left] + tile_w - 1) // tile_w
    return (
        area[AREA.top] + number // tiles_in_line * tile_h,
        area[AREA.left] + number % tiles_in_line * tile_w,
    )


@compiled
def tile_taps(taps_h, taps_w, area, number):
    """The taps that the positions of a tile use: (first kh, kh past the last, first kw, kw past the last).

    They are those of the smallest box around it.
    """
    top, bottom, left, right = area[AREA.top], area[AREA.bottom], area[AREA.left], area[AREA.right]
    i, j = corner(area, number)
    size = area[AREA.tile_h] * area[AREA.tile_w]
    if not area[AREA.wraps]:
        top, bottom = i, min(i + area[AREA.tile_h], bottom)
        left, right = j, min(j + area[AREA.tile_w], right)
    else:
        last_i, last_j = _position(area, min((number + 1) * size, _positions(area)) - 1)
        if area[AREA.tile_h] > 1:
            left, right = j, last_j + 1
            if j == last_j:
                top, bottom = i, last_i + 1
        else:
            top, bottom = i, last_i + 1
            if i == last_i:
                left, right = j, last_j + 1
    return *_union(taps_h, top, bottom), *_union(taps_w, left, right)


@compiled
def area_taps(taps_h, taps_w, area):
    """The taps that the positions of an area use together, and whether each of them uses all of these."""
    top, bottom, left, right = area[AREA.top], area[AREA.bottom], area[AREA.left], area[AREA.right]
    alike = _alike(taps_h, top, bottom) and _alike(taps_w, left, right)
    return (*_union(taps_h, top, bottom), *_union(taps_w, left, right)), alike


@compiled
def _axis_products(ranges, first, last, size):
    """Cut an axis in tiles of `size` positions: returns the taps of all tiles added up, and the tiles."""
    taps, tiles = 0, 0
    for start in range(first, last, size):
        low, high = _union(ranges, start, min(start + size, last))
        taps += high - low
        tiles += 1
    return taps, tiles


@compiled
def _cut(taps_h, taps_w, bounds, tile_h, tile_w, wraps):
    """Cut an area in tiles: returns its numbers, and the products that they make at one position each."""
    top, bottom, left, right = bounds
    products, size = 0, tile_h * tile_w
    if wraps:
        tiles = ((bottom - top) * (right - left) + size - 1) // size
        area = (top, bottom, left, right, tile_h, tile_w, 1, tiles)
        for number in range(tiles):
            h0, h1, w0, w1 = tile_taps(taps_h, taps_w, area, number)
            products += (h1 - h0) * (w1 - w0)
        return area, products
    h_products, h_tiles = _axis_products(taps_h, top, bottom, tile_h)
    w_products, w_tiles = _axis_products(taps_w, left, right, tile_w)
    return (top, bottom, left, right, tile_h, tile_w, 0, h_tiles * w_tiles), h_products * w_products


@compiled
def _best_cut(taps_h, taps_w, size, patch_lines, bounds):
    """As `_cut`, in tiles of `size` positions that make the fewest products."""
    top, bottom, left, right = bounds
    if patch_lines > 1:
        return _cut(taps_h, taps_w, bounds, patch_lines, size // patch_lines, 0)
    alike_h, alike_w = _alike(taps_h, top, bottom), _alike(taps_w, left, right)
    if alike_h and alike_w:
        tiles = ((bottom - top) * (right - left) + size - 1) // size
        h, w = taps_h[top], taps_w[left]
        return (top, bottom, left, right, 1, size, 1, tiles), tiles * (h[1] - h[0]) * (w[1] - w[0])
    tile_h, tile_w = (size, 1) if alike_h else (1, size)
    best, least = _cut(taps_h, taps_w, bounds, tile_h, tile_w, 1)
    for _ in range(2):
        tile_h, tile_w = tile_w, tile_h
        area, products = _cut(taps_h, taps_w, bounds, tile_h, tile_w, 0)
        if products < least:
            best, least = area, products
    return best, least


@compiled
def _alike(ranges, first, last):
    """Whether positions `first` to `last` - 1 along an axis all use the same taps."""
    i = first + 1
    while i < last and ranges[i] == ranges[first]:
        i += 1
    return i >= last


@compiled
def _middle(ranges):
    """Which positions along an axis use the most taps: (the first, the one after the last)."""
    most = 0
    for start, end in ranges:
        most = max(most, end - start)
    first, last = 0, len(ranges)
    while first < last and ranges[first][1] - ranges[first][0] < most:
        first += 1
    while first < last and ranges[last - 1][1] - ranges[last - 1][0] < most:
        last -= 1
    return first, last


@compiled
def _cover(taps_h, taps_w, size, patch_lines, down, across):
    """Cut all positions along the lines `down` and the places `across`: the areas, and their products."""
    areas, products = _no_areas(), 0
    for i in range(len(down) - 1):
        for j in range(len(across) - 1):
            if down[i] < down[i + 1] and across[j] < across[j + 1]:
                bounds = down[i], down[i + 1], across[j], across[j + 1]
                area, more = _best_cut(taps_h, taps_w, size, patch_lines, bounds)
                areas.append(area)
                products += more
    return areas, products


@compiled
def _best_cover(taps_h, taps_w, size, patch_lines):
    """Cover all positions with tiles of `size` positions: returns the areas, and their products."""
    height, width = len(taps_h), len(taps_w)
    top, bottom = _middle(taps_h)
    left, right = _middle(taps_w)
    down, across = [0, top, bottom, height], [0, left, right, width]
    best, least = _cover(taps_h, taps_w, size, patch_lines, down, across)
    if height * width <= MANY_POSITIONS:
        areas, products = _cover(taps_h, taps_w, size, patch_lines, [0, height], across)
        if products < least:
            best, least = areas, products
        areas, products = _cover(taps_h, taps_w, size, patch_lines, [0, height], [0, width])
        if products <= least:
            best, least = areas, products
    return best, least * size


@compiled
def _no_areas():
    """An empty list of areas."""
    area = 0, 0, 0, 0, 0, 0, 0, 0
    return [area for _ in range(0)]


@compiled
def covers(taps_h, taps_w, count):
    """The areas of each sweep over `count` outputs: how all positions are cut in tiles of its shape."""
    positions = len(taps_h) * len(taps_w)
    planned = sweeps(count, positions)
    found = [_no_areas() for _ in planned]
    products = [0 for _ in planned]
    for number in range(len(planned)):
        first, last, size, patch_lines = planned[number]
        if first < last and positions > 0 and (number != IN_PATCHES or patch_lines > 1):
            found[number], products[number] = _best_cover(taps_h, taps_w, size, patch_lines)
    if products[IN_PATCHES] > 0:  # a product in a patch takes two thirds of the time
        lines_lose = 2 * products[IN_PATCHES] < 3 * products[ALONG_LINES]
        found[ALONG_LINES if lines_lose else IN_PATCHES] = _no_areas()
    return found


@compiled
def tile_count(cover):
    """How many tiles all areas of a cover have together."""
    count = 0
    for area in cover:
        count += area[AREA.tiles]
    return count
