"""Where and how to run: device, precision, processes, memory, progress."""
