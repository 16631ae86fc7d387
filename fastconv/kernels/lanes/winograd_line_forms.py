"""The matrices of Winograd's convolutions along a line: sums of r taps for m results, by m + r - 1 products.

    d = x[0 .. n - 1]            n = m + r - 1 inputs, which m results are made of
    u = G w                      r taps -> n numbers
    v = B^T d                    n inputs -> n numbers
    y = A^T (u * v)              n products -> m results

The taps and the results, turned round, are coefficients of polynomials, known at n points. The gradients take
the same matrices the other way round: A of m numbers of dy, and G^T of n sums of products.

Points are few and of few digits, found by a search for those that lose least to rounding: the more they are,
the fewer products and the larger the errors. In one dimension errors are not squared, as they are in two, so
that seven and eight points stay within 4.7 times the rounding of PyTorch's direct sums, where 6 results
of 3 taps (eight points) or 5 of 4 do not.
"""

from fractions import Fraction
from typing import NamedTuple

from ...simd.linear import linear_maps

INFINITY = None
_HALVES = (Fraction(1, 2), Fraction(-1, 2))
SEVEN = (0, *_HALVES, Fraction(5, 4), Fraction(-5, 4), 3, -3)
EIGHT = (0, *_HALVES, 1, -1, 2, -2, INFINITY)


class Form(NamedTuple):
    """How many results one tile makes, of how many taps, by products at which points."""

    results: int
    taps: int
    at: tuple

    @property
    def points(self):
        """Products for a tile."""
        return len(self.at)

    def __repr__(self):
        return f"F({self.results}, {self.taps})"


FORMS = (Form(5, 3, SEVEN), Form(4, 4, SEVEN), Form(4, 5, EIGHT))
RESULTS, TAPS, POINTS = zip(*((form.results, form.taps, form.points) for form in FORMS), strict=True)
MAX_POINTS = max(POINTS)


def _polynomial(points):
    """The coefficients, lowest power first, of the product of (x - p) over the points."""
    product = [Fraction(1)]
    for p in points:
        higher, lower = [0, *product], [*(p * c for c in product), 0]
        product = [a - b for a, b in zip(higher, lower, strict=True)]
    return product


def _powers(points, count):
    """For each point, its powers from 0 on; at infinity, only the highest counts."""
    last = [0] * (count - 1) + [1]
    return [last if p is INFINITY else [Fraction(p) ** k for k in range(count)] for p in points]


def _distances(points):
    """For each point the product of its distances to the other finite ones; 1 at infinity."""
    finite = [p for p in points if p is not INFINITY]
    distances = []
    for p in points:
        distance = Fraction(1)
        for other in finite:
            distance *= 1 if p is INFINITY or p == other else p - other
        distances.append(distance)
    return distances


def input_matrix(form):
    """B^T, points x points."""
    finite = [p for p in form.at if p is not INFINITY]
    rows = []
    for p in form.at:
        row = _polynomial([other for other in finite if other != p])
        rows.append(row + [0] * (form.points - len(row)))
    return rows


def weight_matrix(form):
    """G, points x taps."""
    rows = zip(_powers(form.at, form.taps), _distances(form.at), strict=True)
    return [[number / distance for number in row] for row, distance in rows]


def gradient_matrix(form):
    """A, points x results."""
    return _powers(form.at, form.results)


def _floats(matrices):
    return [[[float(number) for number in row] for row in matrix] for matrix in matrices]


def _turned(matrices):
    return [[list(column) for column in zip(*matrix, strict=True)] for matrix in matrices]


def _maps(make, turned=False):
    """The matrices of all forms as one function of compiled code, by the number of the form."""
    matrices = _floats([make(form) for form in FORMS])
    return linear_maps(_turned(matrices) if turned else matrices)


transform_input = _maps(input_matrix)
transform_products = _maps(gradient_matrix, turned=True)
transform_gradient = _maps(gradient_matrix)
transform_taps = _maps(weight_matrix)
transform_tap_sums = _maps(weight_matrix, turned=True)
