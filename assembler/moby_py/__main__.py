"""`python -m moby_py` is the command line."""

from moby_py.cli.main import main

if __name__ == "__main__":
    main()
