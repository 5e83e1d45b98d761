"""An image made of this host's own programs, for machines without any network."""
