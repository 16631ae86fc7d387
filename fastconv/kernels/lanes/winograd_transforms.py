"""The transforms of Winograd's convolution F(4x4, 3x3), all lanes at once.

A convolution of a line with 3 taps is a product of polynomials. Known at 6 points, the product of two is 6
products of numbers, where the sum over taps makes 12 for 4 results:

    points p          0    5/8   -5/8   3/2   -3/2   infinity
    weights           g0/f0, (g0 + g1 p + g2 p^2) / f(p), ..., g2         G: 3 numbers -> 6
    input             what makes the products right: B^T, 6 numbers -> 6
    results           y[j] = sum over the points of p^j * product         A^T: 6 numbers -> 4

f(p) is the product of the distances to the other points. At p and -p, sums of even and of odd powers serve
both. In two dimensions each is done along lines, then down columns. The gradients take the same matrices the
other way round: A of dy, and G^T of the sums of products.

These points lose 2.6 times less to rounding than 0, +-1, +-2 and infinity, which most libraries take.
"""

from ...simd import add, fill, fma, load, multiply, store, subtract
from ...simd.compiling import compiled, inlined

P, Q = 5 / 8, 3 / 2
P2, Q2 = P * P, Q * Q
AT_0, AT_P, AT_Q = 1 / (P2 * Q2), 1 / (2 * P2 * (P2 - Q2)), 1 / (2 * Q2 * (Q2 - P2))  # 1 / f

TAPS, RESULTS, POINTS = 3, 4, 6  # in each direction
MATRICES = POINTS * POINTS


@inlined
def _load_6(p, at, distance):
    """Six vectors of memory, `distance` apart."""
    return (
        load(p, at),
        load(p, at + distance),
        load(p, at + 2 * distance),
        load(p, at + 3 * distance),
        load(p, at + 4 * distance),
        load(p, at + 5 * distance),
    )


@inlined
def _store_6(p, at, distance, values):
    """Store six vectors, `distance` apart."""
    store(p, at, values[0])
    store(p, at + distance, values[1])
    store(p, at + 2 * distance, values[2])
    store(p, at + 3 * distance, values[3])
    store(p, at + 4 * distance, values[4])
    store(p, at + 5 * distance, values[5])


@inlined
def _input_row(x, d):
    """B^T of six numbers of the input."""
    ends, p2, q2 = fill(x, P2 * Q2), fill(x, -P2), fill(x, -Q2)
    middle = fill(x, -(P2 + Q2))
    at_0 = fma(ends, d[0], fma(middle, d[2], d[4]))
    even, odd = fma(q2, d[2], d[4]), multiply(fill(x, P), fma(q2, d[1], d[3]))
    at_p, at_minus_p = add(even, odd), subtract(even, odd)
    even, odd = fma(p2, d[2], d[4]), multiply(fill(x, Q), fma(p2, d[1], d[3]))
    at_q, at_minus_q = add(even, odd), subtract(even, odd)
    return at_0, at_p, at_minus_p, at_q, at_minus_q, fma(ends, d[1], fma(middle, d[3], d[5]))


@inlined
def _output_row(y, m):
    """A^T of the products at six points."""
    sum_p, difference_p = add(m[1], m[2]), subtract(m[1], m[2])
    sum_q, difference_q = add(m[3], m[4]), subtract(m[3], m[4])
    return (
        add(add(m[0], sum_p), sum_q),
        fma(fill(y, P), difference_p, multiply(fill(y, Q), difference_q)),
        fma(fill(y, P2), sum_p, multiply(fill(y, Q2), sum_q)),
        fma(fill(y, P2 * P), difference_p, fma(fill(y, Q2 * Q), difference_q, m[5])),
    )


@inlined
def _gradient_row(dy, d0, d1, d2, d3):
    """A of four numbers of dy: the polynomial with these coefficients, at the six points."""
    p2, q2 = fill(dy, P2), fill(dy, Q2)
    even, odd = fma(p2, d2, d0), multiply(fill(dy, P), fma(p2, d3, d1))
    at_p, at_minus_p = add(even, odd), subtract(even, odd)
    even, odd = fma(q2, d2, d0), multiply(fill(dy, Q), fma(q2, d3, d1))
    return d0, at_p, at_minus_p, add(even, odd), subtract(even, odd), d3


@inlined
def _weight_row(w, g0, g1, g2):
    """G of three weights."""
    even, odd = multiply(fill(w, AT_P), fma(fill(w, P2), g2, g0)), multiply(fill(w, AT_P * P), g1)
    at_p, at_minus_p = add(even, odd), subtract(even, odd)
    even, odd = multiply(fill(w, AT_Q), fma(fill(w, Q2), g2, g0)), multiply(fill(w, AT_Q * Q), g1)
    return multiply(fill(w, AT_0), g0), at_p, at_minus_p, add(even, odd), subtract(even, odd), g2


@inlined
def _weight_sums_row(w, m):
    """G^T of the sums of products at six points: the gradients of three weights."""
    sum_p, sum_q = add(m[1], m[2]), add(m[3], m[4])
    odd = multiply(fill(w, AT_P * P), subtract(m[1], m[2]))
    return (
        fma(fill(w, AT_0), m[0], fma(fill(w, AT_P), sum_p, multiply(fill(w, AT_Q), sum_q))),
        fma(fill(w, AT_Q * Q), subtract(m[3], m[4]), odd),
        fma(fill(w, AT_P * P2), sum_p, fma(fill(w, AT_Q * Q2), sum_q, m[5])),
    )


