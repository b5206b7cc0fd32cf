"""The tests, in the same rooms as what they try."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]  # of the checkout
