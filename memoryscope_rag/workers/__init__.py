"""Workers: one step of an operation each. :mod:`.base` says what a worker is."""

if __name__ != "memoryscope_rag.workers":
    raise ImportError("import memoryscope_rag.workers, not workers")
