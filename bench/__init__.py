"""Measurements beside real peers, in one run, as ratios. `make bench` or `python -m bench NAME...`."""
