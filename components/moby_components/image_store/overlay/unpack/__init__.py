"""Layers: from a compressed blob to a directory that overlayfs can use as a lower.

inflate.py   compressed bytes -> plain bytes, hashed and bounded
header.py    plain bytes -> tar entries (ustar, pax, GNU; nothing is written)
pax.py       the two extended header forms, and the three sparse ones
tree.py      a directory that is only ever entered through descriptors
extract.py   entries -> files
rebase.py    what an entry meant by its parents' files, once the parents are there
worker.py    the same in a process of its own
"""
