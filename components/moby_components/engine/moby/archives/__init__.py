"""Files of containers: docker cp in and out, docker export."""
