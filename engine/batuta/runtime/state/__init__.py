"""The state: an SQLite database with one record per resource, runs, and the journal of steps."""
