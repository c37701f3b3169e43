"""The clock of this process is wrong. Python imports a module of this name first, where this folder is on its path."""

import os
import time

import time_machine

time_machine.travel(time.time() + float(os.environ["CLOCK_OFF_SECONDS"]), tick=True).start()
