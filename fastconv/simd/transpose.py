"""Squares of lanes x lanes: transposes in registers, between samples x features and vectors of lanes.

A square is a tile of one column with as many rows as a vector has lanes. Where a row or an element is not
there, loads give zeros and stores leave the memory alone.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .kinds import emit_by_kind
from .tiles import Tile, emit_places
from .vectors import (
    Vector,
    emit_below,
    emit_converted,
    emit_load,
    emit_masked,
    emit_masked_load,
    emit_store,
    is_pointer,
    llvm_scalar,
    llvm_vector,
)


@intrinsic
def store_square(typingctx, grid, p, index, distance, valid, count):
    """Store `count` lanes of the first `valid` rows of a square, row r at scalar p[index + r * distance]."""

    def codegen(context, b, sig, args):
        acc, base, start, by, valid_, limit = args
        places = [b.gep(base, [where]) for where in emit_places(b, start, by, grid.rows)]
        _store_square(b, grid, acc, places, valid_, limit)
        return context.get_dummy_value()

    return types.void(grid, p, types.intp, types.intp, types.intp, types.intp), codegen


@intrinsic
def store_square_at(typingctx, grid, addresses, index, valid, count):
    """As `store_square`, where row r goes to element `index` of the memory at addresses[r]."""

    def codegen(context, b, sig, args):
        acc, table, start, valid_, limit = args
        kind = llvm_scalar(grid.dtype).as_pointer()
        places = [b.gep(_pointer_from(b, table, r, kind), [start]) for r in range(grid.rows)]
        _store_square(b, grid, acc, places, valid_, limit)
        return context.get_dummy_value()

    return types.void(grid, addresses, types.intp, types.intp, types.intp), codegen


def _store_square(b, grid, acc, places, valid, count):
    """Emit the stores of the first `count` lanes of the first `valid` rows of a square, each to its place."""
    inside, zero = emit_below(b, grid.vector.lanes, count), ir.Constant(count.type, 0)
    with b.if_else(_whole(b, grid, valid, count)) as (then, otherwise):
        with then:
            for r, place in enumerate(places):
                emit_store(b, grid.vector, place, zero, b.extract_value(acc, r))
        with otherwise:
            for r, place in enumerate(places):
                with b.if_then(b.icmp_signed("<", ir.Constant(valid.type, r), valid)):
                    emit_masked(b, "store", grid.vector, place, inside, b.extract_value(acc, r))


def _whole(b, square, valid, count):
    """Emit whether a square is whole: as many rows are valid, and as many lanes counted, as there are."""
    return b.and_(
        b.icmp_signed(">=", count, ir.Constant(count.type, square.rows)),
        b.icmp_signed(">=", valid, ir.Constant(valid.type, square.rows)),
    )


@intrinsic
def square(typingctx, p, index, distance):
    """Load a square, as many vectors as each has lanes: row r starts at scalar p[index + r * distance]."""
    if not is_pointer(p):
        return None
    grid = Tile(p.dtype, Vector(p.dtype).lanes, 1)

    def codegen(context, b, sig, args):
        base, start, by = args
        acc = ir.Constant(context.get_value_type(grid), ir.Undefined)
        zero = ir.Constant(start.type, 0)
        for r, where in enumerate(emit_places(b, start, by, grid.rows)):
            acc = b.insert_value(acc, emit_load(b, grid.vector, b.gep(base, [where]), zero), r)
        return acc

    return grid(p, types.intp, types.intp), codegen


@intrinsic
def square_at(typingctx, like, addresses, index, kind, valid, count):
    """Load a square whose row r lies at addresses[r], from element `index` on, in numbers of a kind.

    They become numbers of the dtype that `like` points to: see kinds.py. Only `count` are there; rows from
    `valid` on are zeros.
    """
    if not is_pointer(like):
        return None
    grid = Tile(like.dtype, Vector(like.dtype).lanes, 1)

    def codegen(context, b, sig, args):
        _, table, start, kind_, valid_, limit = args
        inside = emit_below(b, grid.rows, limit)

        def loaded(dtype):
            scalar = context.get_value_type(dtype).as_pointer()

            def place(r):
                return b.gep(_pointer_from(b, table, r, scalar), [start])

            return _square_rows(context, b, grid, dtype, place, valid_, limit, inside)

        return _tile_of(context, b, grid, emit_by_kind(b, kind_, loaded))

    return grid(like, addresses, types.intp, types.intp, types.intp, types.intp), codegen


@intrinsic
def square_from(typingctx, like, addresses, index, valid, count):
    """As `square_at`, of numbers of the dtype that `like` points to, which stay as they are."""
    if not is_pointer(like):
        return None
    grid = Tile(like.dtype, Vector(like.dtype).lanes, 1)

    def codegen(context, b, sig, args):
        like_, table, start, valid_, limit = args

        def place(r):
            return b.gep(_pointer_from(b, table, r, like_.type), [start])

        return _square(context, b, grid, place, valid_, limit)

    return grid(like, addresses, types.intp, types.intp, types.intp), codegen


def _pointer_from(b, table, r, pointer_type):
    """Emit the address that stands in table[r], as a pointer."""
    return b.inttoptr(b.load(b.gep(table, [ir.Constant(ir.IntType(64), r)])), pointer_type)


@intrinsic
def square_part(typingctx, p, index, distance, valid, count):
    """As `square`, of which only `valid` rows and `count` elements of each are there: the rest is zeros."""
    if not is_pointer(p):
        return None
    grid = Tile(p.dtype, Vector(p.dtype).lanes, 1)

    def codegen(context, b, sig, args):
        base, start, by, valid_, limit = args
        places = emit_places(b, start, by, grid.rows)
        return _square(context, b, grid, lambda r: b.gep(base, [places[r]]), valid_, limit)

    return grid(p, types.intp, types.intp, types.intp, types.intp), codegen


@intrinsic
def half_square_part(typingctx, p, index, distance, valid, count):
    """As `square_part`, where at most half of the rows are there: its transpose is made of fewer shuffles."""
    if not is_pointer(p):
        return None
    grid = Tile(p.dtype, Vector(p.dtype).lanes, 1)

    def codegen(context, b, sig, args):
        base, start, by, valid_, limit = args
        acc = ir.Constant(context.get_value_type(grid), None)
        inside, raw = emit_below(b, grid.rows, limit), llvm_vector(grid.vector)
        places = emit_places(b, start, by, grid.rows // 2)
        begins = [b.bitcast(b.gep(base, [place]), raw.as_pointer()) for place in places]
        for r in range(len(begins)):
            acc = b.insert_value(acc, _masked_row(b, begins, r, valid_, inside), r)
        return acc

    return grid(p, types.intp, types.intp, types.intp, types.intp), codegen


def _masked_row(b, begins, row, valid, inside):
    """Emit the load of row number `row` of a square: zeros outside `inside`, and in rows from `valid` on.

    `begins` are the addresses of all rows. Where there is none, nothing is loaded from the first: beside the
    end of memory, or in memory that nobody has written to yet, a load of nothing takes some 200 cycles.
    """
    here = b.icmp_signed("<", ir.Constant(valid.type, row), valid)
    mask = b.select(here, inside, ir.Constant(inside.type, None))
    begin = b.select(here, begins[row], begins[0])
    return emit_masked_load(b, begin, mask, ir.Constant(begin.type.pointee, None))


def _square(context, b, grid, place, valid, count):
    """Emit the load of a square whose row r lies at place(r), in numbers of its own dtype."""
    inside = emit_below(b, grid.rows, count)
    return _tile_of(context, b, grid, _square_rows(context, b, grid, grid.dtype, place, valid, count, inside))


def _square_rows(context, b, grid, source, place, valid, count, inside):
    """Emit the loads of the rows of a square, as `_square` does, from numbers of dtype `source`."""
    raw = ir.VectorType(context.get_value_type(source), grid.rows)

    def rows(load_row):
        begins = [b.bitcast(place(r), raw.as_pointer()) for r in range(grid.rows)]
        values = [load_row(begins, r) for r in range(grid.rows)]
        return [emit_converted(b, value, source, grid.dtype) for value in values], b.block

    with b.if_else(_whole(b, grid, valid, count)) as (then, otherwise):
        with then:
            plain, plain_end = rows(lambda begins, r: b.load(begins[r], align=1))
        with otherwise:
            partial, partial_end = rows(lambda begins, r: _masked_row(b, begins, r, valid, inside))
    results = []
    for one, other in zip(plain, partial, strict=True):
        phi = b.phi(one.type)
        phi.add_incoming(one, plain_end)
        phi.add_incoming(other, partial_end)
        results.append(phi)
    return results


def _tile_of(context, b, grid, rows):
    """Emit the tile of one column that has these rows."""
    acc = ir.Constant(context.get_value_type(grid), ir.Undefined)
    for r, value in enumerate(rows):
        acc = b.insert_value(acc, value, r)
    return acc


@intrinsic
def transpose(typingctx, grid):
    """Swap rows and lanes of a square tile, by exchanging ever larger blocks."""
    if not (isinstance(grid, Tile) and grid.rows == grid.vector.lanes and grid.columns == 1):
        return None

    def codegen(context, b, sig, args):
        count = grid.rows
        vectors = [b.extract_value(args[0], r) for r in range(count)]
        indices = ir.VectorType(ir.IntType(32), count)
        size = 1
        while size < count:
            low = [k if not k & size else count + k - size for k in range(count)]
            high = [k + size if not k & size else count + k for k in range(count)]
            for r in range(count):
                if not r & size:
                    pair = vectors[r], vectors[r + size]
                    vectors[r] = b.shuffle_vector(*pair, ir.Constant(indices, low))
                    vectors[r + size] = b.shuffle_vector(*pair, ir.Constant(indices, high))
            size *= 2
        acc = args[0]
        for r in range(count):
            acc = b.insert_value(acc, vectors[r], r)
        return acc

    return grid(grid), codegen


@intrinsic
def store_column(typingctx, grid, y, index, count):
    """Store the first `count` rows of a square one after the other, from vector `index` of y on."""

    def codegen(context, b, sig, args):
        acc, y_, start, limit = args
        for r in range(grid.rows):
            number = ir.Constant(limit.type, r)
            with b.if_then(b.icmp_signed("<", number, limit)):
                emit_store(b, grid.vector, y_, b.add(start, number), b.extract_value(acc, r))
        return context.get_dummy_value()

    return types.void(grid, y, types.intp, types.intp), codegen


@intrinsic
def store_scattered(typingctx, grid, y, table, index, count):
    """Store the first `count` rows of a square where a table says: row r as vector table[index + r] of y."""

    def codegen(context, b, sig, args):
        acc, y_, table_, start, limit = args
        for r in range(grid.rows):
            number = ir.Constant(limit.type, r)
            with b.if_then(b.icmp_signed("<", number, limit)):
                at = b.load(b.gep(table_, [b.add(start, number)]))
                emit_store(b, grid.vector, y_, at, b.extract_value(acc, r))
        return context.get_dummy_value()

    return types.void(grid, y, table, types.intp, types.intp), codegen


@intrinsic
def load_gathered(typingctx, x, table, index, count):
    """Load a square from where a table says: row r is vector table[index + r] of x; 0 from row `count` on."""
    if not is_pointer(x):
        return None
    grid = Tile(x.dtype, Vector(x.dtype).lanes, 1)

    def codegen(context, b, sig, args):
        x_, table_, start, limit = args
        acc = ir.Constant(context.get_value_type(grid), ir.Undefined)
        last = b.sub(limit, ir.Constant(limit.type, 1))
        zero = ir.Constant(llvm_vector(grid.vector), None)
        for r in range(grid.rows):
            number = ir.Constant(limit.type, r)
            inside = b.icmp_signed("<", number, limit)
            at = b.load(b.gep(table_, [b.add(start, b.select(inside, number, last))]))
            acc = b.insert_value(acc, b.select(inside, emit_load(b, grid.vector, x_, at), zero), r)
        return acc

    return grid(x, table, types.intp, types.intp), codegen
