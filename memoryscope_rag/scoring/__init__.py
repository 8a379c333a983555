"""Scoring: what a store found, as numbers that mean the same in every scope, added up.

:func:`query_features` reads the query, :func:`signals` makes a matrix of candidates × named
signals, a :class:`LinearRanker` weighs them. Its weights are data (``configs/rankers``), made by
:func:`fit_listwise` on questions with known evidence.
"""

from memoryscope_rag.scoring.attention import attention_by_node
from memoryscope_rag.scoring.calibration import Calibration, Scale
from memoryscope_rag.scoring.confidence import confidence
from memoryscope_rag.scoring.echo import echo_strength
from memoryscope_rag.scoring.features import QueryFeatures, query_features
from memoryscope_rag.scoring.fit import Group, fit_listwise, listwise_loss
from memoryscope_rag.scoring.lift import LIFT, lift
from memoryscope_rag.scoring.matrix import SIGNALS, signals
from memoryscope_rag.scoring.ranker import LinearRanker

__all__ = [
    "LIFT",
    "SIGNALS",
    "Calibration",
    "Group",
    "LinearRanker",
    "QueryFeatures",
    "Scale",
    "attention_by_node",
    "confidence",
    "echo_strength",
    "fit_listwise",
    "lift",
    "listwise_loss",
    "query_features",
    "signals",
]
