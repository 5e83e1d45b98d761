"""Handlers: from a call to the other components and back, one small file per noun."""
