"""What a beacon memory consists of: ``[sink | blocks | tail]``, keys before RoPE.

Nothing here changes once it is made. A longer memory is a new :class:`MemoryState` that shares the
blocks of the old one, so branching costs nothing and rolling back is cutting the tuple of blocks.
That is exact: earlier blocks do not depend on later tokens (Activation Beacon, §3.1).

Rows carry no position: their keys are those before the rotary embedding, and positions are given
when they are attended to, 0, 1, 2, … over whatever is attached (§3.1 there).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

import torch

from memoryscope_rag.errors import InvalidInput


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Keys before RoPE and values of some rows in every layer.

    Both of shape ``(layers, kv_heads, rows, head_dim)``, of one type and on one device.
    """

    keys: torch.Tensor
    values: torch.Tensor

    def __len__(self) -> int:
        return self.keys.shape[2]

    @property
    def nbytes(self) -> int:
        """Bytes of keys and values."""
        return self.keys.nbytes + self.values.nbytes

    def select(self, places: torch.Tensor | slice) -> Rows:
        """The rows at ``places``, copied: nothing of the others is kept alive."""
        return Rows(self.keys[:, :, places].clone(), self.values[:, :, places].clone())

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Rows:
        """These rows elsewhere or in another type; themselves when nothing changes."""
        keys, values = self.keys.to(device, dtype), self.values.to(device, dtype)
        return self if keys is self.keys and values is self.values else Rows(keys, values)


def joined(parts: Iterable[Rows]) -> Rows:
    """The rows of ``parts``, at least one, one after the other."""
    filled = list(parts)
    some = [part for part in filled if len(part)] or filled[:1]
    if len(some) == 1:
        return some[0]
    return Rows(
        torch.cat([part.keys for part in some], dim=2),
        torch.cat([part.values for part in some], dim=2),
    )


@dataclass(frozen=True, slots=True)
class Span:
    """The tokens ``start <= t < end`` of the history belong to the message ``message_id``."""

    message_id: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """What is kept of one full window.

    Attributes:
        rows: the kept rows, in the order of the history.
        ids: int32 ``(tokens,)``, the raw tokens that it stands for.
        start: how many tokens of the history lie before it.
        ratio: raw tokens a kept row; 0 where every raw row was kept.
        compressor: the name of what chose the rows: ``beacon``, ``full`` …
        digest: SHA-256 in hex of the memory's ``origin`` and of the tokens, ratios and compressors
            of all blocks up to this one: equal digests mean equal rows.
        repeats: whether layer 0 holds the same row throughout, as it does for beacons: there they
            come from the one shared embedding alone. Then a file need store that layer once.
        sources: int32 ``(layers, kv_heads, rows)``, the token, counted from ``start``, that a row
            was computed at. ``None``: row ``j`` stands for the ``j``-th of equal parts.
    """

    rows: Rows
    ids: torch.Tensor
    start: int
    ratio: int
    compressor: str
    digest: str
    repeats: bool = False
    sources: torch.Tensor | None = None

    @property
    def tokens(self) -> int:
        """How many raw tokens it stands for."""
        return len(self.ids)

    @property
    def end(self) -> int:
        """``start + tokens``."""
        return self.start + self.tokens

    @property
    def nbytes(self) -> int:
        """Bytes to be stored: keys and values, layer 0 once where it repeats, tokens, sources."""
        layers = self.rows.keys.shape[0]
        once = self.rows.nbytes // layers * (len(self.rows) - 1) // max(1, len(self.rows))
        extra = 0 if self.sources is None else self.sources.nbytes
        return self.rows.nbytes - (once if self.repeats else 0) + self.ids.nbytes + extra

    def row_tokens(self) -> torch.Tensor:
        """The last token, counted from the history's begin, that each row stands for.

        int64 ``(layers, kv_heads, rows)``, expanded where all heads agree.
        """
        if self.sources is not None:
            return self.start + self.sources.long()
        layers, heads, rows, _ = self.rows.keys.shape
        ends = torch.arange(1, rows + 1) * self.tokens // max(1, rows) - 1
        return (self.start + ends).expand(layers, heads, rows)


