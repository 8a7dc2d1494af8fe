"""`python -m landmap` is the command line, also where no PATH leads to it, as in the jobs of a scheduler."""

from landmap.cli import main

if __name__ == "__main__":
    main()
