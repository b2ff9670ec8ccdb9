"""Workers behind walls, by the real program."""
