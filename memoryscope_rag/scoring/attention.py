"""What a beacon memory's attention says about each candidate, also about those it has not read."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean

from memoryscope_rag.indexing import stem_of, stems
from memoryscope_rag.ports import Candidates


def attention_by_node(
    attention: Mapping[str, float], turns: Candidates | None, facts: Candidates | None = None
) -> Mapping[str, float]:
    """By node id how much more attention its message draws than the mean of the candidates.

    A fact has that of the turn that it was drawn from. A node that is left out counts as the mean,
    which is 0: its message is not in ``attention`` (by message id), because it is newer than the
    memory, say. Were that 0 of the memory's own scale, it would be behind most others, since
    candidates are what the query draws attention to; and every score would rise against the floor.
    """
    if turns is None or not attention:
        return {}
    by_stem = {stem: value for name, value in attention.items() for stem in stems(name)}
    known = {name: by_stem[stem_of(name)] for name in turns.ids if stem_of(name) in by_stem}
    if not known:
        return {}
    mean = fmean(known.values())
    found = {name: value - mean for name, value in known.items()}
    if facts is not None:
        said = zip(turns.ids, turns.seq.tolist(), strict=True)
        by_seq = {seq: found[name] for name, seq in said if name in found}
        for name, kind, seq in zip(facts.ids, facts.kinds, facts.seq.tolist(), strict=True):
            if kind == "observation" and seq in by_seq:
                found[name] = by_seq[seq]
    return found
