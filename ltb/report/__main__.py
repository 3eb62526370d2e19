"""``python -m ltb.report``; see `ltb.report.command`."""

import sys

from ltb.report.command import main

sys.exit(main())
