"""`python -m renewagent`: the same as the `renewagent` command."""

from __future__ import annotations

import sys

from renewagent.cli import main

if __name__ == "__main__":
    sys.exit(main())
