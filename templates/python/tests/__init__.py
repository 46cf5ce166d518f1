"""Tests of the handler without WebAssembly: `python -m unittest`."""

import sys
from pathlib import Path

# The handler imports its modules, and the generated bindings, by their plain names.
for folder in ("src", "bindings"):
    sys.path.insert(0, str(Path(__file__).parent.parent / folder))
