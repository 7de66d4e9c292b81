"""The market: instruments, book, matcher, replica, journal, roles. Knows rings, not sockets."""
