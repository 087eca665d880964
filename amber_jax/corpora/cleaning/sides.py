"""Filters of the two sides of a pair."""

SEQUENCE = 5  # characters that are compared together


def are_copied(src: str, tgt: str, max_copied: float) -> bool:
    """Returns whether more of the shorter side than `max_copied` stands in the other.

    Compared are the different sequences of 5 characters, whatever their case:

        "See www.example.org", "Siehe www.example.org"      .87
    """
    shorter, longer = sorted((sequences(src), sequences(tgt)), key=len)
    return len(shorter & longer) > max_copied * len(shorter)


def sequences(text: str) -> set[str]:
    """Returns the different sequences of a text, or all of one that is shorter."""
    text = text.casefold()
    last = max(1, len(text) - SEQUENCE + 1)
    return {text[start : start + SEQUENCE] for start in range(last)}
