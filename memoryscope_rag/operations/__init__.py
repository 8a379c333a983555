"""Operations: checked compositions of workers. :mod:`.base` builds and runs them."""

if __name__ != "memoryscope_rag.operations":
    raise ImportError("import memoryscope_rag.operations, not operations")
