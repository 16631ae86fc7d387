"""The transforms of Winograd's convolutions, all lanes at once.

A convolution of a line with r taps is a product of polynomials. Known at 6 points, the product of two is 6
products of numbers, where the sum over taps makes r for each of 7 - r results:

    weights           r numbers at the points, over f                     G:   r numbers -> 6
    input             what makes the products right                       B^T: 6 numbers -> 6
    results           y[j] = sum over the points of p^j * product         A^T: 6 numbers -> 7 - r

In two dimensions each is done along lines, then down columns, with taps of their own. The gradients take the
same matrices the other way round: A of dy, and G^T of the sums of products. See `simd/six_points.py`.

    taps            2       3       4       5
    results         5x5     4x4     3x3     2x2
    products        36 of   36 of   36 of   36 of
                    100     144     144     100
"""

from numba.extending import register_jitable

from ...simd import opaque, rolled
from ...simd.compiling import compiled
from ...simd.six_points import (
    POINTS,
    gradient_line,
    input_square,
    results_line,
    weight_line,
    weight_sums_line,
)

MATRICES = POINTS * POINTS
TOGETHER = POINTS + 1  # results and taps, in each direction
ALL_TAPS = 2, 3, 4, 5


@register_jitable
def results_for(taps):
    """How many results a tile has whose sums are over so many taps."""
    return TOGETHER - taps


@compiled
def transform_input(x, at, line, column, v, v_at, distance):
    """v = B^T d B of the 6x6 vectors of x from `at` on; the 36 results are `distance` vectors apart.

    Lines of x are `line` vectors apart, and neighbours in a line `column`.
    """
    input_square(x, at, line, column, v, v_at, distance)


@compiled
def transform_gradient(dy, at, line, height, width, d, d_at, distance, work):
    """d = A e A^T of the vectors of dy from `at` on; the 36 results are `distance` vectors apart."""
    for i in range(height):
        rolled()
        gradient_line(dy, at + i * line, 1, width, work, i * POINTS, 1)
    for j in range(opaque(POINTS)):
        rolled()
        gradient_line(work, j, POINTS, height, d, d_at + j * distance, POINTS * distance)


@compiled
def transform_products(m, at, distance, width, work):
    """Half of A^T m A, m being 36 vectors `distance` apart: its lines, which leave 6 columns in `work`."""
    for i in range(opaque(POINTS)):
        rolled()
        results_line(m, at + i * POINTS * distance, distance, work, i * POINTS, 1, width)


@compiled
def transform_weights(w, u, at, distance, height, width):
    """u = G w G^T of the height x width vectors of w: the 36 results are `distance` vectors apart.

    The lines of w are overwritten, from the last one on: six numbers take more room than `width`.
    """
    for k in range(height):
        rolled()
        i = height - 1 - k
        weight_line(w, i * width, 1, width, w, i * POINTS, 1)
    for j in range(opaque(POINTS)):
        rolled()
        weight_line(w, j, POINTS, height, u, at + j * distance, POINTS * distance)


@compiled
def transform_weight_sums(du, at, distance, height, width):
    """dw = G^T du G: it overwrites the first of the 36 vectors."""
    for j in range(opaque(POINTS)):
        rolled()
        column = at + j * distance
        weight_sums_line(du, column, POINTS * distance, du, column, POINTS * distance, height)
    for i in range(height):
        rolled()
        line = at + i * POINTS * distance
        weight_sums_line(du, line, distance, du, at + i * width * distance, distance, width)