def chained(previous: str, ids: torch.Tensor, ratio: int, compressor: str) -> str:
    """The digest of the block that follows the one with the digest ``previous``."""
    digest = hashlib.sha256(f"{previous}|{ratio}|{compressor}|".encode())
    digest.update(ids.to("cpu", torch.int32).numpy().tobytes())
    return digest.hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class MemoryState:
    """A memory of ``tokens`` tokens.

    Attributes:
        origin: which model, beacon weights and settings made it (the engine's fingerprint).
        sink: rows that are never compressed: the prefix, or copies of the first rows.
        prefix_ids: int32, tokens whose only rows are in ``sink``; before all blocks.
        blocks: the full windows, in order.
        tail: rows of the unfinished window, raw ones and beacons.
        tail_ids: int32, the raw tokens of the unfinished window.
        tail_ratio: the ratio of the unfinished window; ``None`` before its first token.
        fixed_ratio: the ratio that was chosen for the whole history, by mixes that choose once.
        spans: which message each token is of, in order, without overlap.
    """

    origin: str
    sink: Rows
    prefix_ids: torch.Tensor
    blocks: tuple[Block, ...]
    tail: Rows
    tail_ids: torch.Tensor
    tail_ratio: int | None = None
    fixed_ratio: int | None = None
    spans: tuple[Span, ...] = field(default=())

    # ------------------------------------------------------------ sizes

    @property
    def compressed_tokens(self) -> int:
        """Tokens before the unfinished window."""
        return self.blocks[-1].end if self.blocks else len(self.prefix_ids)

    @property
    def tokens(self) -> int:
        """Tokens of the history, the unfinished window included."""
        return self.compressed_tokens + len(self.tail_ids)

    @property
    def row_count(self) -> int:
        """Rows that a query attends to."""
        return sum(len(part) for part in self.parts())

    @property
    def nbytes(self) -> int:
        """Bytes to be stored; see :attr:`Block.nbytes`."""
        ids = self.prefix_ids.nbytes + self.tail_ids.nbytes
        blocks = sum(block.nbytes for block in self.blocks)
        return self.sink.nbytes + self.tail.nbytes + ids + blocks

    @property
    def digest(self) -> str:
        """The digest of the last block; ``origin`` and the prefix where there is none."""
        if self.blocks:
            return self.blocks[-1].digest
        return chained(self.origin, self.prefix_ids, 0, "prefix")

    def parts(self) -> tuple[Rows, ...]:
        """Sink, blocks and tail in the order in which they are attended to, empty ones left out."""
        every = (self.sink, *(block.rows for block in self.blocks), self.tail)
        return tuple(part for part in every if len(part))

    def token_ids(self, start: int = 0) -> torch.Tensor:
        """int32, the tokens of the history from ``start`` on."""
        every = [self.prefix_ids, *(block.ids for block in self.blocks), self.tail_ids]
        return torch.cat([ids.cpu() for ids in every])[start:]

    def checksum(self) -> str:
        """SHA-256 over every row and token: two states with the same are the same, bit for bit."""
        digest = hashlib.sha256(self.origin.encode())
        tensors = [self.prefix_ids, self.tail_ids]
        for part in (self.sink, *(block.rows for block in self.blocks), self.tail):
            tensors += [part.keys, part.values]
        for block in self.blocks:
            digest.update(block.digest.encode())
            if block.sources is not None:
                tensors.append(block.sources)
        for tensor in tensors:
            digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
            digest.update(tensor.cpu().contiguous().view(torch.uint8).numpy().tobytes())
        digest.update(repr((self.tail_ratio, self.fixed_ratio, self.spans)).encode())
        return digest.hexdigest()

    # ------------------------------------------------------------ life

    def branch(self) -> MemoryState:
        """A second memory with this past. Both may go on; neither sees the other."""
        return replace(self)

    def rollback(self, blocks: int) -> MemoryState:
        """The memory as it was when its first ``blocks`` blocks were made; the tail goes.

        Raises:
            InvalidInput: there are not so many blocks.
        """
        if not 0 <= blocks <= len(self.blocks):
            raise InvalidInput("blocks", f"is {blocks}, must be 0 to {len(self.blocks)}")
        end = self.blocks[blocks - 1].end if blocks else len(self.prefix_ids)
        nothing = slice(0, 0)
        copied = not blocks and not len(self.prefix_ids)  # the sink's rows are of the first window
        return replace(
            self,
            sink=self.sink.select(nothing) if copied else self.sink,
            blocks=self.blocks[:blocks],
            tail=self.tail.select(nothing),
            tail_ids=self.tail_ids[nothing].clone(),
            tail_ratio=None,
            spans=tuple(
                replace(span, end=min(span.end, end)) for span in self.spans if span.start < end
            ),
        )

    # ------------------------------------------------------------ provenance

    def messages_of(self, block: int) -> tuple[str, ...]:
        """Ids of the messages that the block with the number ``block`` saw tokens of, in order."""
        start, end = self.blocks[block].start, self.blocks[block].end
        found = (span.message_id for span in self.spans if span.start < end and start < span.end)
        return tuple(dict.fromkeys(found))

    def first_token_of(self, message_ids: Collection[str]) -> int | None:
        """The first token of any of these messages; ``None`` where none of them is here."""
        wanted = set(message_ids)
        return min((s.start for s in self.spans if s.message_id in wanted), default=None)

    def blocks_before(self, token: int) -> int:
        """How many blocks saw only tokens before ``token``."""
        return sum(block.end <= token for block in self.blocks)
