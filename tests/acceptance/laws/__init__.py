"""Laws that hold from one end to the other: what is planned, applied, seen again, and refused."""
