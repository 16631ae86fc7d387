"""Dense layers and their gradients: products of matrices.

    forward and dx     blocks of samples in lanes: y[o] = sum over k of w[o, k] * x[k]
    dweight            the whole batch as rows, samples x features: dweight[o] = sum over n of dy[n, o] * x[n]

A register tile of the first holds 8 outputs, whose weights are splat one by one, of one block or two; of the
second 4 outputs o times 4 vectors of features. Long sums of the first are made in parts, each from 0, which
are then added up.
"""

from typing import NamedTuple

from ... import simd
from ...simd import advance, tiles
from ...simd.compiling import compiled, internal
from ...simd.tiles import (
    column_places,
    columns,
    multiply_add,
    offsets,
    row_offsets,
    rows,
    shape,
    tile_add,
    tile_add_stored,
    tile_store,
    tile_sum,
    zeros,
)
from .conv import COLUMNS_4, MANY_ROWS, advance_vectors, end_sum
from .conv_grad_weight import TABLE_TAIL
from .operation import STATE, offsets_of, operation, operation_in_parts, share
from .shard_sums import LEVELS, end_of_node, first_block

# Products in a part of a sum: in one run, 784 features lose 2 to 4 times as much to rounding.
DENSE_PRODUCTS = 32

# In a round, over all outputs: x of two blocks takes half a first-level cache of 32 kB.
PRODUCTS_IN_ROUND = 4 * DENSE_PRODUCTS
# A tile of two blocks uses each weight that it loads twice, where there are registers for it.
BLOCKS_AT_ONCE = min(2, tiles.tile_columns(MANY_ROWS))

# Of a weight gradient: 4 vectors divide the usual numbers of features, 5 would leave a fifth idle.
DENSE_COLUMNS = min(4, COLUMNS_4)
WAITING = LEVELS * 4 * DENSE_COLUMNS
PLACES = tuple(range(DENSE_COLUMNS))


class DenseGeometry(NamedTuple):
    """The sums that `dense` makes; distances in scalars of the weight."""

    products: int  # in a sum
    outputs: int  # sums of a sample
    w_output: int  # from the weights of one output to those of the next
    w_product: int  # from one weight of an output to its next
    bias: int  # whether there is one
    ending: int  # what becomes of a finished sum: PLAIN, RELU or GATE of conv.py
    block: int  # scalars from one block's x, y and gate to the next one's, if all are taken together; else 0


DENSE = offsets_of(DenseGeometry)
W_ROWS = len(DENSE)  # behind them: how far the weights of each row of a tile are from those of the first


@internal
def _dense_tiles(form, x, w, bias, gate, y, g, s, first_output, count, first_block, groups):
    """Compute `count` x `groups` tiles of the shape `form`, or a share: the outputs of blocks in their rows.

    Long sums are computed in several rounds, whose x stays in the cache; y holds what there is of a sum.
    """
    products, w_output, w_product = g[DENSE.products], g[DENSE.w_output], g[DENSE.w_product]
    if count == 0:
        return
    block, w_rows = g[DENSE.block] // simd.lanes(x), row_offsets(form, g, W_ROWS)
    at_blocks = column_places(form, block)
    first, last = share(count * groups, s)
    for start in range(0, products, PRODUCTS_IN_ROUND):
        end = min(start + PRODUCTS_IN_ROUND, products)
        for number in range(first, last):
            o = first_output + number // groups * rows(form)
            at = (first_block + number % groups * columns(form)) * block
            total = zeros(form)
            for part in range(start, end, DENSE_PRODUCTS):
                acc = zeros(form)
                for k in range(part, min(part + DENSE_PRODUCTS, end)):
                    acc = multiply_add(acc, w, o * w_output + k * w_product, w_rows, x, at + k, at_blocks)
                if part > start:
                    total = tile_sum(acc, total)
                elif part > 0:
                    total = tile_add_stored(acc, y, at + o, 1, at_blocks)
                else:
                    total = acc
            if end == products:
                gate_here = advance_vectors(gate, at)
                total = end_sum(total, g[DENSE.bias], bias, g[DENSE.ending], gate_here, o, 1, at_blocks)
            tile_store(total, y, at + o, 1, at_blocks)


OF_SOME, OF_ONE = True, True  # parts of `dense`: tiles of some blocks, and of one


def _used_tiles(g):
    """Which parts of `dense` a geometry uses."""
    some = g[DENSE.block] > 0
    return some, not some or BLOCKS_AT_ONCE > 1


