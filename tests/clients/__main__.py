"""``python tests/clients CLIENT TRUST JSON-OF-URLS`` prints what CLIENT says of each server, as JSON.

There may be several pairs of TRUST and JSON: it prints a line for each.
"""

import json
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).parent.parent)
import clients  # noqa: E402

_, client, *questions = sys.argv
for trust, urls in zip(questions[::2], questions[1::2], strict=True):
    print(json.dumps({case: clients.judge(client, url, trust) for case, url in json.loads(urls).items()}))
