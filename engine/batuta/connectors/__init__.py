"""Where things live: one folder per platform."""
