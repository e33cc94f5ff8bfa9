"""`python -m haywain`."""

from haywain.cli import main

if __name__ == "__main__":
    main()
