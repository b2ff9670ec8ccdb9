"""Flags, prompts and rendering. No decisions."""
