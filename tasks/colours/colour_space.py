"""Colours by how they look: OKLab (B. Ottosson, 2020) to sRGB and back, and as colour-blind people see them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_TO_LMS = np.array(
    [[0.4122214708, 0.5363325363, 0.0514459929],
     [0.2119034982, 0.6806995451, 0.1073969566],
     [0.0883024619, 0.2817188376, 0.6299787005]]
)  # fmt: skip
_TO_LAB = np.array(
    [[0.2104542553, 0.7936177850, -0.0040720468],
     [1.9779984951, -2.4285922050, 0.4505937099],
     [0.0259040371, 0.7827717662, -0.8086757660]]
)  # fmt: skip
_FROM_LMS, _FROM_LAB = np.linalg.inv(_TO_LMS), np.linalg.inv(_TO_LAB)
# Linear RGB as seen without red and without green cones (Machado, Oliveira, Fernandes 2009, severity 1).
BLINDNESS = {
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
}


def rgb_of(hexes: list[str]) -> Array:
    """Return (n, 3) sRGB from 0 to 1 of colours written `#rrggbb`."""
    return np.array([[int(text[i : i + 2], 16) for i in (1, 3, 5)] for text in hexes], float).reshape(-1, 3) / 255


def hex_of(rgb: Array) -> list[str]:
    """Return `#rrggbb` of (n, 3) sRGB."""
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in np.rint(np.clip(rgb, 0, 1) * 255).astype(int)]


def to_linear(rgb: Array) -> Array:
    """Return linear light of sRGB."""
    return np.where(rgb <= 0.04045, rgb / 12.92, ((np.maximum(rgb, 0) + 0.055) / 1.055) ** 2.4)


def from_linear(light: Array) -> Array:
    """Return sRGB of linear light; what lies outside stays outside."""
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)


def lab_of_linear(light: Array) -> Array:
    """Return (n, 3) OKLab of linear light: lightness 0 to 1, green to red, blue to yellow."""
    return np.asarray(np.cbrt(light @ _TO_LMS.T) @ _TO_LAB.T)


def lab_of(rgb: Array) -> Array:
    """Return OKLab of sRGB."""
    return lab_of_linear(to_linear(rgb))


def rgb_of_lab(lab: Array) -> Array:
    """Return sRGB of OKLab; outside 0 to 1 where no screen has the colour."""
    return from_linear((lab @ _FROM_LAB.T) ** 3 @ _FROM_LMS.T)


def lch_of(lab: Array) -> Array:
    """Return lightness, chroma and hue (radians) of OKLab."""
    return np.column_stack([lab[:, 0], np.hypot(lab[:, 1], lab[:, 2]), np.arctan2(lab[:, 2], lab[:, 1])])
