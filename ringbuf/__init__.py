"""Shared memory, rings, lock: everything between two processes, and no word of the market."""
