"""The blueprint language: YAML text -> Blueprint, with the line and column of every value kept.

    loaded = load("shop.yaml", sets=["components.runtime=crun"])
    loaded.blueprint, loaded.problems

The way through the rooms, each taking the previous one's value:

    document.py   bytes -> Node tree            limits, encodings, duplicate keys, ambiguous words
    files.py      + what `extends` names        rings, depth, maps merged deep
    overrides.py  + `--set`
    variables.py  `${name}`, `${env:NAME}`      (moby_py.variables)
    shape.py      Node tree -> Blueprint        the envelope: which keys, short forms, ids

Options are not looked at here; `moby_py.validation` checks them against their components' schemas,
and its `resolve` is the whole way from a file to a valid blueprint.
"""

from moby_py.blueprint.loading import load
from moby_py.blueprint.model import Blueprint, Loaded, Selection

__all__ = ["Blueprint", "Loaded", "Selection", "load"]