@compiled
def _tile_counts(outputs):
    """How many tiles there are of many, four and one output."""
    many, rest = outputs // MANY_ROWS, outputs % MANY_ROWS
    return many, rest // 4, rest % 4


@operation_in_parts(("OF_SOME", "OF_ONE"), _used_tiles)
def dense(x, w, bias, gate, y, _, g, s):
    """y = bias + w x, sums over features; then ReLU, or 0 where `gate` is not positive.

    Sums over the rows of w, dx = w^T dy, are the same with other distances. All blocks of this process may be
    taken together: their weights are read once.
    """
    many, four, one = _tile_counts(g[DENSE.outputs])
    fours, ones = many * MANY_ROWS, many * MANY_ROWS + four * 4
    first, groups, rest = 0, 0, 1
    if g[DENSE.block] > 0:
        first = first_block(s[STATE.first_shard], s[STATE.blocks], s[STATE.shards])
        count = first_block(s[STATE.last_shard], s[STATE.blocks], s[STATE.shards]) - first
        groups, rest = count // BLOCKS_AT_ONCE, count % BLOCKS_AT_ONCE
    single = first + groups * BLOCKS_AT_ONCE
    if OF_SOME and groups > 0:
        form = shape(x, MANY_ROWS, BLOCKS_AT_ONCE)
        _dense_tiles(form, x, w, bias, gate, y, g, s, 0, many, first, groups)
        form = shape(x, 4, BLOCKS_AT_ONCE)
        _dense_tiles(form, x, w, bias, gate, y, g, s, fours, four, first, groups)
        form = shape(x, 1, BLOCKS_AT_ONCE)
        _dense_tiles(form, x, w, bias, gate, y, g, s, ones, one, first, groups)
    if OF_ONE and rest > 0:
        _dense_tiles(shape(x, MANY_ROWS, 1), x, w, bias, gate, y, g, s, 0, many, single, rest)
        _dense_tiles(shape(x, 4, 1), x, w, bias, gate, y, g, s, fours, four, single, rest)
        _dense_tiles(shape(x, 1, 1), x, w, bias, gate, y, g, s, ones, one, single, rest)


def _with_rows(geometry):
    """The numbers of a `DenseGeometry` with the distances of a tile's rows behind them."""
    return (*geometry, *(r * geometry.w_output for r in range(MANY_ROWS)))


def forward_geometry(in_features, out_features, has_bias, ending, block=0):
    """Make the geometry of `dense` for y = w x + bias."""
    return _with_rows(
        DenseGeometry(
            products=in_features,
            outputs=out_features,
            w_output=in_features,
            w_product=1,
            bias=has_bias,
            ending=ending,
            block=block,
        )
    )


def grad_input_geometry(in_features, out_features, ending, block=0):
    """Make the geometry of `dense` for dx = w^T dy."""
    return _with_rows(
        DenseGeometry(
            products=out_features,
            outputs=in_features,
            w_output=1,
            w_product=in_features,
            bias=0,
            ending=ending,
            block=block,
        )
    )


class RowsGradWeightGeometry(NamedTuple):
    """The matrices that `rows_grad_weight` multiplies, one row a sample."""

    out_features: int
    in_features: int
    x_row: int  # scalars from one sample's features to the next one's
    dy_row: int
    bias: int  # whether there is one
    node: int = 0  # scalars from the gradients of one shard's node to those of the next shard's


ROWS_GRAD = offsets_of(RowsGradWeightGeometry)
VECTOR_NUMBERS = len(ROWS_GRAD)  # behind them: 0, 1, 2, ..., the vectors of a row of x


