"""Streams between clients and containers: waiting for a start, filtered, with the log in front."""
