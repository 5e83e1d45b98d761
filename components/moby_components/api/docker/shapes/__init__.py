"""Docker's JSON shapes: typed values in, dictionaries out. No I/O, no decisions about state."""
