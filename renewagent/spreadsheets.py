"""Text that is safe in a spreadsheet: no cell of a CSV file becomes a formula. Pure."""

from __future__ import annotations

# What spreadsheets take for the beginning of a formula, in both widths.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def harmless(cell: object) -> object:
    """The cell, with an apostrophe in front if it would be a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def as_it_was(cell: object) -> object:
    """The reverse of `harmless`."""
    return cell[1:] if isinstance(cell, str) and cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell
