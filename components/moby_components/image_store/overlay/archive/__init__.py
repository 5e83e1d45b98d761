"""Tars that travel: docker-archive and OCI layout in and out, filesystem tars in, layers out."""
