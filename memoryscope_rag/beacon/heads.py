"""Which attention heads of a model point at evidence: choosing them, keeping them with the model.

A head is judged by where it puts the evidence of labelled questions among all messages. Few heads
of a model do that at all, and they do it for any text (retrieval heads, arXiv 2404.15574; chosen
by questions with known evidence, arXiv 2506.09944).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import torch

from memoryscope_rag.beacon.engine import BeaconEngine
from memoryscope_rag.beacon.read_attention import Head, Readable, calibrated_mass
from memoryscope_rag.beacon.weights import fingerprint
from memoryscope_rag.configs.load import packaged_text
from memoryscope_rag.errors import BeaconMismatch, ConfigError, InvalidInput

FORMAT = 1
COUNT = 12
"""So many heads are chosen: fewer are noisy, more bring such as point nowhere."""


@dataclass(frozen=True, slots=True)
class HeadSet:
    """Heads that were chosen for one model.

    Attributes:
        model: its name.
        fingerprint: of its weights, see :func:`~memoryscope_rag.beacon.weights.fingerprint`.
        heads: the best first.
        fitted: how they were chosen: data, conversations, number of questions, figures.
    """

    model: str
    fingerprint: str
    heads: tuple[Head, ...]
    fitted: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))

    def for_engine(self, engine: BeaconEngine, name: str = "another model") -> tuple[Head, ...]:
        """The heads, if they are of this engine's model.

        Args:
            name: of the engine's model, for the error.

        Raises:
            BeaconMismatch: they were chosen for other weights.
        """
        if fingerprint(engine.model.stock) != self.fingerprint:
            raise BeaconMismatch(
                f"these heads were chosen for {self.model}, not for {name}; "
                "'memoryscope-rag bench readout --output FILE' chooses them for a model"
            )
        return self.heads

    def to_json(self) -> str:
        """The JSON text that :meth:`from_json` reads."""
        tree = {
            "format": FORMAT,
            "model": self.model,
            "fingerprint": self.fingerprint,
            "fitted": dict(self.fitted),
        }
        heads = json.dumps([list(head) for head in self.heads])
        return f'{json.dumps(tree, indent=2)[:-2]},\n  "heads": {heads}\n}}\n'

    @classmethod
    def from_json(cls, text: str) -> HeadSet:
        """The heads of a JSON text. Raises ConfigError that says what is wrong with it."""
        try:
            tree = json.loads(text)
            if tree["format"] != FORMAT:
                raise ConfigError(f"heads of format {tree['format']}, this version reads {FORMAT}")
            heads = tuple(Head(int(layer), int(head)) for layer, head in tree["heads"])
            return cls(str(tree["model"]), str(tree["fingerprint"]), heads, dict(tree["fitted"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"these are no heads: {type(error).__name__}: {error}") from None


def packaged_heads(model: str) -> HeadSet:
    """The heads that ship for a chat model, by its name. Raises ConfigError where none do."""
    try:
        return HeadSet.from_json(packaged_text("beacon/heads", f"{model}.json"))
    except OSError:
        raise ConfigError(
            f"no heads ship for {model!r}; 'memoryscope-rag bench readout --output FILE' chooses "
            "them on labelled conversations"
        ) from None


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """What every head made of one question whose evidence is known.

    Attributes:
        conversation: the id of the conversation.
        mass: ``(heads, messages)``, by
            :func:`~memoryscope_rag.beacon.read_attention.calibrated_mass`.
        evidence: int64, the places among the messages that hold the answer, at least one.
    """

    conversation: str
    mass: torch.Tensor
    evidence: torch.Tensor


def observe(
    engine: BeaconEngine,
    memories: Sequence[Readable],
    conversation: str,
    query: str,
    evidence: Collection[str],
) -> Observation:
    """Ask ``memories``, each message in one of them, a question with known evidence.

    Raises:
        InvalidInput: none of the evidence is in the memories.
        ModelError: as for :func:`~memoryscope_rag.beacon.read_attention.read_attention`.
    """
    names = [name for memory in memories for name in memory.messages]
    places = [number for number, name in enumerate(names) if name in evidence]
    if not places:
        raise InvalidInput("evidence", "names no message of these memories")
    mass = torch.cat(calibrated_mass(engine, memories, query), dim=1)
    return Observation(conversation, mass.half(), torch.tensor(places))


@dataclass(frozen=True, slots=True)
class Selection:
    """Chosen heads.

    Attributes:
        heads: chosen on all conversations, the best first.
        held_out: by conversation the heads that were chosen on all the others.
        quality: mean reciprocal rank of the evidence by the heads together, each conversation
            judged by its ``held_out`` heads.
    """

    heads: tuple[Head, ...]
    held_out: Mapping[str, tuple[Head, ...]]
    quality: float


def select_heads(
    observations: Sequence[Observation], heads: Sequence[Head], count: int = COUNT
) -> Selection:
    """The ``count`` of ``heads`` that put evidence first, cross-validated by conversation.

    Args:
        heads: those of the rows of each observation's ``mass``.

    Raises:
        InvalidInput: the questions are of fewer than two conversations.
    """
    conversations = list(dict.fromkeys(one.conversation for one in observations))
    if len(conversations) < 2:
        raise InvalidInput("observations", "are of one conversation; at least two are needed")
    merits = {
        name: torch.stack(
            [reciprocal_ranks(one) for one in observations if one.conversation == name]
        ).mean(dim=0)
        for name in conversations
    }
    place = {head: number for number, head in enumerate(heads)}
    held_out = {}
    for name in conversations:
        others = [merit for other, merit in merits.items() if other != name]
        held_out[name] = _best(heads, others, count)
    found = []
    for one in observations:
        rows = [place[head] for head in held_out[one.conversation]]
        together = one.mass[rows].float().mean(dim=0, keepdim=True)
        found.append(reciprocal_ranks(Observation(one.conversation, together, one.evidence)))
    quality = float(torch.cat(found).mean())
    return Selection(_best(heads, list(merits.values()), count), held_out, quality)


def reciprocal_ranks(observation: Observation) -> torch.Tensor:
    """For each head the mean of 1 / rank over the evidence, float32 ``(heads,)``.

    A rank counts the messages with as much mass or more, itself included, so that a head that
    says the same of all of them gains nothing.
    """
    mass = observation.mass
    own = mass[:, observation.evidence]
    ranks = (mass[:, None] >= own[..., None]).sum(dim=-1)
    return (1 / ranks).mean(dim=1)


def _best(heads: Sequence[Head], merits: Sequence[torch.Tensor], count: int) -> tuple[Head, ...]:
    order = torch.stack(list(merits)).mean(dim=0).argsort(descending=True, stable=True)
    return tuple(heads[number] for number in order[:count].tolist())
