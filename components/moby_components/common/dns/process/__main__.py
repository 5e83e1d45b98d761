"""The door of the process. Executed by path with `-I -S`: no site packages, nothing of the daemon."""

import sys

if __name__ == "__main__":
    sys.path.insert(0, __file__.rpartition("/moby_components/")[0])
    from moby_components.common.dns.process.main import main

    sys.exit(main(sys.argv[1:]))
