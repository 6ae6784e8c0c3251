"""Python's garbage collector, told what the heap of a server looks like."""

import gc

YOUNG = 50_000
"""Objects made, less those freed, before the collector looks at the youngest."""

SURVIVED = (20, 100)
"""Collections of a generation before the next older one is looked at as well."""


def settle() -> None:
    """Leave all that has been made so far out of every collection to come, and collect less often.

    What a start makes stays until the end, and is most of the heap. Requests that wait are alive, too,
    whenever the collector comes by: with hundreds of them it promotes each to the oldest generation and then
    goes through everything there is, which takes a tenth of the time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, *SURVIVED)
