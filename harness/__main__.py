"""`python -m harness` is `harness`."""

import os
import sys

if not sys.flags.safe_path and sys.path[:1] == [os.getcwd()]:
    del sys.path[0]  # put there by -m: nothing is imported from the working folder, as with the command itself

from harness.cli import main

if __name__ == "__main__":
    main()
