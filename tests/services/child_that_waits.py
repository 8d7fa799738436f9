"""A process that goes on until it is ended."""

import time

time.sleep(600)
