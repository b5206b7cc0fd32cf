"""`python -m cellstrata` is the command `cellstrata`."""

import sys

from cellstrata.flows.commands.command import main

if __name__ == "__main__":
    sys.exit(main())
