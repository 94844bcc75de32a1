"""The formula guard of CSV and xlsx: text that a spreadsheet would run as a formula is marked as text, numbers are left alone.

Text is guarded where its first character, behind apostrophes, spaces and control characters, is one of = + - @ (or their
full-width forms), or where it begins with a tab or a line break. In CSV the mark is one apostrophe before it, and taking one
apostrophe off such text gives back what stood there; in xlsx it is the cell's own quote prefix and the text stays as it is.
"""

import re

# RE2 (Arrow) and Python read this alike: no class that depends on Unicode tables.
PATTERN = "^'*(?:[\\x00-\\x20\\x7f\\x{a0}\\x{feff}]*[=+\\-@\\x{ff1d}\\x{ff0b}\\x{ff0d}\\x{ff20}]|[\\t\\r\\n])"
_COMPILED = re.compile(re.sub(r"\\x\{([0-9a-f]+)\}", lambda m: f"\\u{int(m[1], 16):04x}", PATTERN))
MARK = "'"


def is_formula(text: str) -> bool:
    """Whether a spreadsheet might run the text."""
    return _COMPILED.match(text) is not None


def guarded(text: str) -> str:
    """The text as it stands in CSV."""
    return MARK + text if is_formula(text) else text


def unguarded(text: str) -> str:
    """What stood in the release, from text of CSV."""
    return text[1:] if text.startswith(MARK) and is_formula(text) else text
