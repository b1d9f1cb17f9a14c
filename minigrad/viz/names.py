"""Names that a user gave, as drawings and pages write them: printable, and not too long."""

import re
from typing import Any

LONGEST = 60
"""The number of characters of a name that a drawing writes; the tooltips of a graph have all of them."""

# Control characters, halves of surrogate pairs, and marks that turn the direction of the text around them.
_UNPRINTABLE = re.compile(
    "[^\x20-\x7e\xa0-\u2027\u202f-\u2065\u206a-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd\U00010000-\U0010ffff]"
)


def printable(text: Any) -> str:
    """What cannot be written into a file, or cannot be seen, becomes a question mark; line ends become spaces.

    Example:
        >>> printable("a\\nb\\x07")
        'a b?'
    """
    return _UNPRINTABLE.sub("?", re.sub(r"[\t\r\n]+", " ", str(text)))


def short(text: Any, longest: int = LONGEST) -> str:
    """A long name without its middle.

    Example:
        >>> short("a_long_name", 6)
        'a_…ame'
    """
    text = str(text)
    half = longest // 2
    return text if len(text) <= longest else f"{text[: half - 1]}…{text[-half:]}"
