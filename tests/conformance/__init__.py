"""One suite for each port; every connector that has the port passes it."""
