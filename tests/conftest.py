"""What all tests share: the fixtures for readers."""

from __future__ import annotations

from tests.pcsc import pcsc_directory, private_pcscd, virtual_readers

__all__ = ["pcsc_directory", "private_pcscd", "virtual_readers"]
