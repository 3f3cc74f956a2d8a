"""SSIMULACRA2: how near a picture comes to its original, as people see it.

100 is the same; 90 can't be told from it side by side, 70 is what cameras call high, 50 medium quality. After
Cloudinary's C++ by way of the package `ssimulacra2`, which has its weights and is slow: here the arithmetic is OpenCV's
in float32, and what belongs to the original is computed once for all its encodings. The score differs from the
package's by less than 0.01; `python -m benchmarks.quality_metric` compares them.
"""

from __future__ import annotations

import io
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image
from ssimulacra2 import ssimulacra2 as package

Plane = Any
"""float32, height × width × 3."""

cv2.setNumThreads(1)  # who scores much does so in several processes

_SCALES = 6
_SHORTEST = 8
"""Pixels a side below which a scale says nothing."""

_RADIUS, _SIGMA = 5, 1.5
_BIAS = np.float32(package.kB0)
_OPSIN = package.kOpsinAbsorbanceMatrix.reshape(3, 3).astype(np.float32)
_KERNEL = cv2.getGaussianKernel(2 * _RADIUS + 1, _SIGMA, cv2.CV_32F)
_LINEAR = package.srgb_to_linear(np.arange(256.0)).astype(np.float32)


class _Scale(NamedTuple):
    xyb: Plane
    mean: Plane
    square: Plane


class Reference:
    """An original, to score encodings of it against. Its sides are theirs."""

    def __init__(self, original: Image.Image) -> None:
        self.size = original.size
        self._scales = [_Scale(xyb, _blur(xyb), _blur(xyb * xyb)) for xyb in _pyramid(original)]

    def score(self, encoded: Image.Image | bytes) -> float:
        """SSIMULACRA2 of a picture of the same sides, or of its file. ValueError where the sides differ."""
        picture = Image.open(io.BytesIO(encoded)) if isinstance(encoded, bytes) else encoded
        if picture.size != self.size:
            raise ValueError(f"{picture.size} is compared with {self.size}")
        total = package.Msssim()
        for first, xyb in zip(self._scales, _pyramid(picture), strict=True):
            scale, mean = package.MsssimScale(), _blur(xyb)
            squares = first.square, _blur(xyb * xyb), _blur(first.xyb * xyb)
            scale.avg_ssim = _structure(first.mean, mean, *squares)
            scale.avg_edgediff = _edges(first, xyb, mean)
            total.scales.append(scale)
        return float(total.score())


def ssimulacra2(original: Image.Image, encoded: Image.Image | bytes) -> float:
    """SSIMULACRA2 of a picture or its file against its original."""
    return Reference(original).score(encoded)


def _pyramid(picture: Image.Image) -> list[Plane]:
    linear = _LINEAR[np.asarray(picture.convert("RGB"))]
    scales: list[Plane] = []
    while min(linear.shape[:2]) >= _SHORTEST and len(scales) < _SCALES:
        scales.append(_xyb(linear))
        linear = _halved(linear)
    return scales


def _xyb(linear: Plane) -> Plane:
    """XYB, shifted so that nothing is negative."""
    mixed = cv2.transform(linear, _OPSIN) + _BIAS
    root = cv2.pow(mixed, 1 / 3) - np.cbrt(_BIAS)  # never negative: the matrix is not, nor the bias
    red, green, blue = cv2.split(root)
    light = (red + green) / 2
    return cv2.merge([(red - green) * 7 + np.float32(0.42), light + np.float32(0.01), blue - light + np.float32(0.55)])


def _halved(linear: Plane) -> Plane:
    """Means of 2 × 2 pixels; the last ones of an odd side count twice."""
    height, width = linear.shape[:2]
    even = cv2.copyMakeBorder(linear, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    return (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4


def _blur(plane: Plane) -> Plane:
    """Gaussian; beyond the left and right edge all is 0, as the package (which transposes) has it."""
    padded = cv2.copyMakeBorder(plane, 0, 0, _RADIUS, _RADIUS, cv2.BORDER_CONSTANT, value=0)
    blurred = cv2.sepFilter2D(padded, cv2.CV_32F, _KERNEL, _KERNEL, borderType=cv2.BORDER_REFLECT)
    return blurred[:, _RADIUS:-_RADIUS]


def _norms(map_: Plane) -> tuple[Plane, Plane]:
    """Of each channel: the mean, and the fourth root of the mean fourth power."""
    squared = map_ * map_
    return np.array(cv2.mean(map_)[:3]), np.array(cv2.mean(squared * squared)[:3]) ** 0.25


def _structure(mean1: Plane, mean2: Plane, square1: Plane, square2: Plane, product: Plane) -> Plane:
    """package.ssim_map without its float64."""
    top = (1 - (mean1 - mean2) ** 2) * (2 * (product - mean1 * mean2) + package.kC2)
    bottom = (square1 - mean1 * mean1) + (square2 - mean2 * mean2) + package.kC2
    averages = np.zeros(6)
    averages[::2], averages[1::2] = _norms(np.maximum(1 - top / bottom, 0))
    return averages


def _edges(first: _Scale, xyb: Plane, mean: Plane) -> Plane:
    """package.edge_diff_map without its float64."""
    change = (1 + np.abs(xyb - mean)) / (1 + np.abs(first.xyb - first.mean)) - 1
    averages = np.zeros(12)
    averages[::4], averages[1::4] = _norms(np.maximum(change, 0))
    averages[2::4], averages[3::4] = _norms(np.maximum(-change, 0))
    return averages


def main() -> None:
    from benchmarks.photographs import photographs  # noqa: PLC0415 - the metric needs no photographs

    for path in photographs("fit", 1280)[:4]:
        with Image.open(path) as original:
            encoded = io.BytesIO()
            original.save(encoded, "WEBP", quality=80)
            theirs = package.compute_ssimulacra2(path, encoded)
            print(f"{path.stem}: {ssimulacra2(original, encoded.getvalue()):.4f}, the package {theirs:.4f}")


if __name__ == "__main__":
    main()
