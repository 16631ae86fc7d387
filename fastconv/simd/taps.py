"""Sums over neighbouring taps: each vector of a line is loaded once and serves all the taps that meet it.

    line of x     x0  x1  x2  x3  x4  x5            6 loads for 4 positions of 3 taps: 12 products,
    position 0    w0  w1  w2                        where `multiply_add`, tap by tap, loads 12 times
    position 1        w0  w1  w2
    position 2            w0  w1  w2
    position 3                w0  w1  w2

How many taps there are, and the stride from a position to the next, are literal integers. The gradient of the
weights has the same loads: there the sums over positions of all taps stay in registers, see `window_add`.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

from .tiles import Tile, emit_places
from .vectors import emit_fma, emit_load, emit_rolled, emit_splat, llvm_vector


def _literals(*arguments):
    """Whether all of an intrinsic's arguments are literal integers."""
    return all(isinstance(argument, types.IntegerLiteral) for argument in arguments)


def _emit_line(b, vector, base, start, places):
    """Emit the loads of vectors start + place of the memory at `base`, for each of the `places`."""
    line = b.gep(base, [b.mul(start, ir.Constant(start.type, vector.lanes))])
    return [emit_load(b, vector, line, place) for place in places]


class Neighbours(types.Dummy):
    """The type of a value that only tells how many neighbouring taps are taken, and at which stride."""

    def __init__(self, taps, stride):
        self.taps, self.stride = taps, stride
        super().__init__(name=f"Neighbours({taps}, {stride})")


register_model(Neighbours)(models.OpaqueModel)


@intrinsic
def neighbours(typingctx, taps, stride):
    """Say how many taps `line_add` takes at once, and the stride from a position to the next.

    Stride 0 stands for one that is known when the code runs, of a single tap. The result is all type and no
    value: functions that it is passed to know these numbers.
    """
    if not _literals(taps, stride):
        return None
    pair = Neighbours(taps.literal_value, stride.literal_value)
    return pair(taps, stride), lambda context, b, sig, args: context.get_dummy_value()


@intrinsic
def line_add(typingctx, grid, w, w_index, w_step, x, x_index, x_line, x_step, taps):
    """Add the products of some taps to a patch: to its position c in line l, the sum over the taps t of

    the scalar w[w_index + t * w_step] times the vector x[x_index + l * x_line + c * stride + t]. Where the
    stride of the `neighbours` is 0, it is `x_step`.
    """
    if not isinstance(taps, Neighbours):
        return None
    count, step = taps.taps, taps.stride

    def codegen(context, b, sig, args):
        acc, w_, w_at, by, x_, x_at, line_step, place_step = args[:8]
        emit_rolled(b)
        whole, width = x_at.type, grid.columns // grid.lines
        if step:
            places = [ir.Constant(whole, place) for place in range((width - 1) * step + count)]
        else:
            places = emit_places(b, ir.Constant(whole, 0), place_step, width)
        weights = [_emit_weight(b, grid.vector, w_, at) for at in emit_places(b, w_at, by, count)]
        for number, at in enumerate(emit_places(b, x_at, line_step, grid.lines)):
            line = _emit_line(b, grid.vector, x_, at, places)
            acc = _emit_products(b, acc, number * width, width, weights, line, step or 1)
        return acc

    places = types.intp, types.intp, x, types.intp, types.intp, types.intp
    return grid(grid, w, *places, taps), codegen


def _emit_weight(b, vector, base, index):
    """Emit the scalar base[index] in every lane of a vector."""
    return emit_splat(b, llvm_vector(vector), b.load(b.gep(base, [index])))


def _emit_products(b, acc, first, width, weights, line, step):
    """Emit the sums over the taps at `width` positions, which are added to acc[first] and what follows."""
    for t, weight in enumerate(weights):
        for c in range(width):
            total = emit_fma(b, weight, line[c * step + t], b.extract_value(acc, first + c))
            acc = b.insert_value(acc, total, first + c)
    return acc


@intrinsic
def window_add(typingctx, grid, block, y, y_index, x, x_index, x_tap_h, positions, stride):
    """Add products at some positions of a line to the sums of a block of taps: to row r and column t,

    the sum over the positions p of y[y_index + p] * x[x_index + r * x_tap_h + p * stride + t]. `block` is the
    block's shape; so that a sum need not wait for the one before it, the tile may be several blocks, one
    below the other, that take turns.
    """
    if not _literals(positions, stride):
        return None
    count, step, turns = positions.literal_value, stride.literal_value, grid.rows // block.rows

    def codegen(context, b, sig, args):
        acc, _, y_, y_at, x_, x_at, by = args[:7]
        emit_rolled(b)
        whole, taps, tap_lines = x_at.type, grid.columns, block.rows
        slopes = _emit_line(b, grid.vector, y_, y_at, [ir.Constant(whole, p) for p in range(count)])
        loaded = [ir.Constant(whole, place) for place in range((count - 1) * step + taps)]
        for r, at in enumerate(emit_places(b, x_at, by, tap_lines)):
            line = _emit_line(b, grid.vector, x_, at, loaded)
            for p in range(count):
                for t in range(taps):
                    k = (p % turns * tap_lines + r) * taps + t
                    total = emit_fma(b, slopes[p], line[p * step + t], b.extract_value(acc, k))
                    acc = b.insert_value(acc, total, k)
        return acc

    places = types.intp, x, types.intp, types.intp
    return grid(grid, block, y, *places, positions, stride), codegen


@intrinsic
def sum_blocks(typingctx, grid, block):
    """Add up the blocks that a tile of `window_add` holds: a tile of one row, with the taps in order."""
    result = Tile(grid.dtype, 1, block.rows * block.columns)

    def codegen(context, b, sig, args):
        vectors = [b.extract_value(args[0], k) for k in range(grid.rows * grid.columns)]
        size, total = result.rows * result.columns, ir.Constant(context.get_value_type(result), ir.Undefined)
        for k in range(size):
            value = vectors[k]
            for other in vectors[k + size :: size]:
                value = b.fadd(value, other)
            total = b.insert_value(total, value, k)
        return total

    return result(grid, block), codegen
