"""Logs of containers: the CRI format that monitors write, read back, followed, and rotated."""
