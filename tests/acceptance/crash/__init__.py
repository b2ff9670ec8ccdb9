"""A sync that is killed at every point where something becomes durable, and what comes after."""
