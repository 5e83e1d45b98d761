"""From intent to rendering: Docker's create body and an image's config become a ContainerSpec.

Each module reads one part of the body, raises InvalidArgument in Docker's words, and touches no
file unless it says so. `spec.render` puts them together; `check.check` runs them at `create`.
"""
