"""What the models have taken: tokens, and money by the prices that the settings give."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from memoryscope_rag.ports import Usage

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """What a million tokens cost, in any one currency."""

    prompt: float = 0.0
    completion: float = 0.0

    def of(self, usage: Usage) -> float:
        """The cost of some tokens."""
        return (
            usage.prompt_tokens * self.prompt + usage.completion_tokens * self.completion
        ) / MILLION


FREE = Price()
"""Of a model that costs nothing, or whose price is not known."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What one model has taken.

    ``estimated`` counts the calls whose tokens the server did not tell, or whose stream was
    closed early: theirs are reckoned from the length of the texts.
    """

    calls: int = 0
    usage: Usage = field(default_factory=Usage)
    cost: float = 0.0
    estimated: int = 0

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.calls + other.calls,
            self.usage + other.usage,
            self.cost + other.cost,
            self.estimated + other.estimated,
        )

    def since(self, earlier: Spent) -> Spent:
        """What came on top of ``earlier``."""
        prompt = self.usage.prompt_tokens - earlier.usage.prompt_tokens
        completion = self.usage.completion_tokens - earlier.usage.completion_tokens
        return Spent(
            self.calls - earlier.calls,
            Usage(prompt, completion),
            self.cost - earlier.cost,
            self.estimated - earlier.estimated,
        )


class Ledger:
    """Counts by model; one for an application.

    Safe for tasks and threads. Nothing is kept on disk: it starts at zero with every process.
    """

    def __init__(self) -> None:
        self._spent: dict[str, Spent] = {}
        self._lock = threading.Lock()

    def add(self, model: str, usage: Usage, cost: float, *, estimated: bool = False) -> None:
        """Count one call."""
        self.add_all({model: Spent(1, usage, cost, int(estimated))})

    def add_all(self, spent: Mapping[str, Spent]) -> None:
        """Count what another ledger has, by model."""
        with self._lock:
            for model, more in spent.items():
                self._spent[model] = self._spent.get(model, Spent()) + more

    def by_model(self) -> Mapping[str, Spent]:
        """A copy of the counts."""
        with self._lock:
            return dict(self._spent)

    @property
    def cost(self) -> float:
        """Of all models together."""
        return sum(one.cost for one in self.by_model().values())
