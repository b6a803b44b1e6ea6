"""The `renewagent` command: argument parsing only, one module per audience."""

from __future__ import annotations


def main() -> int:
    """Entry point; replaced as commands arrive."""
    return 0
