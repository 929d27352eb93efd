"""``python -m stepml``: the same as the command ``stepml``."""

from stepml.cli import main

if __name__ == "__main__":
    main()
