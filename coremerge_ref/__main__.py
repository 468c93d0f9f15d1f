"""python -m coremerge_ref is the command coremerge."""

from coremerge_ref.cli import main

if __name__ == "__main__":
    main()
