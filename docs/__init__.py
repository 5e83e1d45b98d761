"""Pages for people, and the generator of those that come out of the code."""
