"""Counts what a chat model takes, and stops when the money set aside is spent."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from memoryscope_rag.errors import BudgetExceeded, InvalidInput
from memoryscope_rag.models.ledger import FREE, Ledger, Price
from memoryscope_rag.models.streams import ended
from memoryscope_rag.ports import (
    ChatMessage,
    Delta,
    Generator,
    JsonSchema,
    Reply,
    Sampling,
    Usage,
)

CHARACTERS_PER_TOKEN = 4
"""Of English; used where the server does not count."""


class BudgetedGenerator:
    """A generator around another that writes every call into a ledger.

    Args:
        ledger: shared by all whose costs count together.
        price: of this model.
        budget: what the whole ledger may cost, in the currency of the prices. It is looked at
            before a call, so the calls under way when it is reached still end, and the last one
            may exceed it.

    Raises:
        BudgetExceeded: (by every call) the budget is spent; nothing was sent.
    """

    def __init__(
        self,
        inner: Generator,
        ledger: Ledger,
        *,
        price: Price = FREE,
        budget: float | None = None,
    ) -> None:
        if budget is not None and price == FREE:
            raise InvalidInput("budget", "needs prices, or nothing would ever be spent")
        self._inner = inner
        self._ledger = ledger
        self._price = price
        self._budget = budget

    @property
    def model(self) -> str:
        """The inner generator's."""
        return self._inner.model

    async def generate(
        self,
        messages: Sequence[ChatMessage],
        *,
        sampling: Sampling = Sampling(),
        schema: JsonSchema | None = None,
    ) -> Reply:
        """The inner generator's reply, counted."""
        self._check()
        reply = await self._inner.generate(messages, sampling=sampling, schema=schema)
        self._count(messages, reply.text + reply.reasoning, reply.usage)
        return reply

    async def stream(
        self, messages: Sequence[ChatMessage], *, sampling: Sampling = Sampling()
    ) -> AsyncGenerator[Delta]:
        """The inner generator's pieces, counted at the end, also when it is closed early."""
        self._check()
        stream = self._inner.stream(messages, sampling=sampling)
        text, usage, begun = "", Usage(), False
        try:
            async for delta in stream:
                begun = True
                text += delta.text
                if delta.reply is not None:
                    usage = delta.reply.usage
                    text += delta.reply.reasoning
                yield delta
        finally:
            await ended(stream)
            if begun:
                self._count(messages, text, usage)

    async def close(self) -> None:
        """Close the inner generator; the ledger stays."""
        await self._inner.close()

    def _check(self) -> None:
        spent = self._ledger.cost
        if self._budget is not None and spent >= self._budget:
            raise BudgetExceeded(
                f"{spent:.4f} of the budget of {self._budget:g} is spent; "
                f"nothing was sent to {self.model!r}"
            )

    def _count(self, messages: Sequence[ChatMessage], text: str, usage: Usage) -> None:
        estimated = usage == Usage()
        if estimated:
            asked = sum(len(message.content) for message in messages)
            usage = Usage(-(-asked // CHARACTERS_PER_TOKEN), -(-len(text) // CHARACTERS_PER_TOKEN))
        self._ledger.add(self.model, usage, self._price.of(usage), estimated=estimated)
