"""Labels of data: the lattice, and where data may flow."""
