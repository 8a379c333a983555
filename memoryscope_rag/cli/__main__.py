"""``python -m memoryscope_rag.cli``."""

from memoryscope_rag.cli import main

main()
