"""Where and how to run: device, precision, processes, memory, progress."""

from saev.machine.machine import Machine as Machine
from saev.machine.progress import track as track
