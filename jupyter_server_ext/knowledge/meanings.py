"""Vectors of a model that embeds: as they are sent and kept, and which of them are near each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from jupyter_server_ext.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST_NUMBERS = 8_192  # of a vector
_FUSED = 60  # the constant of reciprocal rank fusion


class QuestionVector(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a model made of a question; its numbers in half precision, in JSON as Base64."""

    model: str
    vector: bytes


def of_length_one(vector: bytes) -> bytes:
    """A vector as it is kept.

    Raises:
        BadRequest: It is none.

    Example:
        >>> import struct
        >>> struct.unpack("<2e", of_length_one(struct.pack("<2e", 0.0, 3.0)))
        (0.0, 1.0)
    """
    import numpy as np

    if not 0 < len(vector) <= 2 * _MOST_NUMBERS or len(vector) % 2:
        words = f"A vector has 1 to {_MOST_NUMBERS:,} numbers in half precision, in Base64."
        raise BadRequest(words, param="vector")
    numbers = np.frombuffer(vector, dtype="<f2").astype(np.float64)
    length = float(np.linalg.norm(numbers))
    if not 0 < length < float("inf"):
        raise BadRequest("A vector has finite numbers, and not only zeros.", param="vector")
    return (numbers / length).astype("<f2").tobytes()


def signs_of(vector: bytes) -> bytes:
    """A bit for each number of a vector: whether it is above zero.

    Vectors of models that embed are nearly ordered by how many signs differ, at a sixteenth of the work; the first few
    hundred are then ordered by the vectors themselves (Hugging Face, "Binary and Scalar Embedding Quantization", 2024).
    """
    import numpy as np

    return np.packbits(np.frombuffer(vector, dtype="<f2") > 0).tobytes()


def differing(one: bytes, other: bytes) -> int:
    r"""How many bits differ.

    Example:
        >>> differing(b"\x00", b"\x03")
        2
    """
    return (int.from_bytes(one) ^ int.from_bytes(other)).bit_count()


def nearest(vector: bytes, others: Sequence[tuple[int, bytes]], most: int) -> list[int]:
    """The numbers of the vectors nearest to one of the same size, the nearest first."""
    import numpy as np

    rows = np.array([np.frombuffer(other, dtype="<f2") for _, other in others], dtype=np.float32)
    order = np.argsort(-(rows.reshape(len(others), -1) @ np.frombuffer(vector, dtype="<f2")), kind="stable")
    return [others[place][0] for place in order[:most]]


def fused(*rankings: Sequence[int]) -> dict[int, float]:
    """Rankings as one, the best first, with scores (reciprocal rank fusion, Cormack et al., SIGIR 2009).

    Example:
        >>> list(fused([1, 2], [3, 2]))
        [2, 1, 3]
    """
    scores: dict[int, float] = {}
    for ranking in rankings:
        for place, number in enumerate(ranking, 1):
            scores[number] = scores.get(number, 0.0) + 1 / (_FUSED + place)
    return dict(sorted(scores.items(), key=lambda each: -each[1]))
