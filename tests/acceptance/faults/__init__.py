"""What goes wrong around a transfer: disks, readers, networks, clocks, other runs."""
