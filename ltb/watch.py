"""``python -m ltb.watch [DIR]``; see `ltb.run.view`."""

import sys

from ltb.run.view import main

if __name__ == "__main__":
    sys.exit(main())
