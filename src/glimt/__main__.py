"""``python -m glimt``."""

from glimt.cli import main

if __name__ == "__main__":
    main()
