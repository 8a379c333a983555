"""The command line, ``memoryscope-rag``. docs/cli.md describes every command."""

from __future__ import annotations


def main() -> None:
    """Run the command line and leave the process with its exit code."""
    import sys

    from memoryscope_rag.cli.run import run

    sys.exit(run(sys.argv[1:]))
