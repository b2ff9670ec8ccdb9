"""The commands at the top of the tree, one file each; each file exports `command`."""