@compiled
def transform_input(x, at, line, v, v_at, distance, work):
    """v = B^T d B of the 6x6 vectors of x from `at` on; the 36 results are `distance` vectors apart."""
    for i in range(POINTS):
        _store_6(work, i * POINTS, 1, _input_row(x, _load_6(x, at + i * line, 1)))
    for j in range(POINTS):
        column = _input_row(x, _load_6(work, j, POINTS))
        _store_6(v, v_at + j * distance, POINTS * distance, column)


@compiled
def transform_gradient(dy, at, line, d, d_at, distance, work):
    """d = A e A^T of the 4x4 vectors of dy from `at` on; the 36 results are `distance` vectors apart."""
    for i in range(RESULTS):
        k = at + i * line
        row = _gradient_row(dy, load(dy, k), load(dy, k + 1), load(dy, k + 2), load(dy, k + 3))
        _store_6(work, i * POINTS, 1, row)
    for j in range(POINTS):
        k = j + POINTS
        column = _gradient_row(
            dy, load(work, j), load(work, k), load(work, k + POINTS), load(work, k + 2 * POINTS)
        )
        _store_6(d, d_at + j * distance, POINTS * distance, column)


@compiled
def transform_products(m, at, distance, work):
    """Half of A^T m A, m being 36 vectors `distance` apart: `result_column` does the rest."""
    for i in range(POINTS):
        row = _output_row(m, _load_6(m, at + i * POINTS * distance, distance))
        store(work, i * RESULTS, row[0])
        store(work, i * RESULTS + 1, row[1])
        store(work, i * RESULTS + 2, row[2])
        store(work, i * RESULTS + 3, row[3])


@inlined
def result_column(work, j):
    """Column j of the 4x4 results, from what `transform_products` has left."""
    return _output_row(work, _load_6(work, j, RESULTS))


@compiled
def transform_weights(u, at, distance):
    """u = G w G^T, in place: of 9 vectors `distance` apart become 36."""
    d = distance
    a = _weight_row(u, load(u, at), load(u, at + d), load(u, at + 2 * d))
    b = _weight_row(u, load(u, at + 3 * d), load(u, at + 4 * d), load(u, at + 5 * d))
    c = _weight_row(u, load(u, at + 6 * d), load(u, at + 7 * d), load(u, at + 8 * d))
    _store_6(u, at, POINTS * d, _weight_row(u, a[0], b[0], c[0]))
    _store_6(u, at + d, POINTS * d, _weight_row(u, a[1], b[1], c[1]))
    _store_6(u, at + 2 * d, POINTS * d, _weight_row(u, a[2], b[2], c[2]))
    _store_6(u, at + 3 * d, POINTS * d, _weight_row(u, a[3], b[3], c[3]))
    _store_6(u, at + 4 * d, POINTS * d, _weight_row(u, a[4], b[4], c[4]))
    _store_6(u, at + 5 * d, POINTS * d, _weight_row(u, a[5], b[5], c[5]))


@inlined
def _sum_6(p, at, distance, shards, from_shard):
    """Six vectors `distance` apart, each the sum over the shards, in order."""
    a, b, c, d, e, f = _load_6(p, at, distance)
    for shard in range(1, shards):
        other = _load_6(p, at + shard * from_shard, distance)
        a, b, c = add(a, other[0]), add(b, other[1]), add(c, other[2])
        d, e, f = add(d, other[3]), add(e, other[4]), add(f, other[5])
    return a, b, c, d, e, f


@compiled
def transform_weight_sums(du, at, distance, shards, from_shard):
    """dw = G^T (sum of all shards' du) G: it overwrites the first 9 of the first shard's 36 vectors."""
    n, d = POINTS * distance, distance
    a = _weight_sums_row(du, _sum_6(du, at, d, shards, from_shard))
    b = _weight_sums_row(du, _sum_6(du, at + n, d, shards, from_shard))
    c = _weight_sums_row(du, _sum_6(du, at + 2 * n, d, shards, from_shard))
    e = _weight_sums_row(du, _sum_6(du, at + 3 * n, d, shards, from_shard))
    f = _weight_sums_row(du, _sum_6(du, at + 4 * n, d, shards, from_shard))
    g = _weight_sums_row(du, _sum_6(du, at + 5 * n, d, shards, from_shard))
    _store_weight_column(du, at, d, _weight_sums_row(du, (a[0], b[0], c[0], e[0], f[0], g[0])))
    _store_weight_column(du, at + d, d, _weight_sums_row(du, (a[1], b[1], c[1], e[1], f[1], g[1])))
    _store_weight_column(du, at + 2 * d, d, _weight_sums_row(du, (a[2], b[2], c[2], e[2], f[2], g[2])))


@inlined
def _store_weight_column(dw, at, distance, column):
    """Store the gradients of three weights below each other."""
    store(dw, at, column[0])
    store(dw, at + TAPS * distance, column[1])
    store(dw, at + 2 * TAPS * distance, column[2])
