"""The life of a container: create, start, its end, stop, remove, and recovery after a crash."""
