"""One contract class per kind."""