@operation
def rows_grad_weight(x, dy, dweight, dbias, _a, _b, g, s):
    """A dense layer's gradients over a whole batch, from samples x features.

    dweight[o, i] = sum over n of dy[n, o] * x[n, i], and dbias[o] = sum over n of dy[n, o]. Each thread
    takes some of the rows o. The samples of a shard are added in order, and shards as `shard_sums.py` says:
    those of each node that this process computes, which is all of them if it is alone.
    """
    out_features = g[ROWS_GRAD.out_features]
    first, last = share((out_features + 3) // 4, s)
    first, last = first * 4, min(last * 4, out_features)
    fours = first + (last - first) // 4 * 4
    shard, own_end = s[STATE.first_shard], s[STATE.last_shard]
    while shard < own_end:
        end, at = end_of_node(shard, own_end, s[STATE.shards]), shard * g[ROWS_GRAD.node]
        weights = advance(dweight, at)
        _gradient_outputs(shape(x, 4, DENSE_COLUMNS), x, dy, weights, first, fours, shard, end, g, s)
        _gradient_outputs(shape(x, 1, DENSE_COLUMNS), x, dy, weights, fours, last, shard, end, g, s)
        if g[ROWS_GRAD.bias]:
            _gradient_of_bias(dy, advance(dbias, at), shard, end, g, s)
        shard = end


@compiled
def _first_sample(shard, lane_count, s):
    """The first sample of a shard."""
    block = first_block(shard, s[STATE.blocks], s[STATE.shards])
    return min(block * lane_count, s[STATE.samples])


@compiled
def _up_the_tree(acc, waiting, number, ends, places):
    """What sum there is with shard number `number` of a node, whose own sum is `acc`.

    Sums that wait for their right neighbour lie in `waiting`, one for each level of the tree: those of the
    bits of `number`. Where the node `ends` here, no neighbour comes to the others.
    """
    size, level, rest = rows(acc) * columns(acc), 0, number
    while rest % 2 == 1 or (ends and rest > 0):
        if rest % 2 == 1:
            acc = tile_add_stored(acc, waiting, level * size, columns(acc), places)
        rest, level = rest // 2, level + 1
    if not ends:
        tile_store(acc, waiting, level * size, columns(acc), places)
    return acc


@internal
def _gradient_outputs(form, x, dy, dweight, first, last, shard, end, g, s):
    """Compute the weight's gradient for the outputs from `first` to before `last`, tile by tile.

    It is summed over the shards from `shard` to before `end`.
    """
    lane_count, dy_row, in_features = simd.lanes(x), g[ROWS_GRAD.dy_row], g[ROWS_GRAD.in_features]
    row_vectors, waiting = g[ROWS_GRAD.x_row] // lane_count, simd.local(x, WAITING)
    numbers = advance(g, VECTOR_NUMBERS)
    for o in range(first, last, rows(form)):
        for v in range(0, (in_features + lane_count - 1) // lane_count, columns(form)):
            x_at = offsets(form, numbers, v)
            acc, n = zeros(form), _first_sample(shard, lane_count, s)
            for k in range(shard, end):
                acc, sample_end = zeros(form), _first_sample(k + 1, lane_count, s)
                for sample in range(n, sample_end):
                    acc = multiply_add(acc, dy, sample * dy_row + o, 1, x, sample * row_vectors, x_at)
                acc, n = _up_the_tree(acc, waiting, k - shard, k == end - 1, PLACES), sample_end
            tiles.store_rows(acc, dweight, o * in_features, in_features, v, in_features)


@internal
def _gradient_of_bias(dy, dbias, shard, end, g, s):
    """Compute a thread's part of the bias's gradient over the shards from `shard` to before `end`."""
    lane_count, out_features, form = simd.lanes(dy), g[ROWS_GRAD.out_features], shape(dy, 1, 1)
    row_vectors, waiting = g[ROWS_GRAD.dy_row] // lane_count, simd.local(dy, LEVELS)
    first, last = share((out_features + lane_count - 1) // lane_count, s)
    for v in range(first, last):
        acc, n = zeros(form), _first_sample(shard, lane_count, s)
        for k in range(shard, end):
            acc, sample_end = zeros(form), _first_sample(k + 1, lane_count, s)
            for sample in range(n, sample_end):
                acc = tile_add(acc, dy, sample * row_vectors + v, 0)
            acc, n = _up_the_tree(acc, waiting, k - shard, k == end - 1, (0,)), sample_end
        tiles.store_rows(acc, dbias, 0, 0, v, out_features)


def grad_weight_geometry(in_features, out_features, x_row, dy_row, has_bias, lanes, node=0):
    """Make the geometry of `rows_grad_weight`; rows of x and dy are `x_row` and `dy_row` scalars apart."""
    vectors = (in_features + lanes - 1) // lanes
    geometry = RowsGradWeightGeometry(
        out_features=out_features,
        in_features=in_features,
        x_row=x_row,
        dy_row=dy_row,
        bias=has_bias,
        node=node,
    )
    return (*geometry, *(min(k, vectors - 1) for k in range(vectors + TABLE_TAIL)))
