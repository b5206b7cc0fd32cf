"""Imports take turns: `with IMPORTING:` stands around each import within a function that threads may call.

Python locks one module at a time. Where one thread loads a package and another a module of it, each waits for
the other; Python sees that, and lets one of them go on with a module that is half there ("cannot import name …
from partially initialized module"). With this lock, taken before any module's, nobody waits for two.

python/cpython#83065 (closed); mended by python/cpython#137196 (merged). This can go when the oldest Python that we
allow has that, and no package that we load late imports in a circle.
"""

from __future__ import annotations

import threading

IMPORTING = threading.RLock()  # what is imported may itself import late
