"""Rows whose keys are unlike the others matter: no attention, no further call of the model.

Keys that lie apart from the rest draw attention, and a set of keys that are unlike each other says
most about all of them (KeyDiff, arXiv 2504.15364, §3). Of the windows that a memory is read in,
each is judged by itself, as KeyDiff judges blocks of a prompt.
"""

from __future__ import annotations

import torch
from torch.nn.functional import cosine_similarity, normalize

from memoryscope_rag.beacon.compressor import Window


class KeyDifference:
    """Scores a row by how little its key is like the window's mean key.

    Keys are compared before RoPE, as they are stored: what counts is what a key says, not where it
    stands.
    """

    name = "key-difference"

    def scores(self, window: Window) -> torch.Tensor:
        """See :class:`~memoryscope_rag.beacon.select.Scorer`; from -1 to 1."""
        keys = window.rows.keys.float()
        anchor = normalize(keys, dim=-1).mean(dim=2, keepdim=True)
        return -cosine_similarity(keys, anchor, dim=-1)
