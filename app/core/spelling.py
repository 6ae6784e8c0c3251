"""How far two spellings are apart."""

LONG_WORD = 6


def slips(one: str, other: str) -> int:
    """Count the slips that turn ``one`` into ``other``: a letter more, less or wrong, or two swapped.

    The optimal string alignment distance, as in Boytsov, "Indexing methods for approximate dictionary
    searching" (2011).
    """
    before: list[int] = []
    last = list(range(len(other) + 1))
    for i, letter in enumerate(one):
        row = [i + 1]
        for j, its in enumerate(other):
            row.append(min(last[j] + (letter != its), last[j + 1] + 1, row[j] + 1))
            if i and j and letter == other[j - 1] and one[i - 1] == its:
                row[-1] = min(row[-1], before[j - 1] + 1)
        before, last = last, row
    return last[-1]


def is_likely(typed: str, meant: str) -> bool:
    """Tell whether ``typed`` may well be ``meant``: one slip away, or two in a long word."""
    return slips(typed, meant) <= (2 if len(typed) >= LONG_WORD else 1)
