"""Health checks: what is asked for (`plan`), what follows from a probe (`state`), the probes (`monitor`)."""
