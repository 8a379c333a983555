"""Beacon memory: a history compressed into reusable keys and values of a language model.

After *Soaring from 4K to 400K* (Activation Beacon, arXiv 2401.03462) and MemoRAG (arXiv
2409.05591). Needs the extra ``transformers``; importing this package without it says so.
"""

from memoryscope_rag.models.torch_runtime import require_transformers

require_transformers("beacon memory")
