"""``python -m ltb.store``; see `ltb.store.command`."""

import sys

from ltb.store.command import main

sys.exit(main())
