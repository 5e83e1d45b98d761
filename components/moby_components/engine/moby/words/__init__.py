"""The facade's methods by subject, so that `engine.py` stays one screenful of the container's life."""
