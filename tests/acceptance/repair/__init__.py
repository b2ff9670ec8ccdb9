"""Destinations that were removed or damaged, and the commands that are said to mend them."""
