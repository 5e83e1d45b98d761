"""The door: makes this folder importable as the package `process` and goes in."""

import importlib
import sys

if __name__ == "__main__":
    # -I leaves the script's own folder out of the path, and the real package's `__init__`s would
    # import the daemon's world.
    sys.path.insert(0, __file__.rpartition("/process/")[0])
    importlib.import_module("process.main").main(sys.argv[1:])
