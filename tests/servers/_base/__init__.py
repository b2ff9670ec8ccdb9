"""What the servers share: their environments, processes and ports."""
