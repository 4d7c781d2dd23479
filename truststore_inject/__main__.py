"""``python -m truststore_inject``, the same as the console script ``truststore-inject``."""

import sys

if __name__ == "__main__":
    if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
        del sys.path[0]  # the current directory, which -m puts there: what the commands import is not to be found in it
    from .cli import main

    sys.exit(main())
