"""Text to typed desired state, with a position for every field; and back."""
