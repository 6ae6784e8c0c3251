"""A process that serves does not go through its whole heap again and again."""

import os
import subprocess
import sys

from app.core.settings import PROJECT

COUNT = """
import gc, app.main
made = [[] for _ in range(40_000)]
print(gc.get_freeze_count(), len(gc.get_objects(generation=0)) >= 40_000)
"""


def test_a_server_looks_at_no_object_of_its_start_again_and_at_the_young_ones_seldom() -> None:
    done = subprocess.run(
        [sys.executable, "-c", COUNT],
        cwd=PROJECT,
        env={**os.environ, "ENV": "dev"},
        capture_output=True,
        text=True,
        check=True,
    )
    frozen, not_looked_at = done.stdout.split()
    assert int(frozen) > 100_000
    assert not_looked_at == "True"
