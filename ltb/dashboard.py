"""``python -m ltb.dashboard``; see `ltb.tracking.dashboard`."""

import sys

from ltb.tracking.dashboard import main

if __name__ == "__main__":
    sys.exit(main())
