"""What tests of owner files share."""

import json
import os
import time


def files(study):
    """What lies in the folder of owner files."""
    return sorted(path.name for path in (study / ".owners").iterdir())


def rewrite(study, id, age=0.0, **changes):
    """Makes an owner file say something else, as of `age` seconds ago. It is a file of its own then."""
    path = study / ".owners" / f"{id}.json"
    said = json.loads(path.read_text()) | changes
    path.unlink()
    path.write_text(json.dumps(said))
    os.utime(path, (time.time() - age, time.time() - age))
