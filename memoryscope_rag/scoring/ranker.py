"""The linear ranker: weights by name, what they were fitted on, and a floor under the score."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType

import numpy as np

from memoryscope_rag.errors import ConfigError
from memoryscope_rag.ports import FloatArray
from memoryscope_rag.schema import ScorePart
from memoryscope_rag.scoring.calibration import Calibration, Scale
from memoryscope_rag.scoring.matrix import SIGNALS

FORMAT = 1


@dataclass(frozen=True, slots=True)
class LinearRanker:
    """Scores are ``bias + signals @ weights``; what scores below ``floor`` is no answer.

    ``weights`` are by signal name, a name that is missing weighs nothing. ``fitted`` says how the
    weights came about: data, date, number of questions.
    """

    preset: str
    calibration: Calibration
    weights: Mapping[str, float]
    floor: float = -math.inf
    fitted: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        unknown = sorted(set(self.weights) - set(SIGNALS))
        if unknown:
            raise ConfigError(f"ranker {self.preset!r} weighs unknown signals: {unknown}")
        object.__setattr__(self, "weights", MappingProxyType(dict(self.weights)))
        object.__setattr__(self, "fitted", MappingProxyType(dict(self.fitted)))

    @property
    def vector(self) -> FloatArray:
        """The weights in the order of ``SIGNALS``, shape ``(S,)``."""
        return np.array([self.weights.get(name, 0.0) for name in SIGNALS], dtype=np.float32)

    def score(self, matrix: FloatArray) -> FloatArray:
        """Scores ``(n,)`` of a signal matrix ``(n, S)``."""
        return np.asarray(matrix @ self.vector, dtype=np.float32)

    def explain(self, row: FloatArray) -> tuple[ScorePart, ...]:
        """The parts of one row's score, the largest first, without those that add nothing."""
        parts = [
            ScorePart(name, float(value), self.weights.get(name, 0.0))
            for name, value in zip(SIGNALS, row, strict=True)
        ]
        return tuple(
            sorted(
                (part for part in parts if part.contribution),
                key=lambda part: -abs(part.contribution),
            )
        )

    def to_json(self) -> str:
        """The ranker as the JSON text that :meth:`from_json` reads; ``null`` floor for none."""
        tree = {
            "format": FORMAT,
            "preset": self.preset,
            "fitted": dict(self.fitted),
            "floor": self.floor if math.isfinite(self.floor) else None,
            "calibration": asdict(self.calibration),
            "weights": dict(self.weights),
        }
        return json.dumps(tree, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> LinearRanker:
        """The ranker of a JSON text. Raises ConfigError that says what is wrong with it."""
        try:
            tree = json.loads(text)
            if tree["format"] != FORMAT:
                raise ConfigError(f"ranker of format {tree['format']}, this version reads {FORMAT}")
            scales = {name: Scale(**scale) for name, scale in tree["calibration"].items()}
            weights = {str(name): float(weight) for name, weight in tree["weights"].items()}
            floor = -math.inf if tree["floor"] is None else float(tree["floor"])
            return cls(
                str(tree["preset"]), Calibration(**scales), weights, floor, tree.get("fitted", {})
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(f"this is no ranker: {type(error).__name__}: {error}") from None
