"""Distributions of durations in logarithmic buckets, which add up: quantiles with a relative error of 2 % at most."""

# As DDSketch (Masson, Rim, Lee, 2019): bucket ``i`` holds what is in ``(LEAST * G**(i - 1), LEAST * G**i]``, and what
# is read from it differs from what was put in by ``ERROR`` at most. A sketch is one whole number with 32 bits for each
# bucket, so that sketches of any two times, models or gateways are merged by ``+``, at the speed of memory.

from __future__ import annotations

import math
import struct
from itertools import accumulate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

ERROR = 0.02
LEAST = 1e-4  # seconds; what is shorter counts as so long
_LOG_G = math.log((1 + ERROR) / (1 - ERROR))
_MIDDLE = 1 - ERROR  # of a bucket's upper end: as far from both ends, as a part of them
_MOST = 1_000  # buckets: millions of years
_BITS = 32


def bucket_of(seconds: float) -> int:
    """The bucket of a duration.

    Example:
        >>> bucket_of(0.0), bucket_of(1.0)
        (0, 231)
    """
    return min(_MOST, math.ceil(math.log(seconds / LEAST) / _LOG_G)) if seconds > LEAST else 0


def sketch_of(seconds: float) -> int:
    """The sketch of one duration in seconds; those of several are added.

    Example:
        >>> durations = sketch_of(0.2) + sketch_of(0.2) + sketch_of(30.0)
        >>> abs(quantile(durations, 0.5) / 0.2 - 1) < 0.025
        True
    """
    return 1 << _BITS * bucket_of(seconds)


def packed(sketch: int) -> bytes:
    """A sketch as it is stored: the first bucket, and the counts of each from there on, of 32 bits."""
    if not sketch:
        return b""
    first = ((sketch & -sketch).bit_length() - 1) // _BITS
    counts = sketch >> _BITS * first
    return struct.pack("<H", first) + counts.to_bytes(-(-counts.bit_length() // _BITS) * 4, "little")


def unpacked(stored: bytes) -> int:
    """The sketch that was stored so."""
    return int.from_bytes(stored[2:], "little") << _BITS * struct.unpack_from("<H", stored)[0] if stored else 0


def quantile(sketch: int, share: float) -> float | None:
    """The duration in seconds below which this share of them is; None where there is none.

    Between two neighbours in their order it is interpolated, as by SQL's ``PERCENTILE_CONT``.
    """
    stored = packed(sketch)
    if not stored:
        return None
    (first,) = struct.unpack_from("<H", stored)
    upto = list(accumulate(struct.unpack(f"<{len(stored) // 4}I", stored[2:])))

    def at(rank: int) -> float:
        bucket = first + next(place for place, count in enumerate(upto) if count > rank)
        return LEAST * math.exp(_LOG_G * bucket) * _MIDDLE

    rank = share * (upto[-1] - 1)
    below = math.floor(rank)
    low = at(below)
    high = at(below + 1) if rank > below else low
    return float(f"{low + (high - low) * (rank - below):.4g}")


def of_cumulated(within: Mapping[float, int], total: int) -> int:
    """A sketch of durations of which is only known how many there are within some bounds, each spread over its range.

    Args:
        within: Numbers by their bound in seconds, in ascending order.
        total: How many there are; those beyond the last bound are put into the range up to twice of it.

    Example:
        >>> quantile(of_cumulated({1.0: 0, 2.0: 100}, 100), 0.5)
        1.508
    """
    sketch, before, low = 0, 0, LEAST
    for high, count in (*within.items(), (2 * max(within), total)):
        many = max(0, count - before)
        each, more = divmod(many, min(many, _MOST) or 1)
        places = min(many, _MOST)
        for place in range(places):
            sketch += (each + (place < more)) * sketch_of(low + (high - low) * (place + 0.5) / places)
        before, low = max(before, count), high
    return sketch


def figures(sketch: int) -> dict[str, Any]:
    """The quantiles that are shown, in seconds."""
    return {f"p{percent}_seconds": quantile(sketch, percent / 100) for percent in (50, 95, 99)}
