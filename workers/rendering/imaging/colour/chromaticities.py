"""Matrices of linear light from the chromaticities of primaries."""

from __future__ import annotations

from typing import Final, NamedTuple

Matrix = tuple[tuple[float, float, float], ...]
Point = tuple[float, float]


class Primaries(NamedTuple):
    """Red, green, blue and white, each as x and y of CIE 1931."""

    red: Point
    green: Point
    blue: Point
    white: Point


D65: Final = (0.3127, 0.329)
SRGB: Final = Primaries((0.64, 0.33), (0.3, 0.6), (0.15, 0.06), D65)
BT2020: Final = Primaries((0.708, 0.292), (0.17, 0.797), (0.131, 0.046), D65)

D50_XYZ: Final = (0.9642, 1.0, 0.8249)
"""The white to which all colours of an ICC profile refer (ICC.1:2022, 7.2.16)."""

_BRADFORD: Final[Matrix] = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))
"""Matrix from XYZ to the responses of the eye's cones, in which white is adapted (ICC.1:2022, annex E)."""


def is_plausible(primaries: Primaries) -> bool:
    """Whether these can be primaries: a triangle with white within it, nothing of it negative or beyond 1."""
    if any(not 0 <= value <= 1 for point in primaries for value in point) or primaries.white[1] < 0.01:
        return False
    try:
        return all(share > 0 for share in _shares(primaries))
    except ZeroDivisionError:
        return False


def to_xyz(primaries: Primaries) -> Matrix:
    """The matrix from linear RGB of these primaries to XYZ, where white has Y = 1."""
    columns = _columns(primaries)
    shares = _shares(primaries)
    return tuple((row[0] * shares[0], row[1] * shares[1], row[2] * shares[2]) for row in columns)


def to_xyz_d50(primaries: Primaries) -> Matrix:
    """The matrix of `to_xyz` as an ICC profile has it: white adapted to D50."""
    white = times(_BRADFORD, _xyz(primaries.white))
    wanted = times(_BRADFORD, D50_XYZ)
    scale = (
        (wanted[0] / white[0], 0.0, 0.0),
        (0.0, wanted[1] / white[1], 0.0),
        (0.0, 0.0, wanted[2] / white[2]),
    )
    return product(product(inverse(_BRADFORD), product(scale, _BRADFORD)), to_xyz(primaries))


def between(source: Primaries, target: Primaries) -> Matrix:
    """The matrix from linear RGB of `source` to that of `target`, white to white."""
    return product(inverse(to_xyz_d50(target)), to_xyz_d50(source))


def times(matrix: Matrix, vector: tuple[float, float, float]) -> tuple[float, float, float]:
    first, second, third = (sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix)
    return first, second, third


def product(left: Matrix, right: Matrix) -> Matrix:
    columns = [times(left, (right[0][at], right[1][at], right[2][at])) for at in range(3)]
    return tuple((columns[0][at], columns[1][at], columns[2][at]) for at in range(3))


def inverse(matrix: Matrix) -> Matrix:
    """Raises ZeroDivisionError where there is none."""
    (a, b, c), (d, e, f), (g, h, i) = matrix
    whole = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    rows = (
        (e * i - f * h, c * h - b * i, b * f - c * e),
        (f * g - d * i, a * i - c * g, c * d - a * f),
        (d * h - e * g, b * g - a * h, a * e - b * d),
    )
    return tuple((row[0] / whole, row[1] / whole, row[2] / whole) for row in rows)


def _columns(primaries: Primaries) -> Matrix:
    points = primaries[:3]
    x, y = ([point[at] for point in points] for at in range(2))
    return (
        (x[0], x[1], x[2]),
        (y[0], y[1], y[2]),
        (1 - x[0] - y[0], 1 - x[1] - y[1], 1 - x[2] - y[2]),
    )


def _shares(primaries: Primaries) -> tuple[float, float, float]:
    """How much of each primary makes white."""
    return times(inverse(_columns(primaries)), _xyz(primaries.white))


def _xyz(point: Point) -> tuple[float, float, float]:
    x, y = point
    return x / y, 1.0, (1 - x - y) / y
