"""The nouns: frozen values, closed unions and protocols. No input or output."""
