"""`python -m config.embedded` is what `make run` calls."""

import sys

from config.embedded.supervisor import main

sys.exit(main())
