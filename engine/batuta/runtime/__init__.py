"""What touches the world: observe, execute, journal, state, sandbox."""
