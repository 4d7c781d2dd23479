"""``python -m truststore_inject``, the same as the console script ``truststore-inject``."""

import sys

from .cli import main

sys.exit(main())
