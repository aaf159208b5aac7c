"""``python -m imgproxy.edge FOLDER`` writes the example: the edge of ``deploy/compose.yaml``."""

import sys
from pathlib import Path

from imgproxy.edge.configuration import EXAMPLE, write

if __name__ == "__main__":
    write(EXAMPLE, Path(sys.argv[1]))
