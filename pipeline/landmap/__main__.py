"""`python -m landmap`: for schedulers, which know a Python and not always a PATH."""

from landmap.cli import main

if __name__ == "__main__":
    main()
